"""Training over two ranks is that of one."""

from pathlib import Path

import numpy as np
import pytest

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.files import read_json
from cytomesh.core.tables import read_table


def train(run: Path, name: str, steps: str) -> None:
    model = "model={kind: gat, hidden: 16, heads: 2, layers: 2}"
    training = f"training={{epochs: 10, part_nodes: 200, {steps}}}"
    overrides = [model, training, "n_seeds=2", "inputs.memory_gib=0"]
    classify_run(run, name, load_config(ClassifyConfig, None, overrides))


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["parts_per_step: null", "parts_per_step: 2"])
def test_two_ranks_as_one(section_run, gloo, steps):
    for ranks in (1, 2):
        gloo(train, ranks, section_run, f"ranks-{ranks}", steps)
    one, two = (section_run / "classify" / f"ranks-{ranks}" for ranks in (1, 2))
    first, second = (read_json(folder / "metrics.json") for folder in (one, two))
    for a, b in zip(first["curves"], second["curves"], strict=True):
        assert [r["loss"] for r in a["epochs"]] == pytest.approx([r["loss"] for r in b["epochs"]], rel=1e-4)
    for side, scores in first["splits"].items():
        assert scores["mean"]["macro_f1"] == pytest.approx(second["splits"][side]["mean"]["macro_f1"], abs=2e-3)
    name = "predictions/B03_hemi-L.parquet"
    before, after = (read_table(folder / name)["confidence"] for folder in (one, two))
    np.testing.assert_allclose(before, after, atol=1e-4)
