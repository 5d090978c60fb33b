# SPDX-License-Identifier: Apache-2.0
"""What the tests of the packages share: running cases one after the other, and programs."""

import pathlib
import subprocess
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]


def expect(what, holds):
    if not holds:
        raise AssertionError(what)


def output(*command, **more):
    """What a program says, both streams; it must end with 0."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False, **more)
    expect(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}", done.returncode == 0)
    return done.stdout


def play(cases, *arguments):
    """Runs each; the last line is 'N passed, N failed'. Returns an exit code."""
    failed = 0
    for case in cases:
        try:
            case(*arguments)
            print(f"passed {case.__name__}", flush=True)
        except Exception:  # whatever it is, the other cases are run
            traceback.print_exc()
            print(f"FAILED {case.__name__}", flush=True)
            failed += 1
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0
