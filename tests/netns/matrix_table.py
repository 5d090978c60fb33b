# SPDX-License-Identifier: Apache-2.0
"""matrix.txt, read: which outcomes the protocol allows for a fault, or for two in a row."""

import dataclasses
import pathlib
import random

from faults import catalogue, pairs

TABLE = pathlib.Path(__file__).resolve().with_name("matrix.txt")


class BadTable(Exception):
    """Says FILE:LINE, what is wrong and what would be right."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the columns of the table say; x/y: either, *: whatever."""
    leads: str
    record: str
    answers: str
    reigns: str = "*"
    healed: str = "*"

    def __str__(self):
        return " ".join((self.leads, self.record, self.answers, self.reigns, self.healed))

    def admits(self, found):
        """Is `found`, which has one word a column, this outcome? Its * were not looked at."""
        return all("*" in (want, have) or have in want.split("/")
                   for want, have in zip(dataclasses.astuple(self), dataclasses.astuple(found)))


@dataclasses.dataclass
class Row:
    line: int
    first: frozenset
    then: frozenset
    outcomes: list
    why: str


class Table:
    def __init__(self, path=TABLE):
        self.path, self.groups, self.rows = path, {"any": frozenset(catalogue())}, []
        self.known = set(catalogue())
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            self.line = number
            cells = [cell.strip() for cell in text.strip().strip("|").split("|")]
            if text.startswith("group |"):
                self.take_group(cells)
            elif text.startswith("|") and cells[0] != "first":
                self.take_row(cells)
            elif text and not text.startswith(("#", "|")):
                self.refuse("neither a comment, nor `group | NAME | FAULTS | WHY`, nor a row that begins with |")

    def refuse(self, what):
        raise BadTable(f"{self.path}:{self.line}: {what}")

    def take_group(self, cells):
        if len(cells) != 4 or not all(cells):
            self.refuse("a group is `group | NAME | FAULTS | WHY`")
        members = frozenset().union(*(self.faults(word.strip()) for word in cells[2].split(",")))
        self.groups[cells[1]] = members

    def faults(self, word):
        """The faults that a word of the table names."""
        if word in self.groups:
            return self.groups[word]
        if word not in self.known:
            self.refuse(f"{word!r} is neither a fault nor a group above")
        return frozenset([word])

    def take_row(self, cells):
        if len(cells) != 8 or not all(cells[2:]):
            self.refuse("a row has first, then, leads, record, answers, reigns, healed, why, and none of them empty")
        outcome = Outcome(*cells[2:7])
        if cells[0] == "or":
            self.rows[-1].outcomes.append(outcome)
            return
        then = frozenset() if cells[1] == "-" else self.faults(cells[1])
        self.rows.append(Row(self.line, self.faults(cells[0]), then, [outcome], cells[7]))

    def row(self, first, then=None):
        for row in self.rows:
            if first in row.first and (then in row.then if then else not row.then):
                return row
        raise BadTable(f"{self.path}: no row for {first!r}, then {then!r}: say what the protocol promises there")

    def story(self, first, then=None):
        """The steps of a run: [(fault, the outcomes allowed after it)]."""
        steps = [(first, self.row(first).outcomes)]
        return steps + [(then, self.row(first, then).outcomes)] if then else steps

    def check(self):
        """Every fault and every pair has a row, and every row is the row of some."""
        used = {self.row(fault).line for fault in catalogue()} | {self.row(*pair).line for pair in pairs()}
        for row in self.rows:
            if row.line not in used:
                raise BadTable(f"{self.path}:{row.line}: this row is nobody's: the rows above have all its faults")

    def choose(self, each, seed):
        """All single faults, and of each row of two so many pairs (None: all), drawn by the seed."""
        dice = random.Random(seed)
        rows = {}
        for pair in pairs():
            rows.setdefault(self.row(*pair).line, []).append(pair)
        chosen = [(fault, None) for fault in catalogue()]
        for found in rows.values():
            chosen += found if each is None else dice.sample(found, min(each, len(found)))
        dice.shuffle(chosen)
        return chosen
