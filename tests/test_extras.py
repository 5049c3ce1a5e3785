"""Without the extras, everything but reports and the phantom works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cytomesh.graph.freshness import record_path
from tests.provenance_chain import ALL

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_program_without_extras(small_study, tmp_path):
    command = [sys.executable, "-m", "tests.without_extras", str(small_study), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280)
    assert done.returncode == 0, done.stderr
    assert all(record_path(tmp_path / "run", product).is_file() for product in ALL)
    parcels, report, phantom = ((tmp_path / f"{number}.txt").read_text() for number in range(3))
    assert "pip install 'cytomesh[report]'" in parcels and parcels.endswith("exit 0\n")
    assert json.loads((tmp_path / "0.json").read_text())
    for said, extra in ((report, "report"), (phantom, "phantom")):
        assert said.endswith("exit 1\n")
        assert f"pip install 'cytomesh[{extra}]'" in said
        assert "Traceback" not in said
