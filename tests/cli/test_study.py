import json

import numpy as np
import pytest
from PIL import Image

from cytomesh.study.bids import Participant, Sample, image_path, write_bids_tables, write_sidecar


@pytest.fixture
def dataset(tmp_path):
    """A BIDS dataset of two sections."""
    write_bids_tables(
        tmp_path, [Participant("B01", "Homo sapiens")], [Sample(f"000{i}", "B01", i, 0.1 * i) for i in (1, 2)]
    )
    for sample in ("0001", "0002"):
        image = image_path(tmp_path, "B01", sample, ".png")
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.arange(48 * 36).astype(np.uint8).reshape(36, 48)).save(image)
        write_sidecar(image, 100.0, "Nissl")
    return tmp_path


def test_from_bids_then_check(cytomesh, dataset):
    code, out, _ = cytomesh("study", "from-bids", dataset, "--space", "MNI")
    assert code == 0 and out.strip() == str(dataset / "study.yaml")
    code, out, _ = cytomesh("study", "check", dataset / "study.yaml")
    assert code == 0
    assert "No problem found." in out and "space MNI" in out and "B01" in out


def test_check_prints_every_problem_and_fails(cytomesh, dataset):
    cytomesh("study", "from-bids", dataset)
    for sample in ("0001", "0002"):
        image_path(dataset, "B01", sample, ".png").unlink()
    code, out, _ = cytomesh("study", "check", dataset / "study.yaml")
    assert code == 1
    assert "2 problems:" in out and out.count("no such image") == 1
    assert "1. (2 times) " in out and "sample-0001_BF.png; sub-B01_sample-0002_BF.png: found no such image" in out
    assert out.splitlines()[3].split()[3:5] == ["2", "0"]  # sections, images that are there
    code, out, _ = cytomesh("study", "check", dataset / "study.yaml", "--json")
    assert code == 1
    problems = json.loads(out)["problems"]
    assert [problem["found"] for problem in problems] == ["no such image"] * 2
    assert problems[0]["file"].endswith("sample-0001_BF.png") and problems[0]["hint"]


def test_of_a_missing_manifest_nothing_else_is_said(cytomesh, tmp_path):
    code, out, _ = cytomesh("study", "check", tmp_path / "none.yaml")
    assert code == 1 and out.startswith("1 problem:\n1. ") and "brain" not in out and out.count("\n") == 2


def test_errors_are_one_message(cytomesh, dataset):
    cytomesh("study", "from-bids", dataset)
    code, _, err = cytomesh("study", "from-bids", dataset)
    assert code == 1 and "a manifest already there" in err and "Traceback" not in err
