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


def test_without_a_terminal_a_line_now_and_then_says_how_far_it_is(capsys, monkeypatch):
    speak()
    seconds = iter(range(0, 6000, 100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))
    assert list(track(range(6), "embed", unit="sections", note=lambda: "reading")) == list(range(6))
    # one look at the clock before each item: 100 s apart, a line after 180 s or more
    assert capsys.readouterr().err.splitlines() == [
        "embed: 1 of 6 sections, 17 min left, reading",
        "embed: 3 of 6 sections, 7 min left, reading",
        "embed: 5 of 6 sections, 2 min left, reading",
    ]


def test_quick_work_without_a_terminal_is_silent_and_so_are_workers(capsys, monkeypatch):
    speak()
    list(track(range(100), "embed"))
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    monkeypatch.setattr(progress, "_bars_left", 1)
    progress.draw_no_bars()
    list(track(range(100), "embed"))
    assert capsys.readouterr() == ("", "")


def test_hours_are_said_as_such():
    assert [progress._duration(seconds) for seconds in (1, 3599, 3661, 360000)] == [
        "1 min",
        "1 h 00 min",
        "1 h 02 min",
        "100 h 00 min",
    ]
