import numpy as np
import pytest

from cytomesh.core.errors import AtlasError, StudyError
from cytomesh.study.study import open_study


def test_a_study_is_what_the_manifest_says(study_folder):
    study_folder.change(space={"name": "MNI", "template": {"L": {"pial": "p.gii", "white": "w.gii"}}})
    study = open_study(study_folder.manifest)
    assert (study.name, study.species, study.stain, study.space) == ("small", "Homo sapiens", "Nissl", "MNI")
    assert study.labels.names == ("V1", "V2", "M1")
    brain = study.brain("B01")
    assert brain.role == "train" and brain.hemispheres == ("L",) and len(brain.sections) == 4
    assert brain.section(2).role == "train" and brain.section(2).image.is_file()
    np.testing.assert_array_equal(brain.to_reference.apply(np.ones((2, 3))), np.ones((2, 3)))
    assert study.atlas.sample(np.zeros((1, 3))).toarray() == pytest.approx(np.array([[0.25, 0.75, 0]]))
    assert study.template["L"].pial == study.path.parent / "p.gii"


def test_unknown_brain_and_section_are_named(study_folder):
    study = open_study(study_folder.manifest)
    with pytest.raises(StudyError, match="no brain 'B02', expected one of B01"):
        study.brain("B02")
    with pytest.raises(StudyError, match="B01: found no section 9"):
        study.brain("B01").section(9)


def test_a_study_needs_no_atlas(study_folder):
    study_folder.change(atlas=None)
    study = open_study(study_folder.manifest)
    assert study.atlas is None and len(study.labels) == 0


def test_an_atlas_without_areas_is_refused(study_folder):
    (study_folder.folder / "atlas" / "labels.tsv").write_text("index\tname\tr\tg\tb\ta\n")
    with pytest.raises(AtlasError, match=r"labels\.tsv: found no area.*leave out atlas"):
        open_study(study_folder.manifest)


def test_a_relative_path_works_from_anywhere(study_folder, monkeypatch):
    monkeypatch.chdir(study_folder.folder)
    study = open_study(study_folder.manifest.relative_to(study_folder.folder))
    monkeypatch.chdir("/")
    assert study.brain("B01").section(1).image.is_file()


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"nam": "x"}, StudyError, "unknown key 'nam', did you mean 'name'"),
        ({"atlas": {"labels": "atlas/labels.tsv", "space": "fsaverage"}}, AtlasError, "atlas.space: found 'fsaverage'"),
        (
            {"atlas": {"labels": "atlas/labels.tsv", "space": "MNI", "probability_maps": {"V7": "v.nii"}}},
            AtlasError,
            "unknown area 'V7'",
        ),
        (
            {"brains": [{"id": "B01", "role": "train", "sections": "none.tsv"}]},
            StudyError,
            "none.tsv: found no such file",
        ),
        (
            {
                "brains": [
                    {
                        "id": "B01",
                        "role": "train",
                        "sections": "sub-B01/sections.tsv",
                        "to_reference": {"affine": [[0] * 4] * 3 + [[0, 0, 0, 1]]},
                    }
                ]
            },
            StudyError,
            "singular",
        ),
    ],
)
def test_a_wrong_study_does_not_open(study_folder, keys, error, message):
    study_folder.change(**keys)
    with pytest.raises(error, match=message):
        open_study(study_folder.manifest)
