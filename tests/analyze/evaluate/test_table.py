"""The table and the differences, by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from cytomesh.analyze.evaluate.table import differences, row_label, table_rows
from cytomesh.analyze.evaluate.task import Named, Outcome, Score

TASKS = {"areas": SimpleNamespace(measures={"macro_f1": "macro-F1", "error_hops": "hops"}, level="sections")}


def test_rows_are_means_with_sample_sd_and_interval():
    one = [Score("areas", "seen", "macro_f1", value, repeat=i) for i, value in enumerate((0.2, 0.4, 0.6))]
    one += [Score("areas", "seen", "macro_f1_low", 0.1), Score("areas", "seen", "macro_f1_high", 0.7)]
    one += [Score("areas", "seen", "error_hops", math.nan), Score("areas", "seen", "not shown", 1.0)]
    two = [Score("areas", "seen", "macro_f1", 0.9), Score("areas", "unseen", "macro_f1", 0.3, 4)]
    rows = table_rows(TASKS, {"areas": {"one": Outcome(one), "two": Outcome(two)}})
    assert [row_label(row) for row in rows] == [
        "areas: areas, seen, macro-F1",
        "areas: areas, unseen, macro-F1, 4 sections",
    ]
    assert rows[0]["scores"]["one"] == pytest.approx({"mean": 0.4, "sd": 0.2, "n": 3, "low": 0.1, "high": 0.7})
    assert rows[0]["scores"]["two"] == {"mean": 0.9, "sd": None, "n": 1, "low": None, "high": None}
    assert rows[1]["scores"].keys() == {"two"}


def test_differences_are_paired_by_section():
    random = np.random.default_rng(0)
    section, truth = np.repeat(np.arange(12), 20), random.integers(0, 3, 240)
    hard = random.random(12)[section] < 0.5  # sections that both get wrong: pairs are nearer than their intervals say
    poor = np.where(hard | (random.random(240) < 0.3), (truth + 1) % 3, truth)
    good = np.where(hard | (random.random(240) < 0.1), (truth + 1) % 3, truth)
    outcomes = {
        name: Outcome(named={("areas", "seen"): Named(section, truth, predicted)})
        for name, predicted in (("good", good), ("poor", poor))
    }
    (row,) = differences({"areas": outcomes}, 0)
    expected = f1_score(truth, good, average="macro") - f1_score(truth, poor, average="macro")
    assert (row["encoder"], row["other"]) == ("good", "poor")
    assert row["difference"] == pytest.approx(expected)
    assert 0 < row["low"] < expected < row["high"]
    draws = []
    for _ in range(150):
        rows = np.concatenate([np.flatnonzero(section == s) for s in random.integers(0, 12, 12)])
        scores = (f1_score(truth[rows], own[rows], average="macro") for own in (good, poor))
        draws.append(next(scores) - next(scores))
    np.testing.assert_allclose([row["low"], row["high"]], np.percentile(draws, [2.5, 97.5]), atol=0.04)
    none = {name: Outcome(named={("a", "b"): Named(np.full(240, -1), truth, truth)}) for name in ("x", "y")}
    (row,) = differences({"areas": none}, 0)
    assert row["low"] is None and row["difference"] == 0
