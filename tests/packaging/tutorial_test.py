#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Can a stranger follow tanist-broker(7)? Runs its commands, one after the other: tutorial_test.py build/VARIANT

In a directory, network and process namespace of their own. And what it quotes must stand in the source.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from cases import ROOT, expect, play

PAGE = ROOT / "packaging/man/tanist-broker.7"
BLOCK = re.compile(r'^\.\\" (try|from (\S+))\n\.Bd -literal.*?\n(.*?)\n\.Ed$', re.MULTILINE | re.DOTALL)
SECONDS = 300  # on a machine that has much else to do


def blocks(kind):
    """(file, text) of each block so marked, as people read it."""
    return [(found[2], found[3].replace("\\e", "\\").replace("\\&", ""))
            for found in BLOCK.finditer(PAGE.read_text()) if found[1].startswith(kind)]


def what_it_quotes_is_in_the_source(_):
    quotes = blocks("from ")
    expect("it quotes something", len(quotes) > 5)
    for file, text in quotes:
        expect(f"{file} has not, word by word:\n{text}", text in (ROOT / file).read_text())


def its_commands_do_what_it_says(build):
    with tempfile.TemporaryDirectory() as directory:
        script = "set -e\nip link set lo up\n" + "\n".join(text for _, text in blocks("try"))
        try:
            done = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child",
                                   "bash", "-c", script], cwd=directory, stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
                                  env=dict(os.environ, TANIST_BUILD=str(build)))
            said, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            said, code = (late.stdout or b"").decode(errors="replace"), "nothing in time"
        logs = "".join(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}"
                       for log in sorted(pathlib.Path(directory).glob("*.log")))
        expect(f"the commands ended with {code}:\n{said}\n{logs}", code == 0)
        expect(f"the judge's word:\n{said}", "all acknowledged messages were delivered once, in order" in said)


if __name__ == "__main__":
    sys.exit(play((what_it_quotes_is_in_the_source, its_commands_do_what_it_says),
                  pathlib.Path(sys.argv[1]).resolve()))
