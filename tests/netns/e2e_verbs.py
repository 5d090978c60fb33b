# SPDX-License-Identifier: Apache-2.0
"""Whole clusters whose brokers are driven by verbs: the Redis pairs of etc/drivers, by commands and by a co-process."""

import e2e_redis
import e2e_resume
from e2e_redis import back_in_pair, protected, writing
from testbed import ROOT, Cluster, expect, verify

VERBS = ("monitor", "pos", "promote", "demote", "pause", "resume", "evict", "waitpos", "rejoin", "sync")
HEALTH = 'health = ( { name = "alive"; check = "broker"; every_ms = 200; timeout_ms = 1500; fall = 2; rise = 1; } );'


class ByCommands(Cluster):
    """Redis pairs that no driver knows."""

    def configuration(self, member):
        return super().configuration(member).replace('driver = "redis";', self.spoken()) + HEALTH + "\n"

    def spoken(self):
        program = f"{ROOT}/etc/drivers/exec-redis"
        commands = " ".join(f'{verb} = [ "{program}", "{verb}" ];' for verb in VERBS)
        return f'driver = "exec"; commands = {{ {commands} }};'


class ByProgram(ByCommands):
    def spoken(self):
        return f'driver = "coprocess"; command = [ "{ROOT}/etc/drivers/coprocess-redis" ];'


def hand_over(cluster, writer, master, other):
    cluster.wait_ready(master)
    writer.mark("switchover")
    cluster.switchover(master, ready=False)
    cluster.wait_master(other)
    e2e_redis.phase(writer, "after")
    back_in_pair(cluster, other, master)
    return other, master


def lose_the_broker(cluster, writer, master, other):
    """It dies, the other one leads alone; back, it is a secondary, and counts again."""
    writer.mark("killed")
    master.redis.kill()
    cluster.wait_master(other)
    e2e_redis.phase(writer, "after")
    expect("who leads without the other says SOLE", other.status()["record"]["mode"] == "sole")
    note = [check["why"] for check in master.status()["broker"]["checks"]]
    expect(f"status says what is wrong: {note}", "does not run" in note[0] or "does not listen" in note[0])
    master.start_redis()
    back_in_pair(cluster, other, master)
    return other, master


def story(directory, make):
    with protected(directory, make=make) as (cluster, writer, master, other):
        master, other = hand_over(cluster, writer, master, other)
        master, other = hand_over(cluster, writer, master, other)
        master, other = lose_the_broker(cluster, writer, master, other)
        hand_over(cluster, writer, master, other)


def test_pair_by_commands(directory):
    story(directory, ByCommands)


def test_pair_by_a_program(directory):
    story(directory, ByProgram)


def test_agent_restarted_beside_a_leader(directory):
    """L10: a new agent, and a new co-process, leave a broker that leads alone."""
    log = directory / "acknowledged"
    with ByProgram(directory, driver="redis", lease_ms=e2e_resume.LEASE_MS) as cluster:
        observer = cluster.observe()
        master = cluster.start()
        writer = cluster.write(log, "--wait")
        cluster.wait_pair()
        writing(writer)
        for how in (e2e_resume.crash, e2e_resume.leave):
            e2e_resume.resumed(cluster, master, how)
            writing(writer)
        writer.finish()
        expect("never two at once", observer.finish()["both_us"] == 0)
        with master.client() as client:
            expect("lost, doubled, out of order", verify.compare(verify.acknowledged(log), verify.held(client, "orders")) == (0, 0, 0))
