#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What links libtanist as `make install` puts it down: outside.py MAKEPAGES STAGE PREFIX CC CXX

A C and a C++ program that know nothing of this tree but what pkg-config tells them, with the shared and with the static
library; what the library needs and shows. Ends with 'N passed, N failed'.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"]


class Outside:
    """The staged installation, and a directory for what is made of it."""

    def __init__(self, makepages, stage, prefix, cc, cxx, directory):
        self.makepages, self.directory = makepages, pathlib.Path(directory)
        self.stage, self.library = stage, pathlib.Path(stage + prefix) / "lib"
        self.header = pathlib.Path(stage + prefix) / "include" / "tanist.h"
        self.compilers = {"c": shlex.split(cc) + ["-std=c11", "-D_GNU_SOURCE"], "cc": shlex.split(cxx) + ["-std=c++11"]}

    def run(self, *words, **more):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **more)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def pkg_config(self, what):
        environment = dict(os.environ, PKG_CONFIG_PATH=str(self.library / "pkgconfig"), PKG_CONFIG_SYSROOT_DIR=self.stage)
        return self.run("pkg-config", what, "tanist", env=environment).split()

    def build(self, kind, static):
        program = self.directory / f"outside-{kind}-{'static' if static else 'shared'}"
        link = [self.library / "libtanist.a"] if static else self.pkg_config("--libs") + [f"-Wl,-rpath,{self.library}"]
        self.run(*self.compilers[kind], *WARNINGS, *self.pkg_config("--cflags"), HERE / f"outside.{kind}", *link, "-o", program)
        return program

    def play(self, kind, static):
        with tempfile.TemporaryDirectory(dir=self.directory) as place:
            state = pathlib.Path(place) / "orders.a.state"
            self.run(self.makepages, state, state.with_suffix(".report"))
            self.run(self.build(kind, static), state, *([place] if kind == "c" else []), timeout=60)

    # ---- the tests ----

    def test_c_shared(self):
        self.play("c", False)

    def test_c_static(self):
        self.play("c", True)

    def test_cxx_shared(self):
        self.play("cc", False)

    def test_cxx_static(self):
        self.play("cc", True)

    def test_header_stands_alone(self):
        """In the oldest dialects that it is for."""
        for kind, dialect in (("c", "c99"), ("cc", "c++11")):
            source = self.directory / f"alone.{kind}"
            source.write_text("#include <tanist.h>\n#include <tanist.h>\n", encoding="ascii")
            self.run(self.compilers[kind][0], f"-std={dialect}", *WARNINGS, *self.pkg_config("--cflags"), "-fsyntax-only", source)

    def test_libc_alone(self):
        for line in self.run("readelf", "-d", self.library / "libtanist.so").splitlines():
            assert "NEEDED" not in line or "[libc.so.6]" in line, line

    def declared(self):
        text = re.sub(r"//.*", "", self.header.read_text(encoding="utf-8"))
        return sorted(re.findall(r"TANIST_API\s[^;]*?\b(tanist_\w+)\(", text))

    def test_shows_what_is_declared_and_nothing_else(self):
        for library in ("libtanist.so", "libtanist.a"):
            dynamic = ["-D"] if library.endswith("so") else ["-g"]
            shown = self.run("nm", *dynamic, "--defined-only", "--format=posix", self.library / library)
            names = sorted(line.split()[0] for line in shown.splitlines() if len(line.split()) > 2)
            assert names == self.declared(), set(names) ^ set(self.declared())

    def test_every_declaration_is_documented(self):
        """By the lines right above it, or by those above its group, or at its end."""
        lines, said = self.header.read_text(encoding="utf-8").splitlines(), False
        for number, line in enumerate(lines, 1):
            if line.startswith("//"):
                said = not line.startswith("// ----")
            elif not line.strip():
                said = False
            elif line.startswith("TANIST_API"):
                assert said or "//" in " ".join(lines[number - 1:number + 1]) or "_close(" in line, f"line {number}: {line}"


def main():
    names = [name for name in vars(Outside) if name.startswith("test_")]
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        outside = Outside(*sys.argv[1:6], directory)
        for name in names:
            try:
                getattr(outside, name)()
            except (AssertionError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"FAILED {name.removeprefix('test_')}: {error}")
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
