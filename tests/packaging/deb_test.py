#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Are the Debian packages good? Installs, upgrades and removes them in a directory of their own: deb_test.py build/deb

As root of a user namespace, with a systemctl that only writes down what it is told. Nothing of this machine changes.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from cases import ROOT, expect, output, play

NAMES = ("tanist", "tanist-agent", "tanist-witness", "libtanist0", "libtanist-dev")
FILES = {
    "tanist": ("usr/bin/tanist", "etc/tanist/keys/", "usr/share/man/man8/tanist.8.gz", "usr/share/man/man5/tanist.conf.5.gz",
               "usr/lib/sysusers.d/tanist.conf", "usr/share/bash-completion/completions/tanist",
               "usr/share/doc/tanist/examples/tanist.conf.example"),
    "tanist-agent": ("usr/sbin/tanist-agent", "lib/systemd/system/tanist-agent@.service", "usr/share/man/man8/tanist-agent.8.gz"),
    "tanist-witness": ("usr/sbin/tanist-witness", "lib/systemd/system/tanist-witness.service",
                       "usr/share/man/man8/tanist-witness.8.gz"),
    "libtanist0": ("/libtanist.so.0",),
    "libtanist-dev": ("usr/include/tanist.h", "/libtanist.a", "/libtanist.so", "/pkgconfig/tanist.pc",
                      "usr/share/man/man3/libtanist.3.gz"),
}
PROGRAM = """#include <stdio.h>
#include <tanist.h>
int main(void) { struct tanist *t; printf("%d\\n", tanist_open(&t, "/nowhere")); return 0; }
"""
POLICY = "/usr/sbin/policy-rc.d"
UPGRADE_RESTARTS = ["--system daemon-reload", "try-restart tanist-agent@*.service", "try-restart tanist-witness.service"]


class Place:
    """A root directory with a dpkg database, and what systemctl was told there."""

    def __init__(self, built, directory):
        self.built, self.directory = built, pathlib.Path(directory)
        self.root, self.told = self.directory / "root", self.directory / "told"
        for name in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "usr/sbin"):
            (self.root / name).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()
        self.told.touch()
        self.bin = self.directory / "bin"
        self.bin.mkdir()
        self.write(self.bin / "systemctl", f'#!/bin/sh\necho "$*" >>{self.told}\n')

    @staticmethod
    def write(path, text):
        path.write_text(text)
        path.chmod(0o755)

    def package(self, name):
        found = list(self.built.glob(f"{name}_*.deb"))
        expect(f"one package {name}, not {found}", len(found) == 1)
        return found[0]

    def inside(self, mounts, *command):
        """Runs a command where /run says that systemd runs; returns what systemctl was told, but for questions."""
        self.told.write_text("")
        environment = dict(os.environ, PATH=f"{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin")
        script = f"mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && {mounts} exec \"$@\""
        output("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *command, env=environment)
        lines = [re.sub(r"^--(system|quiet) (--system )?(?!daemon)", "", line) for line in self.told.read_text().splitlines()]
        return [line for line in lines if not re.match(r"(--\S+ )*(is-enabled|is-active|list-)", line)]

    def install(self):
        return self.inside("", "dpkg", f"--root={self.root}", "--force-depends", "--force-script-chrootless",
                           "--force-not-root", "--install", *(str(self.package(name)) for name in NAMES))

    def scripts(self, *runs):
        """Runs maintainer scripts as dpkg would on a machine: each NAME.SCRIPT with its arguments, where there is one.

        Under --root they would leave the services alone. What they keep goes into mounts that end with them."""
        mounts = "".join(f"mount -t tmpfs tmpfs {path} && " for path in ("/etc/systemd", "/var/lib/systemd"))
        if os.path.exists(POLICY):
            mounts += f"mount --bind /bin/true {POLICY} && "
        lines = [f"{self.root}/var/lib/dpkg/info/{name} {arguments}" for name, arguments in runs
                 if (self.root / "var/lib/dpkg/info" / name).exists()]
        return self.inside(mounts, "sh", "-ec", "\n".join(lines))


def every_package_has_its_files(place):
    for name, files in FILES.items():
        listed = output("dpkg-deb", "--contents", place.package(name))
        for file in files:
            expect(f"{name} has no {file}", re.search(rf"{re.escape(file)}( -> .*)?$", listed, re.MULTILINE))


def lintian_finds_nothing(place):
    said = output("lintian", "--fail-on", "error,warning", *place.built.glob("*.changes"))
    expect(f"lintian says:\n{said}", not re.search(r"^[EW]: ", said, re.MULTILINE))


def an_installation_starts_nothing(place):
    told = place.install()
    expect(f"systemctl was told {told}", not [line for line in told if "start" in line or "enable" in line])
    expect("no service is enabled", not list(place.root.glob("etc/systemd/system/*.wants/*")))
    expect("the user tanist", re.search("^tanist:", (place.root / "etc/passwd").read_text(), re.MULTILINE))
    expect("the group tanist-admin", "tanist-admin:" in (place.root / "etc/group").read_text())


def the_programs_run(place):
    version = re.search(r"^VERSION := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    for program in ("usr/bin/tanist", "usr/sbin/tanist-agent", "usr/sbin/tanist-witness"):
        expect(f"{program} --version", version in output(place.root / program, "--version"))


def the_examples_are_right(place):
    examples = sorted((place.root / "usr/share/doc/tanist/examples").glob("*.conf.example"))
    expect(f"examples: {examples}", len(examples) >= 2)
    for example in examples:
        output(place.root / "usr/sbin/tanist-agent", "-c", example, "-n", "a", "--check")
        output(place.root / "usr/bin/tanist", "check", example)


def the_units_start_what_is_there(place):
    for unit, program in (("tanist-agent@", "tanist-agent"), ("tanist-witness", "tanist-witness")):
        text = (place.root / f"lib/systemd/system/{unit}.service").read_text()
        start = re.search(r"^ExecStart=(/\S+)", text, re.MULTILINE).group(1)
        expect(f"{unit} starts {start}", start == f"/usr/sbin/{program}" and (place.root / start[1:]).exists())
    expect("a restart of the agent leaves the reign in place", "\nRestartKillSignal=SIGUSR1\n" in
           (place.root / "lib/systemd/system/tanist-agent@.service").read_text())
    if shutil.which("systemd-analyze"):
        units = place.root / "lib/systemd/system"
        said = subprocess.run(["systemd-analyze", f"--root={place.root}", "verify", f"{units}/tanist-witness.service",
                               f"{units}/tanist-agent@orders.service"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False).stdout
        wrong = [line for line in said.splitlines() if "tanist" in line and ("Unknown" in line or "/sbin/tanist" in line)]
        expect(f"systemd-analyze verify: {wrong}", not wrong)


def a_program_builds_and_runs_with_the_library(place):
    pkgconfig = next(place.root.glob("usr/lib/*/pkgconfig"))
    environment = dict(os.environ, PKG_CONFIG_LIBDIR=str(pkgconfig), PKG_CONFIG_SYSROOT_DIR=str(place.root),
                       PKG_CONFIG_ALLOW_SYSTEM_LIBS="1", PKG_CONFIG_ALLOW_SYSTEM_CFLAGS="1", LD_LIBRARY_PATH=str(pkgconfig.parent))
    source, program = place.directory / "program.c", place.directory / "program"
    source.write_text(PROGRAM)
    flags = output("pkg-config", "--cflags", "--libs", "tanist", env=environment).split()
    output("cc", "-o", program, source, *flags)
    expect("-ENOENT", output(program, env=environment) == "-2\n")
    output("cc", "-o", program, source, flags[0], pkgconfig.parent / "libtanist.a")
    expect("-ENOENT, linked statically", output(program) == "-2\n")


def services(order):
    return [(f"{name}.{script}", arguments) for script, arguments in order for name in ("tanist-agent", "tanist-witness")]


def a_first_configuration_starts_nothing(place):
    told = place.scripts(*services((("preinst", "install"), ("postinst", "configure"))))
    expect(f"systemctl was told {told}", not [line for line in told if re.search(r"\b(start|restart|enable)\b", line)])


def an_upgrade_restarts_and_never_stops(place):
    """A stop would hand over or lose the lease; one restart, when the new program is there, keeps the reign."""
    told = place.scripts(*services((("prerm", "upgrade 9"), ("preinst", "upgrade 0"), ("postrm", "upgrade 9"),
                                    ("postinst", "configure 0"))))
    for line in UPGRADE_RESTARTS:
        expect(f"{line!r} is not among {told}", line in told)
    expect(f"told to stop: {told}", not [line for line in told if re.search(r"\b(stop|disable|start|enable)\b", line)])
    expect("units are read again first", told.index(UPGRADE_RESTARTS[0]) < told.index(UPGRADE_RESTARTS[1]))


def a_removal_stops(place):
    told = place.scripts(*services((("prerm", "remove"), ("postrm", "remove"))))
    for unit in ("tanist-agent@*.service", "tanist-witness.service"):
        expect(f"{unit} is not stopped: {told}", f"stop {unit}" in told)


CASES = (every_package_has_its_files, lintian_finds_nothing, an_installation_starts_nothing, the_programs_run,
         the_examples_are_right, the_units_start_what_is_there, a_program_builds_and_runs_with_the_library,
         a_first_configuration_starts_nothing, an_upgrade_restarts_and_never_stops, a_removal_stops)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(play(CASES, Place(pathlib.Path(sys.argv[1]).resolve(), made)))
