#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""When mutate.py may write its table: it must not where a mutation survived, whatever was true before."""

import contextlib
import io
import sys

import mutate
import mutations

NAMES = [mutation.name for mutation in mutations.MUTATIONS]


def caught(name):
    return mutate.line(mutations.Mutation(name, "", ()), [("scenarios", "01", 0.5)])


def survived(name):
    return mutate.line(mutations.Mutation(name, "", ()), [("scenarios", None, 0.5)])


def written(*lines):
    with contextlib.redirect_stdout(io.StringIO()):
        return mutate.table("\n".join(lines)) is not None


ALL = [caught(name) for name in NAMES]
CASES = {
    "all are caught": written(*ALL),
    "one is not among them": not written(*ALL[1:]),
    "one survived": not written(*ALL[1:], survived(NAMES[0])),
    "one was caught before and survived now": not written(*ALL, survived(NAMES[0])),
    "one was caught before and no longer compiles": not written(*ALL, f"{NAMES[0]}: does not compile:\nnote: why"),
    "one survived before and is caught now": written(survived(NAMES[0]), *ALL),
}

if __name__ == "__main__":
    wrong = [name for name, right in CASES.items() if not right]
    for name in wrong:
        print(f"FAILED: the table, where {name}")
    print(f"{len(CASES) - len(wrong)} passed, {len(wrong)} failed")
    sys.exit(bool(wrong))
