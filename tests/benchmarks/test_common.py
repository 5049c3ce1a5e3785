import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks is not installed

from benchmarks.__main__ import measurable
from benchmarks.common import Options, Result, interleave, machine, peak_memory_mb, table, write_result

RESULT = Result("Title", ("row", "a", "seconds"), [["first", 0.123456, 12345.6], ["second row", 3, "-"]], "claim last")


def test_a_table_is_aligned_and_ends_with_the_claim():
    lines = table(RESULT).strip().splitlines()
    assert lines[0] == "Title" and lines[-1] == "claim last"
    assert lines[3] == "first       0.1235   12,346"
    assert lines[4] == "second row       3        -"


def test_numbers_are_written_with_versions_processor_and_date(tmp_path):
    write_result(tmp_path / "r.json", RESULT)
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["rows"][0] == {"row": "first", "a": 0.123456, "seconds": 12345.6}
    assert {"date", "processor", "n_cpus", "packages"} <= record.keys()
    assert machine()["packages"]["numpy"] != "not installed"


def test_functions_are_timed_in_turns():
    calls = []
    timings = interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert "".join(calls) == "abababab"
    assert len(timings["a"].seconds) == 3 and timings["a"].median >= 0.0


def test_peak_memory_is_that_of_a_fresh_process():
    small = peak_memory_mb("import sys")
    large = peak_memory_mb("block = bytearray(int(sys.argv[1])); block[::4096] = b'x' * len(block[::4096])", "80000000")
    assert 60 < large - small < 120


def test_every_figure_is_found():
    assert {f"benchmarks.bigbrain.{name}" for name in ("surfaces", "links", "areas", "section_a")} <= set(measurable())


def test_missing_data_is_said(tmp_path):
    with pytest.raises(RuntimeError, match="no BigBrain data"):
        Options(tmp_path, quick=True).bigbrain()
