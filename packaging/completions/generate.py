#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the shell completions of tanist from its own --help: generate.py PROGRAM [DIRECTORY]

The table of commands (agent/ctl_main.c) is where a command and its options are named; nothing is named here again.
tests/packaging/static_test.py sees that the files are what this writes.
"""

import pathlib
import re
import subprocess
import sys

GLOBAL = (("-c", "FILE", "the cluster of this configuration"),
          ("-s", "SOCKET", "the agent or witness at this control socket"), ("--json", "", "for programs"),
          ("--help", "", "how it is called"), ("--version", "", "its version"))
COMMAND = re.compile(r"^  ([a-z][a-z-]*)(?: (.*))?\n      (.*)$", re.MULTILINE)
OPTION = re.compile(r"(--[a-z][a-z-]*)(?: ([A-Z][A-Z=/]*))?")
FILES, DIRECTORY_OPTIONS = ("FILE", "SOCKET"), ("--directory", "--keys-directory")
TYPED = ("--yes-i-understand",)  # a confirmation is typed, not completed
HEAD = "# SPDX-License-Identifier: Apache-2.0\n# Written by packaging/completions/generate.py from tanist --help.\n"


class Command:
    def __init__(self, name, arguments, text):
        self.name, self.text = name, text
        self.options = list(dict.fromkeys(OPTION.findall(arguments)))
        outside = re.sub(r"\[[^]]*\]|\([^)]*\)", " ", OPTION.sub(" ", arguments))
        self.words = re.findall(r"(?:^|\| )([a-z]+)", outside)
        self.takes_file = "FILE" in outside

    def kind(self, option):
        """What follows an option: "" nothing, else file, directory or word."""
        name, value = option
        if not value:
            return ""
        if name in TYPED:
            return "word"
        return "directory" if name in DIRECTORY_OPTIONS else "file" if value in FILES else "word"


def commands(program):
    text = subprocess.run([program, "--help"], stdout=subprocess.PIPE, check=True, text=True, encoding="utf-8").stdout
    return [Command(*found) for found in COMMAND.findall(text)]


BASH = """{head}_tanist() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} command= words= files= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${{COMP_WORDS[i]}} in
      -c | -s) ((i++)) ;;
      -*) ;;
      *)
        command=${{COMP_WORDS[i]}}
        break
        ;;
    esac
  done
  case $before in
    {file})
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    {directory})
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    {word}) return ;;
  esac
  case $command in
    '') words='{first}' ;;
{rows}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" ${{files:+-f}} -- "$word")
}}
complete -o filenames -F _tanist tanist
"""


def bash_row(c):
    words = " ".join(c.words + [name for name, _ in c.options])
    return f"    {c.name}) words='{words}'{' files=yes' if c.takes_file else ''} ;;"


def bash(table):
    options = {kind: sorted({option[0] for c in table for option in c.options if c.kind(option) == kind})
               for kind in ("file", "directory", "word")}
    return BASH.format(head=HEAD, file=" | ".join(["-c", "-s"] + options["file"]),
                       directory=" | ".join(options["directory"]), word=" | ".join(options["word"]),
                       first=" ".join([name for name, _, _ in GLOBAL] + [c.name for c in table]),
                       rows="\n".join(bash_row(c) for c in table))


def quoted(text):
    return text.replace("'", "'\\''")


ZSH = """#compdef tanist
{head}_tanist() {{
  local state line
  local -a commands=(
{names}
  )
  _arguments -C {options} \\
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case ${{line[1]}} in
{rows}
      esac
      ;;
  esac
}}
_tanist "$@"
"""


def zsh_option(name, value, kind, text):
    action = {"": "", "file": ":file:_files", "directory": ":directory:_files -/", "word": f":{value.lower()}:"}[kind]
    return f"'{name}[{text}]{action}'"


def zsh_row(c):
    words = [zsh_option(*option, c.kind(option), option[0][2:]) for option in c.options]
    words += ["'1:what:(" + " ".join(c.words) + ")'"] if c.words else []
    words += ["'*:file:_files'"] if c.takes_file else []
    return f"        {c.name}) _arguments {' '.join(words)} ;;" if words else ""


def zsh(table):
    names = [f"    '{c.name}:{quoted(c.text).replace(':', chr(92) + ':')}'" for c in table]
    options = " ".join(zsh_option(name, value, "file" if value else "", text) for name, value, text in GLOBAL)
    rows = [zsh_row(c) for c in table if zsh_row(c)]
    return ZSH.format(head=HEAD, names="\n".join(names), options=options, rows="\n".join(rows))


def fish(table):
    lines = [HEAD + "complete -c tanist -f"]
    for name, value, text in GLOBAL:
        option = f"-s {name[1:]}" if not name.startswith("--") else f"-l {name[2:]}"
        lines.append(f"complete -c tanist -n __fish_use_subcommand {option}{' -r -F' if value else ''} -d '{text}'")
    for c in table:
        lines.append(f"complete -c tanist -n __fish_use_subcommand -a {c.name} -d '{quoted(c.text)}'")
        seen = f"complete -c tanist -n '__fish_seen_subcommand_from {c.name}'"
        if c.words:
            lines.append(f"{seen} -a '{' '.join(c.words)}'")
        if c.takes_file:
            lines.append(f"{seen} -F")
        for name, value in c.options:
            takes = {"": "", "word": " -x", "file": " -r -F", "directory": " -x -a '(__fish_complete_directories)'"}
            lines.append(f"{seen} -l {name[2:]}{takes[c.kind((name, value))]}")
    return "\n".join(lines + [""])


def written(program):
    """The files' names and texts."""
    table = commands(program)
    return {"tanist.bash": bash(table), "_tanist": zsh(table), "tanist.fish": fish(table)}


def main():
    directory = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else __file__).resolve()
    directory = directory if directory.is_dir() else directory.parent
    for name, text in written(sys.argv[1]).items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
