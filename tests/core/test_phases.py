import threading
import time

from pydantic import BaseModel

from cytomesh.core.phases import phase, spent, spent_since
from cytomesh.core.progress import track
from cytomesh.core.provenance import RECORD, Inputs, read_record
from cytomesh.core.run import product


class Settings(BaseModel):
    """None."""


def test_parts_are_counted_and_inner_ones_are_within_the_outer():
    before = spent()
    with phase("training"):
        for _ in range(2):
            with phase("reading"):
                time.sleep(0.01)
    found = spent_since(before)
    assert list(found) == ["training", "training: reading"]
    assert 0.02 <= found["training: reading"] <= found["training"] < 5


def test_what_is_tracked_is_a_phase_and_an_error_ends_it():
    before = spent()
    try:
        for _ in track([1, 2], "outlines of B01_hemi-L"):
            time.sleep(0.002)
            raise ValueError
    except ValueError:
        pass
    with phase("after"):
        time.sleep(0.002)
    assert {"outlines", "after"} == set(spent_since(before))


def test_other_threads_do_not_mix_in():
    before = spent()
    with phase("main"):
        thread = threading.Thread(target=lambda: list(track([1], "other")))
        thread.start()
        thread.join()
        time.sleep(0.002)
    assert set(spent_since(before)) == {"main"}


def test_a_record_has_the_phases_of_its_own_work(tmp_path):
    with phase("before"):
        time.sleep(0.002)
    with product(tmp_path, "analyze", "a").open() as result, result.writing(Inputs(), Settings(), 0) as work:
        with phase("inside"):
            time.sleep(0.002)
        work.finish()
    record = read_record(tmp_path / "analyze" / "a" / RECORD)
    assert set(record.phases) == {"inside"}
    assert 0 < record.phases["inside"] <= record.seconds
