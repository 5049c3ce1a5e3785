"""The manifest of `graph import`, written from folders."""

import shutil

import nibabel.freesurfer as freesurfer
import numpy as np
import pytest
import yaml

from cytomesh.core.errors import StudyError
from cytomesh.graph.import_start import start_manifest
from cytomesh.graph.imports import import_graphs
from cytomesh.phantom.maps import write_phantom_maps


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    for style in ("freesurfer", "hcp"):
        write_phantom_maps(folder / style, style, n_areas=6)
    return folder


def test_a_freesurfer_subject_is_found_and_imported(maps, tmp_path):
    shutil.copytree(maps / "freesurfer", tmp_path / "my subject")
    folder = tmp_path / "my subject"
    shutil.copy(folder / "surf" / "lh.sphere", folder / "surf" / "lh.sphere.reg")
    shutil.copy(folder / "surf" / "lh.pial", folder / "surf" / "lh.inflated")
    (folder / "surf" / "notes.txt").write_text("not of a side")
    for side in "lr":
        freesurfer.write_morph_data(folder / "surf" / f"{side}h.curv", np.zeros(7, np.float32))
    found = start_manifest(tmp_path / "maps.yaml", [folder], "sub-01")
    text = (tmp_path / "maps.yaml").read_text()
    assert "left out: 'my subject/surf/lh.curv': curv: found 7 values" in text
    assert found["sub-01_hemi-R"] == {"features": 7, "left_out": 1} and found["todo"] == 0
    left, right = yaml.safe_load(text)["hemispheres"]
    assert left["pial"] == "my subject/surf/lh.pial" and left["sphere"] == "my subject/surf/lh.sphere"
    assert left["cortex"] == "my subject/surf/lh.thickness"
    assert right["labels"] == "my subject/label/rh.areas.annot"
    assert [path.rpartition(".")[2] for path in right["features"]] == [
        *(f"layer_{number}" for number in ("I", "II", "III", "IV", "V", "VI")), "thickness",
    ]  # fmt: skip
    made = import_graphs(tmp_path / "maps.yaml", tmp_path / "run")
    assert {name: record["n_features"] for name, record in made.items()} == {"sub-01_hemi-L": 7, "sub-01_hemi-R": 7}


def test_hcp_files_of_both_sides_are_found_and_imported(maps, tmp_path):
    start_manifest(tmp_path / "maps.yaml", [maps / "hcp"], "sub-01")
    left, right = yaml.safe_load((tmp_path / "maps.yaml").read_text())["hemispheres"]
    assert left["cortex"].endswith("L.atlasroi.32k.shape.gii") and right["sphere"].endswith("R.sphere.32k.surf.gii")
    assert left["features"] == right["features"] and left["labels"] == right["labels"]
    assert import_graphs(tmp_path / "maps.yaml", tmp_path / "run")["sub-01_hemi-L"]["n_features"] == 6


def test_tables_of_names_are_no_features(maps, tmp_path):
    shutil.copytree(maps / "freesurfer", tmp_path / "in")
    n = len(freesurfer.read_morph_data(tmp_path / "in" / "surf" / "lh.thickness"))
    (tmp_path / "in" / "surf" / "lh.areas.csv").write_text("area\n" + "V1\n" * n)
    assert start_manifest(tmp_path / "maps.yaml", [tmp_path / "in"], "B01")["B01_hemi-L"]["left_out"] == 1
    assert "lh.areas.csv: area: found text, such as 'V1' at node 0" in (tmp_path / "maps.yaml").read_text()


def test_what_is_missing_is_marked(maps, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(maps / "hcp" / "L.pial.32k.surf.gii", tmp_path / "in")
    assert start_manifest(tmp_path / "maps.yaml", [tmp_path / "in"], "B01")["todo"] == 4
    text = (tmp_path / "maps.yaml").read_text()
    assert [text.count(f"# {name}: TODO") for name in ("sphere", "midthickness", "cortex", "features")] == [1] * 4
    with pytest.raises(StudyError, match=r"hemispheres\.0"):
        import_graphs(tmp_path / "maps.yaml", tmp_path / "run")


@pytest.mark.parametrize(
    "manifest, folder, brain, found",
    [
        ("there.yaml", "hcp", "B01", "a file that exists"),
        ("new.yaml", "empty", "B01", "no surface"),
        ("new.yaml", "hcp", "B 01", "'B 01'"),
    ],
)
def test_nothing_is_overwritten_or_made_of_nothing(maps, tmp_path, manifest, folder, brain, found):
    (tmp_path / "there.yaml").write_text("mine")
    (tmp_path / "empty").mkdir()
    place = maps / folder if folder == "hcp" else tmp_path / folder
    with pytest.raises(StudyError, match=found):
        start_manifest(tmp_path / manifest, [place], brain)
    assert (tmp_path / "there.yaml").read_text() == "mine"
    assert not (tmp_path / "new.yaml").exists()
