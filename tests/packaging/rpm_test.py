#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Are the RPM packages good? Looks into them and unpacks them, without installing: rpm_test.py build/rpm"""

import pathlib
import re
import subprocess
import sys
import tempfile

from cases import ROOT, expect, output, play

FILES = {
    "tanist": ("/usr/bin/tanist", "/etc/tanist/keys", "/man8/tanist.8", "/man5/tanist.conf.5", "/sysusers.d/tanist.conf",
               "/bash-completion/completions/tanist", "/doc/tanist/examples/tanist.conf.example"),
    "tanist-agent": ("/usr/sbin/tanist-agent", "/system/tanist-agent@.service", "/man8/tanist-agent.8"),
    "tanist-witness": ("/usr/sbin/tanist-witness", "/system/tanist-witness.service", "/man8/tanist-witness.8"),
    "libtanist": ("/libtanist.so.0",),
    "libtanist-devel": ("/usr/include/tanist.h", "/libtanist.a", "/libtanist.so", "/pkgconfig/tanist.pc", "/man3/libtanist.3"),
}


class Place:
    def __init__(self, built, directory):
        self.built, self.root = built, pathlib.Path(directory)

    def package(self, name):
        found = [path for path in self.built.glob("RPMS/*/*.rpm") if re.match(rf"{name}-\d", path.name)]
        expect(f"one package {name}, not {found}", len(found) == 1)
        return found[0]

    def unpack(self, name):
        archive = subprocess.run(["rpm2cpio", self.package(name)], stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["cpio", "--extract", "--make-directories", "--quiet"], input=archive, cwd=self.root, check=True)


def every_package_has_its_files(place):
    for name, files in FILES.items():
        listed = output("rpm", "-qlp", place.package(name)).splitlines()
        for file in files:
            expect(f"{name} has no {file}", any(line.removesuffix(".gz").endswith(file) for line in listed))


def no_macro_is_left(place):
    for name in FILES:
        said = output("rpm", "-qp", "--scripts", "--info", "--requires", place.package(name))
        expect(f"{name}: {said}", "%{" not in said and "%systemd" not in said)


def an_upgrade_restarts_and_never_stops(place):
    """What stops is asked to only when the package goes ($1 is 0); the restart comes when all files are there."""
    for name in ("tanist-agent", "tanist-witness"):
        scripts = output("rpm", "-qp", "--qf", "%{POSTTRANS}\n----\n%{PREUN}\n----\n%{POSTUN}%{PREIN}%{POSTIN}%{PRETRANS}",
                         place.package(name)).split("----\n")
        expect(f"{name} is not restarted: {scripts[0]}", re.search(rf"try-restart '?{name}", scripts[0]))
        expect(f"{name} stops at an upgrade: {scripts[1]}", scripts[1].startswith('if [ "$1" -eq 0 ] &&'))
        expect(f"{name} stops elsewhere: {scripts[2]}", "systemctl" not in scripts[2])


def the_programs_run(place):
    version = re.search(r"^VERSION := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    for name in ("tanist", "tanist-agent", "tanist-witness"):
        place.unpack(name)
        program = next(place.root.glob(f"usr/*bin/{name}"))
        expect(f"{program} --version", version in output(program, "--version"))


def the_examples_are_right(place):
    examples = sorted((place.root / "usr/share/doc/tanist/examples").glob("*.conf.example"))
    expect(f"examples: {examples}", len(examples) >= 2)
    for example in examples:
        output(place.root / "usr/sbin/tanist-agent", "-c", example, "-n", "a", "--check")


CASES = (every_package_has_its_files, no_macro_is_left, an_upgrade_restarts_and_never_stops, the_programs_run,
         the_examples_are_right)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(play(CASES, Place(pathlib.Path(sys.argv[1]).resolve(), made)))
