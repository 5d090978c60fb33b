# SPDX-License-Identifier: Apache-2.0
"""Who may notice a mutation, in the order in which they are asked. Each says in a few words what it noticed, or None."""

import os
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIMIT_S = 120  # a mutant that hangs has been noticed
SIM_CHUNK, SIM_SEEDS = 25, 1500  # seeds at a time, so that a find ends the search; as many as `make check` plays


def run(*command):
    """Exit code and what was said; None as exit code: it was still running at the limit."""
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=LIMIT_S)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        return None, ""


class Scenarios:
    name = "scenarios"

    @staticmethod
    def program(_):
        return "tests/scenario/runner"

    @staticmethod
    def notice(home, _):
        code, text = run("tests/scenario/run", home)
        if code == 0:
            return None
        failed = [line.split("/")[-1].split("-")[0].split(".")[0] for line in text.splitlines() if line.startswith("FAILED")]
        return " ".join(failed[:6]) + " …" * (len(failed) > 6) if failed else "a crash" if code is not None else "no end"


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


ALL = (Scenarios, Simulator, UnitTest)
