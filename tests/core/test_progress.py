import logging
import os
import sys

import pytest

from cytomesh.core import progress
from cytomesh.core.parallel import map_ordered
from cytomesh.core.progress import hush, log, speak, speaks, track, warn


@pytest.fixture(autouse=True)
def as_a_library():
    hush()
    yield
    hush()


def test_a_library_prints_nothing_and_leaves_lines_to_its_user(capsys, caplog):
    assert list(track(iter([1, 2, 3]), "linking")) == [1, 2, 3]
    with caplog.at_level(logging.INFO):
        log("one line")
        warn("look at this")
    assert [(record.name, record.levelname, record.message) for record in caplog.records] == [
        ("cytomesh", "INFO", "one line"),
        ("cytomesh", "WARNING", "look at this"),
    ]
    assert capsys.readouterr() == ("", "")


def test_a_program_shows_each_line_once_on_standard_error(capsys):
    speak()
    speak()
    log("one line, 100 %")
    assert capsys.readouterr() == ("", "one line, 100 %\n")


def test_quiet(capsys):
    speak(quiet=True)
    log("not this")
    warn("nor this")
    assert capsys.readouterr() == ("", "")


def in_worker(number):
    log(f"line of {number}")
    return speaks(), os.getpid()


@pytest.mark.parametrize("quiet", [False, True])
def test_workers_show_what_their_parent_shows(quiet, capfd):
    speak(quiet=quiet)
    found = list(map_ordered(in_worker, [1, 2], workers=2))
    assert [shown for shown, _ in found] == [not quiet] * 2
    assert os.getpid() not in {pid for _, pid in found}
    assert capfd.readouterr().err.count("line of") == (0 if quiet else 2)


def test_within_a_bar_and_in_workers_none_is_drawn(capsys, monkeypatch):
    speak()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for _ in range(2):  # the second is drawn again
        outer = track([1, 2], "outer")
        assert next(outer) == 1
        assert list(track([3, 4], "inner")) == [3, 4]  # rich would refuse a second live display
        assert list(outer) == [2]
    monkeypatch.setattr(progress, "_bars_left", 0)
    capsys.readouterr()
    assert list(track([1], "worker")) == [1]
    assert capsys.readouterr().err == ""
