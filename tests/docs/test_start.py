"""The pages of "Getting started": each goes from an empty folder to a result by the commands that it shows."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import CONTEXT, be_torchrun

START = Path(__file__).parents[2] / "docs" / "start"
PAGES = ("hemispheres", "block", "surfaces", "new-brain", "cluster")


def commands(text: str) -> list[str]:
    """Return the commands of a page's console blocks: lines after "$ ", and those after "> " that continue them."""
    found: list[str] = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(line[2:])
            elif line.startswith("> "):
                found[-1] += "\n" + line[2:]
    return found


def run_in(folder: Path, command: str) -> tuple[int, str]:
    """Run a command in a folder; return its exit code, and all that it said.

    Python programs are forked from a process that has imported everything, which saves seconds each.
    """
    words = shlex.split(command.replace("\\\n", "")) if command.startswith(("cytomesh ", "torchrun ")) else []
    if not words:
        done = subprocess.run(["bash", "-ec", command], cwd=folder, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr
    said = folder.with_name("said.txt")
    process = CONTEXT.Process(target=_program, args=(folder, said, words))
    process.start()
    process.join()
    return process.exitcode or 0, said.read_text()


def _program(folder: Path, said: Path, words: list[str]) -> None:
    os.chdir(folder)
    with said.open("w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    # with one processor, work stays in this process: for so little, workers would import more than they do
    os.sched_getaffinity = lambda process: {0}
    if words[0] == "torchrun":
        module = words.index("-m")
        assert words[module + 1] == "cytomesh"
        be_torchrun(words[1:module], words[module + 2 :])
        return
    from cytomesh.cli.app import main

    try:
        main(words[1:])
    finally:
        sys.stdout.flush()


@pytest.mark.slow
@pytest.mark.timeout(900)  # a whole study, from nothing to a report
@pytest.mark.parametrize("page", PAGES)
def test_a_page_leads_to_a_result_by_its_own_commands(page, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    for command in commands((START / f"{page}.md").read_text()):
        code, said = run_in(folder, command)
        assert code == 0, f"{command}\n{said}"
        if command.startswith("cytomesh init"):
            assert "Nothing is left to fill in" in said, said
        if command.startswith("cytomesh study check"):
            assert "No problem found." in said, said


def test_every_page_names_its_results():
    pages = {path.stem for path in START.glob("*.md")}
    assert pages == {*PAGES, "index", "install"}
    for page in PAGES:
        shown = commands((START / f"{page}.md").read_text())
        results = [word for command in shown if command.startswith("ls ") for word in command.split()[1:]]
        assert len(results) >= 2 and shown[-1].startswith("ls "), page


def test_what_a_page_shows_is_read_as_a_shell_reads_it(tmp_path):
    shown = ["$ cat > a.txt <<'END'", "> one", ">   two", "> END", "some output", "$ ls \\", ">   a.txt"]
    text = "\n".join(["```console", *shown, "```", "```bash", "false", "```", ""])
    first, second = commands(text)
    assert run_in(tmp_path, first) == (0, "") and (tmp_path / "a.txt").read_text() == "one\n  two\n"
    assert run_in(tmp_path, second) == (0, "a.txt\n")
    assert run_in(tmp_path, "ls b.txt")[0] != 0
    code, said = run_in(tmp_path, "cytomesh study check b.yaml")
    assert code == 1 and "b.yaml" in said
