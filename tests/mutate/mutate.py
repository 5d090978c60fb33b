#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests the tests: breaks the protocol in one place at a time, and demands that somebody notices.

mutate.py [--short] [--rewrite] [NAME...]
  --short    only see that every mutation still applies and compiles
  --rewrite  put the table into tests/mutate/README.md; what is not among NAMES is taken from `--also LOG`, former output
Each mutant has a directory of its own, build/mutate/NAME, with the changed sources, their objects and the programs linked
from these and the objects of build/release; the sources are not touched. Prints 'NAME: caught by WHO after T s' for each,
then 'N passed, N failed'. JOBS= mutants at a time (as many as cores). Exit 1 if a mutation survives, no longer applies or does
not compile.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time

import catchers
import mutations

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD, MUTANTS = "build/release", "build/mutate"
PARTS = f"{BUILD}/parts.a"  # what unit tests link
README = os.path.join(HERE, "README.md")
os.environ.pop("REWRITE", None)  # the table is meant, not the scenarios: a mutant would be taken for right
JOBS = int(os.environ.get("JOBS", os.cpu_count() or 1))
MARK = "<!-- the table: make mutate REWRITE=1 -->\n"
SURVIVED = ("SURVIVED: nobody noticed that it {why}. A test is missing: tell the story in tests/scenario, or have tests/sim do "
            "what it takes")


class Rotten(Exception):
    """A mutation that can no longer be applied, or does not compile."""


def quiet(*command):
    # Without CI: a mutant may leave a name unused, and warnings are no errors then.
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CI")}
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                          stderr=subprocess.STDOUT, text=True, errors="replace", env=environment)


def make(*arguments):
    done = quiet("make", "--no-print-directory", *arguments)
    if done.returncode != 0:
        sys.exit(f"make {' '.join(arguments)}:\n{done.stdout}")
    return done.stdout


# ---- one mutant ----


def apply(mutation):
    """{file: text with the mutation}"""
    texts = {}
    for file, old, new in mutation.changes:
        if file not in texts:
            with open(os.path.join(ROOT, file), encoding="utf-8") as source:
                texts[file] = source.read()
        found = texts[file].count(old)
        if found != 1:
            raise Rotten(f"does not apply: {file} has this {found} times, not once:\n{old}\n"
                         "Say in tests/mutate/mutations.py what stands there now")
        texts[file] = texts[file].replace(old, new)
    return texts


def write(mutation, texts):
    """Puts the changed sources into a fresh directory of this mutant; returns its name."""
    home = f"{MUTANTS}/{mutation.name}"
    shutil.rmtree(os.path.join(ROOT, home), ignore_errors=True)
    for file, text in texts.items():
        path = os.path.join(ROOT, home, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as target:
            target.write(text)
    return home


RECIPES = {}


def recipe(files, targets):
    """What make would run if these files had changed: the flags stay in the Makefile alone."""
    key = (tuple(files), tuple(targets))
    if key not in RECIPES:
        changed = [argument for file in files for argument in ("-W", file)]
        RECIPES[key] = [line for line in make("-n", *changed, *targets).splitlines()
                        if " -o " in line or line.startswith(f"ar qcsT {PARTS} ")]
    return RECIPES[key]


def build(home, files, targets):
    """The same, from the changed sources, into the mutant's directory."""
    ours = {file: f"{home}/{file}" for file in files}
    for made in [f"{BUILD}/{os.path.splitext(file)[0]}.o" for file in files] + [PARTS] + list(targets):
        ours[made] = home + made[len(BUILD):]
        os.makedirs(os.path.join(ROOT, os.path.dirname(ours[made])), exist_ok=True)
    for line in recipe(files, targets):
        done = quiet("sh", "-c", " ".join(ours.get(word, word) for word in line.split(" ")))
        if done.returncode != 0:
            raise Rotten(f"does not compile:\n{done.stdout}")


def compile_only(home, files):
    for line in recipe(files, [f"{BUILD}/{os.path.splitext(file)[0]}.o" for file in files]):
        command = " ".join(f"{home}/{word}" if word in files else word for word in line.split(" -MMD ")[0].split(" "))
        source = line.split(" ")[-1]
        done = quiet("sh", "-c", f"{command} -fsyntax-only {home}/{source}")
        if done.returncode != 0:
            raise Rotten(f"does not compile:\n{done.stdout}")


def asked(mutation):
    return [catcher for catcher in catchers.ALL if catcher.program(mutation)]


def programs(chosen):
    return sorted({f"{BUILD}/{catcher.program(mutation)}" for mutation in chosen for catcher in asked(mutation)})


def catch(home, mutation, everybody):
    """[(catcher's name, what it says or None, seconds)], up to the first that notices unless everybody is asked."""
    found = []
    for catcher in asked(mutation):
        if not os.path.exists(os.path.join(ROOT, home, catcher.program(mutation))):
            continue  # what was changed is no part of it
        began = time.monotonic()
        said = catcher.notice(home, mutation)
        found.append((catcher.name, said, time.monotonic() - began))
        if said and not everybody:
            break
    return found


def test(mutation, args):
    """Exercises one mutation; returns what catch() found, or [] if only compiled."""
    texts = apply(mutation)
    home = write(mutation, texts)
    if args.short:
        compile_only(home, list(texts))
        return []
    build(home, list(texts), programs([mutation]))
    return catch(home, mutation, False)


def attempt(mutation, args):
    """What test() returns, or the Rotten that it raised."""
    try:
        return test(mutation, args)
    except Rotten as error:
        return error


# ---- the run ----


def unmutated(chosen):
    """Nothing counts if somebody complains of the code as it is."""
    make(f"-j{JOBS}", *programs(chosen))
    for mutation in [mutations.Mutation("as it is", "", ())] + [m for m in chosen if m.unit]:
        for who, said, _ in catch(BUILD, mutation, True):
            if said:
                sys.exit(f"the code as it is does not pass: {who}: {said}")


def line(mutation, found):
    spent = 0.0
    for who, said, seconds in found:
        spent += seconds
        if said:
            return f"{mutation.name}: caught by {who} after {spent:.1f} s ({said})"
    return f"{mutation.name}: {SURVIVED.format(why='breaks ' + mutation.why)}"


LINE = re.compile(r"([a-z-]+): (?:caught by (.+) after ([\d.]+) s \((.*)\)$)?")


def table(text):
    """From what was printed; of two lines on one mutation the later counts. None if a mutation was not caught."""
    caught = {found[1]: found.groups()[1:] for found in map(LINE.match, text.splitlines()) if found}
    missing = [m.name for m in mutations.MUTATIONS if not caught.get(m.name, (None,))[0]]
    if missing:
        print(f"no table: not caught: {' '.join(missing)}")
        return None
    rows, sums = ["| mutation | breaks | caught by | after |", "|---|---|---|---|"], {}
    for mutation in mutations.MUTATIONS:
        who, seconds, said = caught[mutation.name]
        sums[who] = sums.get(who, 0) + 1
        rows.append(f"| {mutation.name} | {mutation.why} | {who} ({said}) | {seconds} s |")
    rows.append(f"| **{len(mutations.MUTATIONS)}** | | " + ", ".join(f"{who} {n}" for who, n in sums.items()) + " | |")
    return "\n".join(rows) + "\n"


def rewrite(text):
    with open(README, encoding="utf-8") as readme:
        head = readme.read().split(MARK)[0]
    with open(README, "w", encoding="utf-8") as readme:
        readme.write(head + MARK + text)


def test_all(chosen, args):
    """Prints a line a mutation; returns these lines and how many failed."""
    lines, failed = [], 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for mutation, found in zip(chosen, pool.map(lambda mutation: attempt(mutation, args), chosen)):
            text = f"{mutation.name}: {found}" if isinstance(found, Rotten) else line(mutation, found)
            caught = not isinstance(found, Rotten) and (args.short or any(said for _, said, _ in found))
            failed += not caught
            lines.append(text)
            if not (args.short and caught):
                print(text, flush=True)
    return lines, failed


def main():
    parser = argparse.ArgumentParser(add_help=False)
    for option in ("--short", "--rewrite"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    unknown = set(args.names) - {m.name for m in mutations.MUTATIONS}
    if unknown:
        sys.exit(f"no such mutation: {' '.join(sorted(unknown))}; tests/mutate/mutations.py has them all")
    chosen = [m for m in mutations.MUTATIONS if not args.names or m.name in args.names]
    if not args.short:
        unmutated(chosen)
    lines, failed = test_all(chosen, args)
    if args.rewrite:
        before = [open(log, encoding="utf-8").read() for log in args.also]
        text = table("\n".join(before + lines))
        if text:
            rewrite(text)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
