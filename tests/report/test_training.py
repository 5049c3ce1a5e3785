from pathlib import Path

import numpy as np

from cytomesh.report.training import read_lines, running_median


def test_half_a_line_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_lines(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 2.0}]


def test_running_median_ignores_spikes() -> None:
    values = np.ones(20)
    values[7] = 100
    np.testing.assert_array_equal(running_median(values, 5), np.ones(20))
