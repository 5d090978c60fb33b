# SPDX-License-Identifier: Apache-2.0
"""A few rows of the fault matrix, for `make check`; matrix.py plays it, and matrix.txt says what is promised."""

from matrix_bed import matrix_bed
from matrix_table import TABLE, BadTable, Table
from testbed import Failed, expect, short


def play(bed, table, row):
    story = bed.play(table.story(*row))
    print(row, [str(found) for _, found, _ in story])
    return all(good for _, _, good in story)


def rows(directory, *wanted):
    """Once more where it is not as promised, as matrix.py does: a machine with much to do may have stalled a broker."""
    table = Table()
    with matrix_bed(directory) as bed:
        for row in wanted:
            expect(f"{row}: not as promised, which is because: {table.row(*row).why}",
                   play(bed, table, row) or play(bed, table, row))


@short
def test_machines_and_brokers(directory):
    rows(directory, ("a kill", None), ("broker a kill", "agent b kill"))


@short
def test_wires(directory):
    rows(directory, ("w>a cut", "a>b cut"), ("w reorder", "a stop"))


def refused(path, text):
    path.write_text(text, encoding="utf-8")
    try:
        Table(path).check()
    except BadTable as mistake:
        return str(mistake)
    return ""


def test_mistakes_in_the_table_name_their_place(directory):
    good, bad = TABLE.read_text(encoding="utf-8"), directory / "bad.txt"
    expect("the table itself is good", refused(bad, good) == "")
    lines = good.splitlines()
    number = next(n for n, line in enumerate(lines, 1) if line.startswith("| off-w    | broker-a"))
    for change, words in ((lines[number - 1].replace("broker-a", "broker-c"), f"{bad}:{number}: 'broker-c'"),
                          ("", "no row for 'w kill', then 'broker a kill'"),
                          (lines[number - 1] + " more |", f"{bad}:{number}: a row has"),
                          ("| aw | - | a | pair | a | 0 | a | twice |", "no row for 'w kill', then 'broker a kill'")):
        said = refused(bad, "\n".join(lines[:number - 1] + [change] + lines[number:]))
        expect(f"{words!r} in {said!r}", words in said)
    said = refused(bad, good + "| off-w | off-b | - | pair | - | 0 | * | twice |\n")
    expect(f"a row that is nobody's is told: {said!r}", f"{bad}:{len(lines) + 1}: this row is nobody's" in said)


def test_a_lost_write_is_noticed(directory):
    with matrix_bed(directory) as bed:
        bed.begin()
        with bed.cluster.master().client() as client:
            client.ask("LPOP", bed.key())
        try:
            bed.end()
        except Failed as failure:
            expect(f"as what it is: {failure}", "LOST WRITES" in str(failure) and "1 lost" in str(failure))
            return
        expect("the run fails", False)


@short
def test_the_table_has_a_row_for_every_pair(directory):
    del directory
    Table().check()
