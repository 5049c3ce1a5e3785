import gzip
import json

import numpy as np
import pytest
from PIL import Image

from cytomesh.core.errors import StudyError
from cytomesh.study.annotation import read_annotation
from cytomesh.study.bids import (
    Participant,
    Sample,
    annotation_path,
    areas_path,
    contours_path,
    from_bids,
    image_path,
    write_bids_tables,
    write_dataset_description,
    write_sidecar,
)
from cytomesh.study.bids_files import sidecar_path
from cytomesh.study.check import check_study
from cytomesh.study.planes import SectionPlane
from cytomesh.study.study import open_study


@pytest.fixture
def dataset(tmp_path):
    """Two sections with images and sidecars, one missing between them."""
    folder = tmp_path / "bids"
    write_dataset_description(folder, "Small BIDS")
    samples = [
        Sample("0001", "B01", 1, 0.5, "train"),
        Sample("0002", "B01", 2, 1.0, "none", "missing"),
        Sample("0003", "B01", 3, 1.5, "none", "damaged", "torn at the left"),
    ]
    write_bids_tables(folder, [Participant("B01", "Homo sapiens", "transfer", ("L",))], samples)
    for sample in ("0001", "0003"):
        image = image_path(folder, "B01", sample, ".png")
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((60, 80), np.uint8)).save(image)
        write_sidecar(image, 100.0, "Merker")
    return folder


def test_a_dataset_becomes_a_study(dataset):
    manifest = from_bids(dataset, space="MNI")
    study = open_study(manifest)
    assert (study.name, study.species, study.stain, study.space) == ("Small BIDS", "Homo sapiens", "Merker", "MNI")
    brain = study.brain("B01")
    assert brain.role == "transfer" and brain.hemispheres == ("L",)
    assert [section.status for section in brain.sections] == ["ok", "missing", "damaged"]
    assert brain.sections[0].role == "train" and brain.sections[2].notes == "torn at the left"
    assert [section.plane.offset_mm for section in brain.sections] == [0.5, 1.0, 1.5]
    centre = brain.sections[0].plane.world(np.array([[39.5, 29.5]]))
    np.testing.assert_allclose(centre, [[0, 0.5, 0]], atol=1e-12)
    assert check_study(manifest).problems == ()


def test_the_sidecar_plane_comes_first_and_derivatives_are_found(dataset):
    plane = SectionPlane(np.array([[0.1, 0, -3], [0, 0, 0.6], [0, -0.1, 2]]))
    write_sidecar(image_path(dataset, "B01", "0001", ".png"), 100.0, "Merker", plane, thickness_um=20)
    for path in (contours_path(dataset, "B01", "0001"), annotation_path(dataset, "B01", "0001")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (dataset / "atlas").mkdir()
    (dataset / "atlas" / "labels.tsv").write_text("index\tname\tr\tg\tb\ta\n1\tV1\t0\t0\t9\t255\n")
    study = open_study(from_bids(dataset))
    section = study.brain("B01").section(1)
    np.testing.assert_array_equal(section.plane.to_world, plane.to_world)
    assert section.contours.is_file() and section.annotation.is_file()
    assert study.labels.names == ("V1",) and study.atlas is None


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_areas_drawn_in_qupath_are_found(dataset, suffix):
    drawn = areas_path(dataset, "B01", "0003")
    path = drawn.with_name(drawn.name + suffix)
    path.parent.mkdir(parents=True)
    ring = [[10, 10], [70, 10], [70, 50], [10, 50], [10, 10]]
    area = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "V1"}},
    }
    text = json.dumps({"type": "FeatureCollection", "features": [area]}).encode()
    path.write_bytes(gzip.compress(text) if suffix else text)
    (dataset / "atlas").mkdir()
    (dataset / "atlas" / "labels.tsv").write_text("index\tname\tr\tg\tb\ta\n7\tV1\t0\t0\t9\t255\n")
    study = open_study(from_bids(dataset))
    section = study.brain("B01").section(3)
    assert section.annotation.samefile(path) and study.brain("B01").section(1).annotation is None
    drawn = read_annotation(section, study.labels)
    np.testing.assert_array_equal(drawn.sample(np.array([[20, 20], [75, 55]])), [7, 0])


def test_nothing_is_overwritten(dataset):
    from_bids(dataset)
    table = dataset / "sub-B01" / "sections.tsv"
    table.write_text(table.read_text().replace("torn", "Torn"))
    with pytest.raises(StudyError, match="a manifest already there"):
        from_bids(dataset)
    (dataset / "study.yaml").unlink()
    assert open_study(from_bids(dataset)).brain("B01").section(3).notes.startswith("Torn")


def test_what_is_missing_is_named_all_at_once(dataset):
    image_path(dataset, "B01", "0001", ".png").unlink()
    sidecar_path(image_path(dataset, "B01", "0003", ".png")).unlink()
    with pytest.raises(StudyError, match=r"sub-B01, sample-0001: no image.*no pixel size"):
        from_bids(dataset)
    assert not (dataset / "study.yaml").exists() and not (dataset / "sub-B01" / "sections.tsv").exists()


def test_positions_are_never_guessed(dataset):
    text = (dataset / "samples.tsv").read_text()
    (dataset / "samples.tsv").write_text(text.replace("position_mm", "position"))
    with pytest.raises(StudyError, match="no plane position.*never guessed"):
        from_bids(dataset)


def test_unknown_role_and_missing_tables(dataset, tmp_path):
    text = (dataset / "participants.tsv").read_text()
    (dataset / "participants.tsv").write_text(text.replace("transfer", "tranfer"))
    with pytest.raises(StudyError, match="brains.0.role"):
        from_bids(dataset)
    with pytest.raises(StudyError, match="participants.tsv"):
        from_bids(tmp_path)


def test_tables_are_bids(dataset):
    description = json.loads((dataset / "dataset_description.json").read_text())
    assert description["DatasetType"] == "raw" and description["BIDSVersion"]
    header = (dataset / "samples.tsv").read_text().splitlines()[0].split("\t")
    assert header[:3] == ["sample_id", "participant_id", "sample_type"]
    assert sidecar_path(image_path(dataset, "B01", "0001")).name == "sub-B01_sample-0001_BF.json"
    assert sidecar_path(annotation_path(dataset, "B01", "0001")).name == "sub-B01_sample-0001_dseg.json"
    assert "study.yaml" in (dataset / ".bidsignore").read_text()
    write_dataset_description(dataset / "derivatives", "d", is_derivative=True)
    assert json.loads((dataset / "derivatives" / "dataset_description.json").read_text())["GeneratedBy"]
