import os
import subprocess
import sys

import numpy as np
import pytest

from cytomesh.core.files import read_json
from cytomesh.core.tables import read_table

CODE = """
import sys
from pathlib import Path
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
model, training = "model={kind: gat, hidden: 16, heads: 2, layers: 2}", "training={epochs: 10, part_nodes: 200, %s}"
overrides = [model, training % sys.argv[3], "n_seeds=2", "inputs.memory_gib=0"]
classify_run(Path(sys.argv[1]), sys.argv[2], load_config(ClassifyConfig, None, overrides))
"""


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["parts_per_step: null", "parts_per_step: 2"])
def test_two_ranks_as_one(section_run, tmp_path, steps):
    script = tmp_path / "train.py"
    script.write_text(CODE)
    for ranks in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        result = subprocess.run(
            [*command, str(script), str(section_run), f"ranks-{ranks}", steps],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert result.returncode == 0, result.stderr
    one, two = (section_run / "classify" / f"ranks-{ranks}" for ranks in (1, 2))
    first, second = (read_json(folder / "metrics.json") for folder in (one, two))
    for a, b in zip(first["curves"], second["curves"], strict=True):
        assert [r["loss"] for r in a["epochs"]] == pytest.approx([r["loss"] for r in b["epochs"]], rel=1e-4)
    for side, scores in first["splits"].items():
        assert scores["mean"]["macro_f1"] == pytest.approx(second["splits"][side]["mean"]["macro_f1"], abs=2e-3)
    name = "predictions/B03_hemi-L.parquet"
    before, after = (read_table(folder / name)["confidence"] for folder in (one, two))
    np.testing.assert_allclose(before, after, atol=1e-4)
