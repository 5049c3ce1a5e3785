"""Some three thousand spoilt files, of every kind that the program reads: read rightly, or refused by name."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutations.content import Mutation
from tests.mutations.harness import GOOD, OUTCOMES, Target, run_kind


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_spoilt_file_is_read_rightly_or_refused_by_name(capsys):
    """In a process of its own: what other tests have started would not survive a fork."""
    command = [sys.executable, "-m", "tests.mutations.harness"]
    root = Path(__file__).parents[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=590)
    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    *_, total = done.stdout.splitlines()
    assert sum(map(int, total.replace(".", "0").split()[1:])) > 2500


def _value(folder: Path) -> str:
    return (folder / "file").read_text()


def _nameless(folder: Path) -> str:
    from cytomesh.core.errors import CytomeshError

    if (folder / "file").read_text() != "sound":
        raise CytomeshError("something")
    return "sound"


def _hang(folder: Path) -> str:
    while (folder / "file").read_text() != "sound":
        pass
    return "sound"


def _die(folder: Path) -> str:
    if (folder / "file").read_text() != "sound":
        os.kill(os.getpid(), signal.SIGKILL)
    return "sound"


def _huge(folder: Path) -> int:
    return len(bytearray(600_000_000 if (folder / "file").read_text() != "sound" else 1))


@pytest.mark.parametrize(
    ("read", "outcome"),
    [(_value, "wrong"), (_nameless, "nameless"), (_hang, "hang"), (_die, "abort"), (_huge, "huge")],
)
def test_the_harness_notices_what_is_bad(tmp_path, monkeypatch, read, outcome):
    monkeypatch.setattr("tests.mutations.harness.SECONDS", 4.0)
    monkeypatch.setattr(Target, "mutations", lambda self, content, seed: self.own)
    (tmp_path / "file").write_text("sound")
    spoil = Mutation("spoilt", "cut", lambda path, data: path.write_bytes(b"spoilt"))
    counts, lines = run_kind([Target("file", read, (spoil,))], tmp_path)
    assert dict(counts) == {outcome: 1}
    assert outcome in OUTCOMES and outcome not in GOOD
    assert lines[0].startswith("file: spoilt: ")
    assert (tmp_path / "file").read_text() == "sound"
