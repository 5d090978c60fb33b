# SPDX-License-Identifier: Apache-2.0
"""The traces of a real run, and whether tests/trace finds what was altered in them. Every other test's traces are
checked as well, when its cluster is left: here the checker is."""

import re

from testbed import Cluster, check_traces, expect, short


def run_of_two_reigns(directory):
    """a (or b) is killed as master and comes back; returns the three traces, of which one holds two runs."""
    with Cluster(directory) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        master.agent.kill()
        cluster.wait_master(other)
        with open(master.home / "trace", "ab") as trace:
            trace.write(b"12345 beat sess")  # as if the kill had come in the middle of a line
        master.start()
        cluster.wait_secondary(master)
    return {member.name: member.traces()[0] for member in (master, other, cluster.w)}, master.name, other.name


class Copies:
    """The traces, each to be altered for one look of the checker."""

    def __init__(self, directory, traces):
        self.directory = directory / "altered"
        self.directory.mkdir()
        self.lines = {name: path.read_text(encoding="utf-8").splitlines() for name, path in traces.items()}

    def check(self, what, status, pattern, **changed):
        """Checks the traces with some replaced; the checker ends with `status` and says what `pattern` matches."""
        files = []
        for name, lines in {**self.lines, **changed}.items():
            files.append(self.directory / name)
            files[-1].write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = check_traces(files)
        said = done.stdout + done.stderr
        expect(f"{what}: exit {status} and {pattern!r}, not {done.returncode}: {said}",
               done.returncode == status and re.search(pattern, said))


def shifted(lines, number, by_us):
    """The run that begins in this line happened that much later."""
    return [re.sub(r"base (-?\d+)", lambda m: f"base {int(m[1]) + by_us}", line) if at == number else line
            for at, line in enumerate(lines)]


def without(lines, number):
    return lines[:number] + lines[number + 1:]


def swapped(lines, number):
    return lines[:number] + [lines[number + 1], lines[number]] + lines[number + 2:]


def first(lines, pattern):
    return next(at for at, line in enumerate(lines) if re.match(pattern, line))


def starts(lines):
    return [at for at, line in enumerate(lines) if line.startswith("start ")]


@short
def test_altered_traces_are_caught(directory):
    traces, old, new = run_of_two_reigns(directory)
    copies = Copies(directory, traces)
    master, other, witness = (copies.lines[name] for name in (old, new, "w"))
    expect("the second run follows a line that was cut", master[starts(master)[1] - 1].endswith("sess (cut)"))
    copies.check("nothing altered", 0, r"4 runs, .*, [0-9]+ spans of a lead; 0 findings")

    win = first(master, "  tell role candidate>master")
    copies.check("two actions swapped", 1, rf"/{old}:{win}: the core does otherwise", **{old: swapped(master, win - 1)})
    copies.check("an action lost", 1, rf"/{old}:{win + 1}: the core does otherwise", **{old: without(master, win)})
    invented = master[:win] + ["  address-add"] + master[win:]
    copies.check("an action invented", 1, rf"/{old}:{win + 1}: the core does otherwise", **{old: invented})
    grant = first(witness, r"  send w>. #\d+ witness .*grant [1-9]")
    forged = [re.sub("grant ", "grant 9", line) if at == grant else line for at, line in enumerate(witness)]
    copies.check("a grant forged", 1, rf"/w:{grant + 1}: the core does otherwise", w=forged)
    beat = first(witness, r"\d+ beat .* candidate ")
    copies.check("a beat lost", 1, r"/w:\d+: the core does otherwise", w=without(witness, beat))

    early = shifted(other, 0, -1000000)
    copies.check("the second reign a second earlier", 1, rf"/{new}:\d+: P1 is broken: {new} leads", **{new: early})
    turned = shifted(other, 0, -60000000)
    copies.check("the second reign before the first", 1, r"P2 is broken: . leads in epoch \d+, after", **{new: turned})
    again = witness + shifted(witness, 0, 60000000)
    copies.check("a witness that forgot its epoch", 0, "5 runs", w=again)  # blank, as its first start was
    again = witness + [line.replace(" blank", "") for line in shifted(witness, 0, 60000000)[:1]]
    copies.check("a witness restored", 1, r"/w:\d+: P2 is broken: w starts with epoch 0", w=again)

    copies.check("a line that is none", 2, rf"/{old}:{win + 1}: ", **{old: master[:win] + ["12 thunder"] + master[win:]})
    cut = master[:win] + [master[win][:9] + " (cut)"] + master[win + 1:]
    copies.check("a cut in the middle of a run", 2, rf"/{old}:{win + 1}: a line is cut off", **{old: cut})
    copies.check("no start", 2, rf"/{old}:1: a trace begins with", **{old: master[1:]})
