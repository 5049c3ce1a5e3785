"""Sections in one process: order, what is kept, what is left out; files that name a scheduler."""

import json

import pytest

from cytomesh.core.errors import ClusterError, ContourError, CytomeshError, StorageError
from cytomesh.core.section_log import SectionLog
from cytomesh.core.sections import SectionTask, map_sections, scheduler_address
from tests.core import section_work as work


def tasks(n=6):
    return [SectionTask(f"B01 section {i}", i) for i in range(n)]


def results(function, **options):
    return [result for _, result in map_sections(function, tasks(), doing="test", **options)]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_bad_section_stops_and_the_others_are_left_out_on_request(workers):
    with pytest.raises(ContourError, match=r"s2\.geojson: found nothing"):
        results(work.square_or_fail, workers=workers)
    left_out: dict[str, CytomeshError] = {}
    assert results(work.square_or_fail, workers=workers, left_out=left_out) == [0, 1, 9, 16]
    assert {name: problem.source for name, problem in left_out.items()} == {
        "B01 section 2": "s2.geojson",
        "B01 section 5": "s5.geojson",
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_all_may_be_left_out(workers):
    left_out: dict[str, CytomeshError] = {}
    assert results(work.always_fail, workers=workers, left_out=left_out) == []
    assert list(left_out) == [task.name for task in tasks()]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("function", "error"), [(work.bug, ZeroDivisionError), (work.full_disk, StorageError)])
def test_what_is_no_fault_of_a_section_always_stops(function, error, workers):
    with pytest.raises(error):
        results(function, workers=workers, left_out={})


def test_where_an_error_was_raised_is_kept_for_debugging():
    with pytest.raises(ContourError) as raised:
        results(work.square_or_fail, workers=2)
    assert "section_work.py" in str(raised.value.__cause__)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_call_does_what_is_missing(tmp_path, workers):
    def call(texts):
        jobs = [
            SectionTask(f"s{i}", (tmp_path / f"{i}.txt", text), f"key of {text}", tmp_path / f"{i}.txt")
            for i, text in enumerate(texts)
        ]
        made = map_sections(work.write, jobs, doing="write", workers=workers, states=SectionLog(tmp_path))
        return [(task.name, n) for task, n in made]

    def calls():
        return [len((tmp_path / f"{i}.calls").read_text()) for i in range(4)]

    texts = ["a", "bb", "ccc", "dddd"]
    assert call(texts) == [("s0", 1), ("s1", 2), ("s2", 3), ("s3", 4)]
    assert call(texts) == [("s0", 1), ("s1", 2), ("s2", 3), ("s3", 4)] and calls() == [1, 1, 1, 1]
    (tmp_path / "1.txt").unlink()
    (tmp_path / "3.txt").write_text("edited")
    assert call(["a", "bb", "c", "dddd"]) == [("s0", 1), ("s1", 2), ("s2", 1), ("s3", 4)]
    assert calls() == [1, 2, 2, 2] and (tmp_path / "3.txt").read_text() == "dddd"


def test_failures_are_written_with_their_number(tmp_path):
    for attempt in (1, 2, 3):
        with pytest.raises(ContourError):
            results(work.square_or_fail, states=SectionLog(tmp_path))
        states = SectionLog(tmp_path).states
        assert states["B01 section 2"].attempts == attempt and states["B01 section 2"].state == "failed"
        assert "B01 section 3" not in states


def test_scheduler_files(tmp_path):
    path = tmp_path / "scheduler.json"
    assert scheduler_address(None, None) is None and scheduler_address("tcp://a:1", None) == "tcp://a:1"
    with pytest.raises(ClusterError, match="no such file.*dask scheduler --scheduler-file"):
        scheduler_address(None, path)
    path.write_text(json.dumps({"address": "tcp://127.0.0.1:8786"}))
    assert scheduler_address(None, path) == "tcp://127.0.0.1:8786"
    with pytest.raises(ClusterError, match="one of them"):
        scheduler_address("tcp://a:1", path)
    for text in ("{}", "[1]", "{", '{"address": 1}'):
        path.write_text(text)
        with pytest.raises(ClusterError, match="scheduler.json"):
            scheduler_address(None, path)
