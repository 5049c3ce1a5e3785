import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cytomesh.core.progress import log
from cytomesh.core.run_log import begin_log, logged

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\d+\] ")


def texts(run: Path) -> list[str]:
    """Messages of a log, without time and process."""
    lines = (run / "log.txt").read_text().splitlines()
    return [LINE.sub("", line, count=1) for line in lines]


def test_what_was_called_said_and_how_it_ended(tmp_path):
    with logged(["classify", "--name", "two words"]):
        begin_log(tmp_path)
        log("seed 0 done")
    first, second, last = texts(tmp_path)
    assert re.fullmatch(r"cytomesh \S+: classify --name 'two words'", first)
    assert second == "seed 0 done"
    assert re.fullmatch(r"done in \d+\.\d s", last)


def test_names_that_are_no_text(tmp_path):
    with logged(["classify", "--config", os.fsdecode(b"\xff.yaml")]):
        begin_log(tmp_path)
    assert texts(tmp_path)[0].endswith(r"classify --config '\udcff.yaml'")


def test_an_error_has_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), logged(["embed"]):
        begin_log(tmp_path)
        1 / 0  # noqa: B018
    assert "error: Traceback" in "\n".join(texts(tmp_path))
    assert texts(tmp_path)[-1].startswith("ZeroDivisionError")


def test_nothing_is_made_for_a_command_that_makes_no_run(tmp_path):
    with logged(["classify"]):
        begin_log(tmp_path / "nowhere")
        log("said")
    assert list(tmp_path.iterdir()) == []


def test_what_was_said_before_the_run_was_there_is_kept(tmp_path):
    with logged(["build-graph"]):
        begin_log(tmp_path / "run")
        log("early")
        (tmp_path / "run").mkdir()
        log("late")
    assert texts(tmp_path / "run")[1:3] == ["early", "late"]


def test_lines_are_added_and_the_next_command_begins_anew(tmp_path):
    for word in ("first", "second"):
        with logged([word]):
            begin_log(tmp_path)
    with logged(["doctor"]):
        log("of no run")
    assert [text.partition(": ")[2] for text in texts(tmp_path)[::2]] == ["first", "second"]


def test_other_ranks_write_none(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with logged(["pretrain"]):
        begin_log(tmp_path)
        log("said")
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "log.txt").mkdir()
    with logged(["report"]):
        begin_log(tmp_path)
        log("said")


def test_lines_of_processes_at_once_stay_whole(tmp_path):
    code = (
        "from pathlib import Path; from cytomesh.core.progress import log, speak\n"
        "from cytomesh.core.run_log import begin_log, logged\n"
        "speak(quiet=True)\n"
        f"with logged(['x']):\n    begin_log(Path({str(tmp_path)!r}))\n"
        "    for i in range(300): log(f'{i} ' + 200 * 'x')\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert len(lines) == 2 * 302
    assert all(LINE.match(line) for line in lines)


def test_command_that_fails_tells_its_run(cytomesh, tmp_path):
    code, out, err = cytomesh("-q", "classify", "--out", tmp_path)
    assert code == 1 and out == ""
    said = texts(tmp_path)
    assert said[0].endswith(f"-q classify --out {tmp_path}")
    assert any("Traceback" in line for line in said)
    assert err.strip().removeprefix("cytomesh: ") in "\n".join(said)


def test_status_only_reads(cytomesh, tmp_path):
    cytomesh("status", "--out", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_passwords_and_signatures_of_addresses_are_left_out(tmp_path):
    address = "https://me:secret@host/bank/a.npy?X-Signature=abc&x=1"
    with logged(["pretrain", "--set", f"patches.bank_address={address}", "--out", str(tmp_path)]):
        begin_log(tmp_path)
        log(f"{address}: not found; s3://bucket/key is")
    text = "\n".join(texts(tmp_path))
    assert "secret" not in text and "abc" not in text
    assert "https://...@host/bank/a.npy?..." in text and "not found; s3://bucket/key is" in text
