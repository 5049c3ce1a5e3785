"""Without the extras, everything but reports and the phantom works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.provenance_chain import ALL


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.without_extras", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=280)


@pytest.mark.slow
def test_the_program_without_extras(small_study, tmp_path):
    run = tmp_path / "run"
    done = call("chain", small_study, run)
    assert done.returncode == 0, done.stderr
    assert all((run / product / "provenance.json").is_file() for product in ALL[2:3] + ALL[5:])
    config = run / "parcellate" / "parcels" / "config.yaml"
    done = call("program", "parcellate", "--out", run, "--name", "parcels", "--config", config, "--json")
    assert done.returncode == 0, done.stderr
    assert "pip install 'cytomesh[report]'" in done.stderr
    assert json.loads(done.stdout)
    for words, extra in ((("report", "--out", run), "report"), (("phantom", "--out", tmp_path / "p"), "phantom")):
        done = call("program", *words)
        assert done.returncode == 1
        assert f"pip install 'cytomesh[{extra}]'" in done.stderr
        assert "Traceback" not in done.stderr
