# SPDX-License-Identifier: Apache-2.0
"""The cases of the conformance suite: what agent/broker.h promises, the same for every driver.

A case is a function `case_NAME(bed)`; @needs names features without which it cannot be played: a bed that lacks one says
why. @short marks those of `make check`.
"""

import time

from driver_bed import NOT_ACKNOWLEDGED, Writer, fields, now


def needs(*features):
    def mark(case):
        case.needs = features
        return case
    return mark


def short(case):
    case.short = True
    return case


def refuses(client, key="x", value=1):
    """A write is not acknowledged."""
    try:
        client.write(key, value)
    except NOT_ACKNOWLEDGED:
        return True
    return False


def denies(broker, **options):
    """A client that comes now gets no write acknowledged, or does not even get in."""
    try:
        client = broker.client(**options)
    except NOT_ACKNOWLEDGED:
        return True
    return refuses(client)


def changed(**wanted):
    """Matches a probe's line that tells of all of this."""
    def matches(line):
        if " changed " not in line:
            return False
        view = fields(line)
        return all(view[key] == str(value) for key, value in wanted.items())
    return matches


def alone(bed, which=0, **options):
    """One broker, one driver, held."""
    broker, probe = bed.broker(which), bed.probe(which, **options)
    probe.reach("hold", 0, bed.slack)
    return broker, probe


# ---- before and after the first duty ----

def case_untouched_before_the_first_duty(bed):
    broker = bed.broker(0)
    client = broker.client()
    before = refuses(client)
    probe = bed.probe(0)
    probe.wait(changed(reachable=1, dead=0), timeout=bed.slack)
    time.sleep(3 * bed.every_ms / 1000)  # so long nothing may happen
    assert refuses(client) == before, "the broker was changed before anybody asked for it"


def case_held_it_takes_no_writes_and_keeps_its_data(bed):
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    bed.written(broker, "kept", 1)
    probe.reach("hold", 2, bed.slack)
    assert denies(broker)
    view = probe.view()
    assert view["writable"] == "0" and view["reachable"] == "1" and view["dead"] == "0", view
    probe.reach("lead", 4, bed.slack)
    bed.arrived(broker, "kept", 1)


@short
def case_held_until_a_duty(bed):
    broker, probe = alone(bed)
    time.sleep(3 * bed.every_ms / 1000)  # so long nothing may happen
    assert denies(broker)
    probe.reach("lead", 2, bed.slack)
    bed.written(broker, "x", 1)
    view = probe.view()
    assert view["writable"] == "1" and view["state"] == "master", view


@needs("replicates")
def case_a_position_rises_with_the_data(bed):
    (broker, _), (probe, _) = bed.pair()
    _, before = probe.reach("lead", 2, bed.slack)
    bed.written(broker, "x", 1)
    _, after = probe.reach("lead", 2, bed.slack)
    assert after[0] == 2 and after[1] > before[1], (before, after)


# ---- promote, follow, demote ----

@short
@needs("replicates")
def case_lead_and_follow(bed):
    (a, b), (pa, pb) = bed.pair()
    for i in range(20):
        bed.written(a, f"k{i}", i)
    bed.arrived(b, "k19", 19)
    assert denies(b), "a secondary took a write"
    view = pb.view()
    assert view["link"] == "1" and view["state"] == "secondary" and view["position"].startswith("2:"), view
    pa.wait(changed(link=1, writable=1, state="master"), timeout=bed.slack)


@needs("replicates")
def case_follow_waits_for_the_promotion(bed):
    bed.broker(0), bed.broker(1)
    pa, pb = bed.probe(0), bed.probe(1)
    pa.reach("hold", 0, bed.slack), pb.reach("hold", 0, bed.slack)
    serial = pb.duty("follow", 2)
    time.sleep(0.3)  # so long nobody leads
    assert not pb.has_done(serial)
    pa.reach("lead", 2, bed.slack)
    pb.done(serial, bed.slack)


@short
def case_the_newest_duty_alone_counts(bed):
    broker, probe = alone(bed)
    for epoch in range(2, 8, 2):
        lead = probe.duty("lead", epoch)
        hold = probe.duty("hold", epoch)
        probe.done(hold, bed.slack)
        assert not probe.has_done(lead) or [line.split()[2] for line in probe.lines if " done " in line].index(
            str(lead)) < [line.split()[2] for line in probe.lines if " done " in line].index(str(hold))
        assert denies(broker)


def case_each_duty_is_done_once_and_in_order(bed):
    _, probe = alone(bed)
    wanted = [probe.duty(mode, epoch) for epoch in (2, 4) for mode in ("lead", "hold")]
    probe.done(wanted[-1], bed.slack)
    for mode in ("lead", "hold", "lead"):
        wanted.append(probe.duty(mode, 6))
        probe.done(wanted[-1], bed.slack)
    time.sleep(2 * bed.every_ms / 1000)  # so long another `done` could still come
    done = [int(line.split()[2]) for line in probe.lines if " done " in line]
    assert done == sorted(set(done)) and set(wanted[-3:]) <= set(done), done


@needs("replicates")
def case_a_secondary_is_promoted_as_it_is(bed):
    """From FOLLOW to LEAD directly: what was on its way is not cut off."""
    (a, b), (pa, pb) = bed.pair()
    for i in range(20):
        bed.written(a, f"k{i}", i)
    bed.arrived(b, "k19", 19)
    a.kill()
    pa.wait(changed(reachable=0), timeout=bed.slack)
    pb.reach("lead", 3, bed.slack)
    bed.written(b, "x", 2)
    assert b.client().read("k19") == "19"


def switch(bed, old, new, epoch):
    """The planned sequence as the agents go through it."""
    _, position = old.reach("lead", epoch - 1, bed.slack, paused=True)
    old.wait(lambda line: ("changed" in line or "view" in line) and
             int(fields(line)["peer"].split(":")[1]) >= position[1], timeout=bed.slack)
    mark = old.mark()
    old.command("kill")
    old.wait(" cleared$", mark, bed.slack)
    serial = new.duty("lead", epoch)
    held = old.duty("hold", epoch)
    new.done(serial, bed.slack)
    old.done(held, bed.slack)
    mark = new.mark()
    old.reach("follow", epoch, bed.slack)
    new.wait(lambda line: fields(line)["link"] == "1" if " trouble=" in line else False, mark, bed.slack)


@needs("replicates", "pause")
def case_a_switchover_loses_nothing(bed):
    brokers, probes = bed.pair()
    old, new = 0, 1
    gaps = []
    for epoch in (3, 4, 5):
        writer = Writer(brokers)
        writer.wait_for_more()
        switch(bed, probes[old], probes[new], epoch)
        writer.wait_for_more()
        acknowledged = writer.stop()
        client = brokers[new].client()
        lost = [n for n in acknowledged if client.read(f"n{n}") != str(n)]
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes are gone: {lost[:5]}"
        gaps.append(writer.gap * 1000)
        old, new = new, old
    print("    write gaps ms: " + ", ".join(f"{gap:.0f}" for gap in gaps))


# ---- sync, pause, clients ----

@needs("replicates", "sync")
def case_synchronous_acknowledges_nothing_alone(bed):
    """On: nothing is acknowledged that the secondary does not have, whatever happens to it; off: without waiting."""
    bed.replication = "sync"
    (a, b), (pa, pb) = bed.pair()
    pa.reach("lead", 2, bed.slack, sync=True)
    bed.written(a, "x", 1)
    pb.close()  # a driver that can would start its broker again, and what waits would be acknowledged rightly
    b.kill()
    deadline = now() + bed.slack  # what a broker takes to find that it is gone
    while not denies(a, timeout=0.5):
        assert now() < deadline, "a write is acknowledged that nobody else has"
    pa.reach("lead", 2, bed.slack, sync=False)
    bed.written(a, "x", 2)


@needs("replicates", "sync")
def case_sync_goes_on_and_off_under_way(bed):
    bed.replication = "sync"
    brokers, (pa, _) = bed.pair()
    writer, position = Writer(brokers[:1] * 2), 0
    for i in range(4):
        _, at = pa.reach("lead", 2, bed.slack, sync=i % 2 == 0)
        assert at[1] >= position
        position = at[1]
        writer.wait_for_more()
    print(f"    longest write gap {writer.gap * 1000:.0f} ms over {len(writer.stop())} writes")


@needs("replicates", "sync")
def case_sync_waits_for_a_secondary(bed):
    bed.replication = "sync"
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    serial = probe.duty("lead", 2, sync=True)
    bed.written(broker, "x", 1)
    bed.broker(1)
    other = bed.probe(1)
    other.reach("hold", 0, bed.slack)
    assert not probe.has_done(serial)
    other.reach("follow", 2, bed.slack)
    probe.done(serial, bed.slack)
    bed.written(broker, "x", 2)


@needs("replicates", "sync")
def case_promoted_synchronous_serves_nobody_alone(bed):
    bed.replication = "sync"
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack, sync=True)
    assert denies(broker, timeout=0.5)


@needs("pause")
def case_a_pause_outlasts_the_lease(bed):
    bed.replication = "sync"
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    probe.reach("lead", 2, bed.slack, paused=True)
    assert probe.view()["state"] == "paused" and probe.view()["writable"] == "0"
    assert denies(broker, timeout=3 * bed.lease_ms / 1000), "a write was acknowledged while paused"
    probe.reach("lead", 2, bed.slack)
    bed.written(broker, "x", 2)


@needs("pause")
def case_promoted_in_a_pause_it_serves_nobody(bed):
    bed.replication = "sync"
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack, paused=True)
    assert denies(broker, timeout=0.5)
    probe.reach("lead", 2, bed.slack)
    bed.written(broker, "x", 1)


@needs("pause")
def case_a_pause_ends_with_the_demotion(bed):
    bed.replication = "sync"
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack, paused=True)
    probe.reach("hold", 2, bed.slack)
    began = now()
    assert denies(broker, timeout=5)
    assert now() - began < 4, "silence instead of an answer"


@needs("evict")
def case_clients_are_closed(bed):
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    writer, reader = broker.client(), broker.listen()
    writer.write("x", 1)
    mark = probe.mark()
    probe.command("kill")
    probe.wait(" cleared$", mark, bed.slack)
    deadline = now() + bed.slack
    for client in (writer, reader):
        while not client.closed():
            assert now() < deadline, "a client's connection is open still"
    bed.written(broker, "x", 2)  # that alone: a hand-over may still be taken back


def case_cleared_is_told_whatever_becomes_of_it(bed):
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    for end in (broker.freeze, broker.kill):
        end()
        mark, began = probe.mark(), now()
        probe.command("kill")
        probe.wait(" cleared$", mark, bed.slack)
        print(f"    cleared after {(now() - began) * 1000:.1f} ms")


# ---- death, silence ----

@short
@needs("death")
def case_kill_9_is_seen_as_death(bed):
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    probe.wait(changed(reachable=1, dead=0, writable=1), timeout=bed.slack)
    mark, began = probe.mark(), now()
    broker.kill()
    probe.wait(changed(reachable=0, dead=1), mark, bed.slack)
    print(f"    seen after {(now() - began) * 1000:.0f} ms")
    probe.reach("hold", 2, bed.slack)  # who is gone serves nobody
    mark = probe.mark()
    broker.start()
    probe.wait(changed(reachable=1, dead=0), mark, bed.slack)
    deadline = now() + bed.slack
    while not denies(broker):
        assert now() < deadline, "what came up in its place is not held"


@needs("held")
def case_silence_is_no_death(bed):
    broker, probe = alone(bed)
    probe.wait(changed(reachable=1), timeout=bed.slack)
    mark, began = probe.mark(), now()
    broker.freeze()
    view = fields(probe.wait(changed(reachable=0), mark, bed.slack))
    print(f"    seen after {(now() - began) * 1000:.0f} ms")
    assert view["dead"] == "0", view
    serial, mark = probe.duty("lead", 2), probe.mark()
    broker.thaw()
    probe.wait(changed(reachable=1, dead=0), mark, bed.slack)
    probe.done(serial, 2 * bed.slack)


@needs("durable")
def case_restarted_while_it_led_is_dead_until_held(bed):
    broker = bed.broker(0, *bed.durable())
    probe = bed.probe(0)
    probe.reach("hold", 0, bed.slack)
    probe.reach("lead", 2, bed.slack)
    bed.written(broker, "x", 1)
    probe.wait(changed(reachable=1, writable=1), timeout=bed.slack)
    mark = probe.mark()
    broker.kill()
    broker.start()
    probe.wait(changed(dead=1), mark, bed.slack)
    probe.wait(changed(reachable=1, dead=0), mark, bed.slack)
    view = probe.view()
    assert view["state"] == "held" and "restarted while it led" in view["trouble"], view
    assert denies(broker)
    probe.wait(changed(state="master"), probe.mark(), bed.slack)  # nobody took over: it leads on, with its data
    assert broker.client().read("x") == "1"


@needs("memory")
def case_restarted_without_its_data_it_does_not_lead(bed):
    bed.lease_ms = 400
    (broker, _), (probe, _) = bed.pair()
    bed.written(broker, "x", 1)
    probe.wait(lambda line: " changed " in line and int(fields(line)["position"].split(":")[1]) > 1, timeout=bed.slack)
    mark = probe.mark()
    broker.kill()
    broker.start()
    probe.wait(lambda line: "came back empty" in line, mark, bed.slack)
    time.sleep(1)  # two leases: nothing may happen in them
    view = probe.view()
    assert view["dead"] == "1", view
    assert probe.reach("hold", 4, bed.slack)[1] == (0, 0)
    assert probe.view()["dead"] == "0"


@needs("replicates")
def case_demoted_with_peer_and_network_dead(bed):
    """Nothing is needed of the other node to step down: packets to it go nowhere, and nothing comes back."""
    nowhere = bed.nowhere()
    broker = bed.broker(0)
    probe = bed.probe(0, peers=[bed.address(0), nowhere])
    probe.reach("hold", 0, bed.slack)
    probe.reach("lead", 2, bed.slack)
    bed.written(broker, "x", 1)
    began = now()
    probe.duty("follow", 3)
    time.sleep(0.2)  # it is at it: the master that it is to follow does not answer
    probe.reach("hold", 3, bed.slack)
    print(f"    held {(now() - began) * 1000:.0f} ms after the first word")
    assert denies(broker)


# ---- commands that hang ----

@needs("commands")
def case_a_hung_command_is_ended(bed):
    bed.verb_timeout_ms = 2500
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    probe.wait(changed(reachable=1), timeout=bed.slack)
    bed.hang("monitor")
    mark = probe.mark()
    probe.wait(changed(reachable=0, dead=0, state="hung"), mark, bed.slack)
    bed.hang("monitor", False)
    probe.wait(changed(reachable=1), mark, bed.slack)
    bed.hang("promote")
    serial, mark = probe.duty("lead", 4), probe.mark()
    line = probe.wait(lambda line: "promote (124)" in line, mark, bed.slack)
    assert fields(line)["reachable"] == "0", line
    bed.hang("promote", False)
    probe.done(serial, bed.slack)
    bed.hang("promote")
    probe.duty("lead", 6)
    began = now()
    probe.reach("hold", 6, bed.slack)  # what is under way is ended for it
    print(f"    held after {(now() - began) * 1000:.0f} ms beside a promote that hangs")
    assert denies(broker)


@needs("commands", "stop")
def case_who_cannot_be_demoted_is_stopped(bed):
    bed.verb_timeout_ms = 3000
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    bed.hang("demote")
    mark = probe.mark()
    probe.reach("hold", 2, 2 * bed.slack)
    assert denies(broker, timeout=0.5) if bed.runs(broker) else True
    probe.wait(lambda line: "had to be stopped" in line, mark, bed.slack)


@needs("program")
def case_a_program_gone_mad_is_survived(bed):
    """Garbage, endless lines, answers to what nobody asked, a flood of events: left out, and the work goes on."""
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    epoch = 2
    for data in (b"\0\xff%%% = \n\n*\n* \n1\n", b"x" * 100000 + b"\n", b"999999 0 position=1\n0 8\n1 8 role=master\n",
                 b"* no/name\n* position position=99999999999999999999\n", b"* changed\n" * 500,
                 b"* changed incarnation=%zz\n" + b"1 0 " + b"k=v " * 2000 + b"\n"):
        bed.says(data)
        for mode in ("hold", "lead"):
            epoch += 2
            probe.reach(mode, epoch, bed.slack)
        bed.written(broker, "x", epoch)
    bed.says(b"")
    probe.reach("hold", epoch + 2, bed.slack)
    assert not any(" dead=1" in line for line in probe.lines)


@needs("program")
def case_a_program_that_ends_is_started_again(bed):
    _, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    probe.wait(changed(reachable=1), timeout=bed.slack)
    for _ in range(3):
        mark = probe.mark()
        bed.exits()
        view = fields(probe.wait(changed(reachable=0, dead=0), mark, bed.slack))
        assert "out of order" in view["trouble"] and "started again" in view["trouble"], view
        probe.wait(changed(reachable=1, writable=1), mark, bed.slack)
    probe.reach("hold", 2, bed.slack)


@needs("commands", "start")
def case_a_dead_broker_is_started_as_a_secondary(bed):
    bed.starts = True
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    mark = probe.mark()
    broker.kill()
    probe.wait(changed(dead=1), mark, bed.slack)
    probe.wait(changed(reachable=1, state="held"), mark, bed.slack)
    assert denies(broker)
    assert "start" in bed.asked(0)
    probe.reach("lead", 4, bed.slack)
    bed.written(broker, "x", 1)
    bed.stop_started(broker)


# ---- rejoin, the agent's restart ----

@needs("replicates", "orphan")
def case_what_a_rejoin_cuts_off_is_kept(bed):
    (a, b), (pa, pb) = bed.pair()
    pb.reach("hold", 2, bed.slack)
    bed.written(a, "tail", "only-here")
    pb.reach("lead", 3, bed.slack)
    bed.written(b, "x", "of-b")
    mark = pa.mark()
    pa.reach("follow", 3, 2 * bed.slack)
    path = pa.wait(" orphaned ", mark, bed.slack).split()[-1]
    with open(path, "rb") as file:
        assert b"only-here" in file.read(), path
    bed.arrived(a, "x", "of-b")
    assert a.client().read("tail") is None, "what was cut off is there still"


@needs("replicates")
def case_who_lost_nothing_keeps_all(bed):
    (a, b), (_, pb) = bed.pair()
    for i in range(3):
        pb.reach("hold", 2, bed.slack)
        bed.written(a, "x", i)
        mark = pb.mark()
        pb.reach("follow", 2, bed.slack)
        bed.arrived(b, "x", i)
        assert not any(" orphaned " in line for line in pb.lines[mark:])


@short
@needs("incarnation")
def case_an_agents_restart_leaves_the_broker_alone(bed):
    broker, probe = alone(bed)
    probe.reach("lead", 2, bed.slack)
    client = broker.client()
    client.write("x", 1)
    probe.wait(changed(reachable=1), timeout=bed.slack)
    incarnation = probe.view()["incarnation"]
    assert incarnation
    probe.close()
    again = bed.probe(0, incarnation)
    again.reach("lead", 2, bed.slack)
    again.wait(changed(reachable=1), timeout=bed.slack)
    client.write("x", 2)  # over the connection of before
    assert not any(" dead=1" in line for line in again.lines)


@needs("incarnation", "durable")
def case_another_broker_after_an_agents_restart_has_died(bed):
    broker = bed.broker(0, *bed.durable())
    probe = bed.probe(0)
    probe.reach("hold", 0, bed.slack)
    probe.reach("lead", 2, bed.slack)
    bed.written(broker, "x", 1)
    probe.wait(changed(reachable=1), timeout=bed.slack)
    incarnation = probe.view()["incarnation"]
    probe.close()
    broker.kill()
    broker.start()
    again = bed.probe(0, incarnation)
    serial = again.duty("lead", 2)
    again.wait(changed(dead=1), timeout=bed.slack)
    assert not again.has_done(serial)
