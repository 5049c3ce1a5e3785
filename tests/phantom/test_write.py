import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cytomesh.core.errors import MissingStageError
from cytomesh.imaging.pyramid import open_image
from cytomesh.phantom.baselines import phantom_baselines, true_plane
from cytomesh.phantom.section import truth_path
from cytomesh.phantom.write import write_phantom
from cytomesh.study.annotation import read_annotation
from cytomesh.study.check import check_study
from cytomesh.study.contours import read_contours
from cytomesh.study.study import open_study
from cytomesh.surface.gifti import read_surface

VOLATILE = {"provenance.json", ".lock"}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in VOLATILE)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_study_has_no_problems(small):
    assert check_study(small / "study.yaml").problems == ()
    study = open_study(small / "study.yaml")
    assert [brain.role for brain in study.brains] == ["train", "unseen"]
    assert len(study.labels) == 12
    statuses = [section.status for section in study.brains[0].sections]
    assert statuses.count("missing") == 1
    notes = {section.notes for section in study.brains[0].sections}
    assert {"tear", "stain gradient", "missing"} <= notes


def test_same_bytes_whatever_the_number_of_workers(small, small_settings, tmp_path):
    write_phantom(tmp_path / "again", small_settings, workers=2)
    first, second = contents(small), contents(tmp_path / "again")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_finished_study_is_kept(small, small_settings):
    before = (small / "study.yaml").stat().st_mtime_ns
    assert write_phantom(small, small_settings, workers=1)["is_kept"]
    assert (small / "study.yaml").stat().st_mtime_ns == before


def test_roles(small):
    train, unseen = open_study(small / "study.yaml").brains
    assert {section.role for section in train.sections} == {"train", "val", "test", "none"}
    assert {section.role for section in unseen.sections if section.image} == {"test"}


def test_images_contours_and_truth_agree(small):
    study = open_study(small / "study.yaml")
    section = next(s for s in study.brains[1].sections if s.image and not s.notes)
    with open_image(section.image) as pyramid:
        image = pyramid.read(0, 0, pyramid.shape[0], 0, pyramid.shape[1])[..., 0]
    truth = np.load(truth_path(small, section.brain, f"{section.index:04d}"), allow_pickle=False)
    assert truth["area"].shape == image.shape  # truth at full resolution here
    cortex, white, outside = (truth["layer"] == 4), truth["layer"] == 7, truth["layer"] == 0
    assert image[cortex].mean() + 20 < image[white].mean() < image[outside].mean() - 20
    contours = read_contours(section)["L"]
    ribbon_mm2 = (contours.pial.area - contours.white.area) * 0.25**2
    assert np.isclose(ribbon_mm2, np.isfinite(truth["depth"]).sum() * 0.25**2, rtol=0.02)
    annotation = read_annotation(section, study.labels)
    rows, columns = np.nonzero(truth["area"])
    sampled = annotation.sample(np.stack([columns, rows], axis=1).astype(float))
    assert (sampled == truth["area"][rows, columns]).mean() > 0.85


def test_areas_may_be_drawn_instead(small, small_settings, tmp_path):
    changes = {"annotate_as": "drawn", "annotate_every": 3}
    settings = small_settings.model_copy(
        update={
            "brains": small_settings.brains[:1],
            "sections": small_settings.sections.model_copy(update=changes),
        }
    )
    write_phantom(tmp_path, settings, workers=1)
    study = open_study(tmp_path / "study.yaml")
    drawn = [section for section in study.brains[0].sections if section.annotation]
    assert {"_areas.geojson"} == {section.annotation.name[-14:] for section in drawn}
    assert 1 < len(drawn) < len(study.brains[0].sections)
    for section in drawn:
        areas = np.load(truth_path(small, section.brain, f"{section.index:04d}"), allow_pickle=False)["area"]
        rows, columns = np.nonzero(areas)
        sampled = read_annotation(section, study.labels).sample(np.stack([columns, rows], axis=1).astype(float))
        assert (sampled == areas[rows, columns]).mean() > 0.97


def test_declared_planes_are_a_little_wrong(small):
    section = next(s for s in open_study(small / "study.yaml").brains[0].sections if s.image)
    corners = np.array([(0.0, 0.0), (300.0, 400.0)])
    error = section.plane.world(corners) - true_plane(small, section).world(corners)
    assert 0 < np.linalg.norm(error, axis=1).max() < 1.0
    assert np.abs(error[:, 1]).max() < 1e-9  # within the plane


def test_transform_leads_to_the_template(small):
    brain = open_study(small / "study.yaml").brains[0]
    own = read_surface(small / "truth" / "sub-S01" / "hemi-L_midthickness.surf.gii").vertices
    template = read_surface(small / "atlas" / "hemi-L_midthickness.surf.gii").vertices
    assert np.sqrt(((brain.to_reference.apply(own) - template) ** 2).mean()) < 1.5


def test_mean_grey_does_not_give_the_areas_away(small):
    scores = phantom_baselines(small)
    for side in ("seen", "unseen"):
        # one or two sections of 12 areas: macro-F1 at chance scatters by about half of chance
        assert scores["mean_grey"][side] < 2 * scores["chance"][side]
    assert scores["profile"]["seen"] > 1.5 * scores["mean_grey"]["seen"]


def test_baselines_want_a_phantom(tmp_path):
    with pytest.raises(MissingStageError, match="no truth"):
        phantom_baselines(tmp_path)


@pytest.mark.parametrize("folder", [".", "derivatives/cytomesh"])
def test_the_validator_of_bids_finds_no_error(small, folder):
    program = Path(sys.executable).parent / "bids-validator-deno"
    said = subprocess.run([program, "--json", small / folder], capture_output=True, text=True, timeout=200, check=False)
    issues = json.loads(said.stdout)["issues"]["issues"]
    assert issues, "it has something to recommend"
    assert [issue for issue in issues if issue["severity"] == "error"] == []
