from pathlib import Path

import pytest

from cytomesh.core.errors import StudyError
from cytomesh.study.check import check_study
from cytomesh.study.manifest import read_manifest, write_manifest
from cytomesh.study.study import open_study

TEMPLATE = Path(__file__).parents[2] / "data_manifests" / "template.yaml"


def test_round_trip(study_folder, tmp_path):
    manifest = read_manifest(study_folder.manifest)
    write_manifest(tmp_path / "again.yaml", manifest)
    assert read_manifest(tmp_path / "again.yaml") == manifest
    assert manifest.brains[0].hemispheres == ("L",)
    assert manifest.brains[0].to_reference.affine[0] == [1, 0, 0, 0]


def test_unknown_keys_are_named_with_the_nearest_known_one(study_folder):
    study_folder.change(specis="Homo", contours={"repare": True})
    with pytest.raises(StudyError, match=r"'contours.repare', did you mean 'repair'.*'specis', did you mean 'species'"):
        read_manifest(study_folder.manifest)


@pytest.mark.parametrize(
    ("brain", "message"),
    [
        ({"id": "B 01"}, "brains.0.id"),
        ({"role": "test"}, "brains.0.role"),
        ({"hemispheres": ["L", "L"]}, "listed twice"),
        ({"to_reference": {"affine": [[1, 0, 0]]}}, "brains.0.to_reference.affine"),
    ],
)
def test_wrong_brains_are_refused(study_folder, brain, message):
    study_folder.change(brains=[{"id": "B01", "role": "train", "sections": "sections.tsv"} | brain])
    with pytest.raises(StudyError, match=message):
        read_manifest(study_folder.manifest)


def test_brain_listed_twice_and_no_brain(study_folder):
    brain = {"id": "B01", "role": "train", "sections": "sections.tsv"}
    study_folder.change(brains=[brain, brain])
    with pytest.raises(StudyError, match="B01 listed twice"):
        read_manifest(study_folder.manifest)
    study_folder.change(brains=[])
    with pytest.raises(StudyError, match="brains"):
        read_manifest(study_folder.manifest)


def test_missing_manifest_is_named(tmp_path: Path):
    with pytest.raises(StudyError, match="no such file"):
        read_manifest(tmp_path / "study.yaml")


def test_the_template_is_a_study():
    """What users copy opens without an error; only the files it stands for are absent."""
    study = open_study(TEMPLATE)
    assert [section.status for section in study.brain("B01").sections] == ["ok", "missing", "damaged", "ok"]
    assert study.labels.names == ("hOc1", "hOc2", "4a")
    report = check_study(TEMPLATE)
    assert report.problems and all(problem.found.startswith("no such") for problem in report.problems)
