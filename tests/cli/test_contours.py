import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def volume(tmp_path):
    radius = np.linalg.norm(np.stack(np.mgrid[-15:16, -12:13, -13:14], axis=-1), axis=-1)
    labels = np.where(radius < 7, 42, np.where(radius < 10, 41, 0)).astype(np.uint8)
    affine = np.eye(4)
    affine[:3, 3] = (-15, -12, -13)
    nib.save(nib.Nifti1Image(labels, affine), tmp_path / "v.nii.gz")
    return tmp_path / "v.nii.gz"


def test_volume_to_study_to_page(cytomesh, volume, tmp_path):
    out = tmp_path / "study"
    code, text, _ = cytomesh("contours", "from-volume", volume, "--axis", "1", "--gm", "41", "--wm", "42", "--out", out)
    assert code == 0 and text.strip() == str(out / "study.yaml")
    code, text, _ = cytomesh("contours", "check", out / "study.yaml", "--out", tmp_path / "page.html", "--json")
    summary = json.loads(text)
    assert code == 0 and summary["sections"] == 21 and summary["without_cortex"] == 2
    assert (tmp_path / "page.html").read_text().count("<figure") == 21


def test_check_fails_with_problems(cytomesh, volume, tmp_path):
    out = tmp_path / "study"
    cytomesh("contours", "from-volume", volume, "--gm", "41", "--wm", "42", "--out", out)
    (out / "contours" / "coronal_0010.geojson").write_text("{")
    code, text, _ = cytomesh("contours", "check", out / "study.yaml", "--out", tmp_path / "page.html")
    assert code == 1 and "with_problems   1" in text


def test_wrong_labels_are_one_message(cytomesh, volume, tmp_path):
    code, _, err = cytomesh("contours", "from-volume", volume, "--out", tmp_path / "study")
    assert code == 1 and "no voxel of label 1, 2" in err and "Traceback" not in err


def test_extract_image_and_settings(cytomesh, tmp_path):
    rows, columns = np.mgrid[:200, :200]
    image = np.where((rows - 100) ** 2 + (columns - 100) ** 2 < 60**2, 150, 240).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "s.png")
    out = tmp_path / "tissue.geojson"
    assert cytomesh("contours", "extract", tmp_path / "s.png", "--out", out)[0] == 0
    (feature,) = json.loads(out.read_text())["features"]
    radius = np.hypot(*(np.array(feature["geometry"]["coordinates"][0]) - 100.5).T)
    assert np.abs(radius - 60).max() < 1
    code, _, err = cytomesh("contours", "extract", tmp_path / "s.png", "--out", out, "--set", "max_pixels=1")
    assert code == 1 and "max_px" in err
