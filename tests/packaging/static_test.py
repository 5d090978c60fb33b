#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does what is packaged agree with the programs and with itself? Nothing is built: static_test.py build/VARIANT"""

import pathlib
import re
import shutil
import subprocess
import sys

from cases import ROOT, expect, output, play

sys.path.insert(0, str(ROOT / "packaging/completions"))
import generate  # noqa: E402

PACKAGING = ROOT / "packaging"


def makefile(name):
    return re.search(rf"^{name} := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)


def completions_are_those_of_the_programs(build):
    for name, text in generate.written(build / "tanist").items():
        expect(f"packaging/completions/{name} is not what `make completions` writes from tanist --help",
               (PACKAGING / "completions" / name).read_text(encoding="utf-8") == text)


def completed(*words):
    """What bash offers for the last of these words."""
    script = (f"source {PACKAGING}/completions/tanist.bash; COMP_WORDS=(\"$@\"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
              "_tanist; printf '%s\\n' \"${COMPREPLY[@]}\"")
    return output("bash", "-c", script, "bash", *words, cwd=PACKAGING).split()


def bash_completes_commands_options_and_files(build):
    expect("a command", completed("tanist", "switch") == ["switchover"])
    expect("a command behind options", completed("tanist", "--json", "-c", "file", "his") == ["history"])
    expect("an option of that command", completed("tanist", "switchover", "--d") == ["--dry-run"])
    expect("no option of another one", completed("tanist", "status", "--d") == [])
    expect("a word of that command", completed("tanist", "orphans", "rep") == ["replay"])
    expect("a file behind -c", completed("tanist", "-c", "dep") == ["dependencies.txt"])
    expect("a file for check", completed("tanist", "check", "sysu") == ["sysusers.conf"])
    expect("nothing for a typed confirmation", completed("tanist", "reset-voter", "--yes-i-understand", "d") == [])


def other_shells_read_their_completions(build):
    for shell, name in (("zsh", "_tanist"), ("fish", "tanist.fish")):
        if shutil.which(shell):
            output(shell, "-n", PACKAGING / "completions" / name)
        else:
            print(f"  {shell} is not installed: {name} was not read")


def every_command_and_option_is_in_the_manual(build):
    manual = manual_text("tanist.8")
    for command in generate.commands(build / "tanist"):
        expect(f"tanist(8) says nothing of {command.name}", re.search(rf"^ *{command.name}\b", manual, re.MULTILINE))
        for option, _ in command.options:
            expect(f"tanist(8) says nothing of {command.name} {option}", option in manual)


def manual_text(page):
    done = subprocess.run(["man", "-l", "-P", "cat", str(PACKAGING / "man" / page)], stdout=subprocess.PIPE, text=True,
                          env={"PATH": "/usr/bin:/bin", "MANWIDTH": "200", "LC_ALL": "C.UTF-8"}, check=True)
    return re.sub(".\b", "", done.stdout).replace("\u2010", "-").replace("\u2212", "-")


def the_daemons_options_are_in_their_manuals(build):
    for program in ("tanist-agent", "tanist-witness"):
        usage, manual = output(build / program, "--help"), manual_text(f"{program}.8")
        for option in set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", usage)):
            expect(f"{program}(8) says nothing of {option}", re.search(rf"(?<![\w-]){option}\b", manual))


def the_manuals_are_clean(build):
    for page in sorted((PACKAGING / "man").iterdir()):
        said = output("man", "-l", "--warnings", "-P", "cat", page, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
        found = [line for line in said.splitlines() if re.search(r"(warning|error):", line)]
        expect(f"{page.name}: {found}", not found and "NAME" in said)


def every_manual_is_in_one_package(build):
    debian = "".join(path.read_text() for path in sorted((PACKAGING / "debian").glob("*.manpages")))
    spec = (PACKAGING / "tanist.spec").read_text()
    for page in sorted((PACKAGING / "man").iterdir()):
        expect(f"{page.name} belongs into one of packaging/debian/*.manpages", debian.count(f"/{page.name}\n") == 1)
        expect(f"{page.name} belongs under one %files of packaging/tanist.spec", spec.count(f"/{page.name}*\n") == 1)


def one_version_everywhere(build):
    version = makefile("VERSION")
    expect("packaging/debian/changelog names another version than the Makefile",
           (PACKAGING / "debian/changelog").read_text().startswith(f"tanist ({version}) "))
    expect("CHANGELOG.md does not begin with the Makefile's version",
           re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE).group(1) == version)
    expect("the program tells another version", version in output(build / "tanist", "--version"))


def every_exported_function_is_a_symbol_of_the_package(build):
    exported = set(re.findall(r" [TR] (tanist_\w+)", output("nm", "-D", "--defined-only", build / "libtanist.so")))
    written = set(re.findall(r"^ (\w+)@", (PACKAGING / "debian/libtanist0.symbols").read_text(), re.MULTILINE))
    expect(f"packaging/debian/libtanist0.symbols and libtanist.so differ in {sorted(exported ^ written)}", exported == written)


CASES = (completions_are_those_of_the_programs, bash_completes_commands_options_and_files,
         other_shells_read_their_completions, every_command_and_option_is_in_the_manual,
         the_daemons_options_are_in_their_manuals, the_manuals_are_clean, every_manual_is_in_one_package, one_version_everywhere,
         every_exported_function_is_a_symbol_of_the_package)

if __name__ == "__main__":
    sys.exit(play(CASES, pathlib.Path(sys.argv[1]).resolve()))
