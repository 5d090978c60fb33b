# SPDX-License-Identifier: Apache-2.0
"""Who may notice a mutation, in the order in which they are asked. Each says in a few words what it noticed, or None."""

import glob
import os
import re
import signal
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIMIT_S = 60  # of processor time: a mutant that hangs has been noticed, one on a busy machine has not
SIM_CHUNK, SIM_SEEDS = 25, 1500  # seeds at a time, so that a find ends the search; as many as `make check` plays


def run(*command):
    """Exit code and what was said; None as exit code: it was still running at the limit."""
    done = subprocess.run(("sh", "-c", f'ulimit -t {LIMIT_S}; exec "$@"', "sh") + command, cwd=ROOT, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")
    return (None if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL) else done.returncode), done.stdout


class Scenarios:
    name = "scenarios"
    FILES = sorted(glob.glob(os.path.join(ROOT, "tests/scenario/[0-9]*.txt"))) + ["tests/scenario/two_failures.txt"]
    CHUNK = 4  # dialogues at a time, so that a find ends the search

    @staticmethod
    def program(_):
        return "tests/scenario/runner"

    @classmethod
    def notice(cls, home, _):
        for i in range(0, len(cls.FILES), cls.CHUNK):
            files = [os.path.relpath(file, ROOT) for file in cls.FILES[i:i + cls.CHUNK]]
            code, text = run("tests/scenario/run", home, *files)
            if code == 0:
                continue
            failed = [re.split(r"[-.]", line.split("/")[-1])[0] for line in text.splitlines() if line.startswith("FAILED")]
            return " ".join(failed) if failed else "a crash" if code is not None else "no end"
        return None


class Simulator:
    name = "simulator"

    @staticmethod
    def program(_):
        return "tests/sim/sim"

    @staticmethod
    def notice(home, _):
        for seed in range(1, SIM_SEEDS, SIM_CHUNK):
            code, text = run(f"{home}/tests/sim/sim", str(seed), str(SIM_CHUNK))
            if code == 0:
                continue
            broken = re.search(r"^seed (\d+) breaks '(P\d|[^']*)", text, re.MULTILINE)
            return f"seed {broken[1]}, {broken[2]}" if broken else f"a crash in seeds {seed}…"
        return None


class Explorer:
    name = "explorer"
    STATES = 200000

    @staticmethod
    def program(_):
        return "tests/explore/explore" if os.path.isdir(os.path.join(ROOT, "tests/explore")) else None

    @classmethod
    def notice(cls, home, _):
        history = f"{home}/history.txt"
        code, text = run(f"{home}/tests/explore/explore", "--states", str(cls.STATES), "--any-rows", "--history", history)
        if code in (0, 3):  # 3: a row of the transition table was not reached within so few states
            return None
        broken = re.search(r"(P\d|invariant \d+)", text)
        return broken[1] if broken else "a crash" if code != 1 else "a broken promise"


class UnitTest:
    """For what lies outside the core: files and seals, of which simulator and scenarios have models."""
    name = "unit test"

    @staticmethod
    def program(mutation):
        return f"tests/unit/{mutation.unit}" if mutation.unit else None

    @staticmethod
    def notice(home, mutation):
        code, _ = run(f"{home}/tests/unit/{mutation.unit}")
        return mutation.unit if code != 0 else None


ALL = (Scenarios, Simulator, Explorer, UnitTest)
