# SPDX-License-Identifier: Apache-2.0
"""A few rows of the fault matrix, for `make check`; matrix.py plays it, and matrix.txt says what is promised."""

from matrix_bed import matrix_bed
from matrix_table import Table
from testbed import expect, short


def rows(directory, *wanted):
    table = Table()
    with matrix_bed(directory) as bed:
        for row in wanted:
            story = bed.play(table.story(*row))
            print(row, [str(found) for _, found, _ in story])
            expect(f"{row}: {story[-1]}, because {table.row(*row).why}", all(good for _, _, good in story))


@short
def test_machines_and_brokers(directory):
    rows(directory, ("a kill", None), ("broker a kill", "agent b kill"))


@short
def test_wires(directory):
    rows(directory, ("w>a cut", "a>b cut"), ("w reorder", "a stop"))


@short
def test_the_table_has_a_row_for_every_pair(directory):
    del directory
    Table().check()
