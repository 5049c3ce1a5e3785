"""Corrections, beside a simulation of what a section shows."""

import json

import numpy as np
import pytest

from cytomesh.analyze.cells.config import VolumeConfig
from cytomesh.analyze.cells.volume import SectionVolume, abercrombie, said, section_volume
from cytomesh.core.errors import StudyError
from cytomesh.study.bids_files import BidsFiles
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section


def test_abercrombie_finds_the_density_of_balls_that_a_section_cuts():
    rng = np.random.default_rng(0)
    t, height, n = 20.0, 400.0, 400_000
    centre, true = rng.uniform(0, height, n), rng.choice([7.0, 27.0], n)
    low, high = 200.0, 200.0 + t
    is_seen = (centre + true / 2 > low) & (centre - true / 2 < high)
    per_um = n / height
    seen, weight = is_seen.sum() / t, abercrombie(true[is_seen], t)
    assert seen / per_um > 1.5
    assert weight.sum() / t / per_um == pytest.approx(1.0, rel=0.01)
    # and the mixture of sizes is that of the tissue
    assert np.average(true[is_seen], weights=weight) == pytest.approx(true.mean(), rel=0.01)
    by_formula = is_seen.sum() * t / (t + 7.0)
    assert abercrombie(np.full(is_seen.sum(), 7.0), t).sum() == pytest.approx(by_formula)


def test_the_published_convention_divides_by_the_cubed_linear_factor():
    f = np.cbrt(1.931)
    area_um2, cells = 200_000.0, 150
    # as published: an area that is corrected in the plane, times 20 um times the linear factor, per 0.1 mm cubed
    published = cells / (area_um2 * f**2 * 20 * f / 100**3)
    own = cells / SectionVolume(20.0, float(f)).tissue_mm3(np.array(area_um2 * 1e-6))
    assert own / 1000 == pytest.approx(published)
    assert np.isnan(SectionVolume(None).tissue_mm3(np.array(1.0)))


def test_thickness_and_shrinkage_come_from_the_sidecar_unless_they_are_set(tmp_path):
    image = tmp_path / "sub-B01" / "micr" / "sub-B01_sample-0003_BF.png"
    image.parent.mkdir(parents=True)
    section = Section("B01", 3, image, 1.0, SectionPlane(np.array([(1e-3, 0, 0), (0, 0, 1e-3), (0, 0, 0)]).T))
    sidecar = image.with_name("sub-B01_sample-0003_BF.json")

    def found(**given):
        return section_volume(BidsFiles(tmp_path), section, VolumeConfig(**given))

    assert found() == SectionVolume(None, 1.0)
    sidecar.write_text(json.dumps({"SliceThickness": 40, "TissueDeformationScaling": 80}))
    assert found() == SectionVolume(40.0, 1.25)
    assert found(section_um=20.0, linear_shrinkage=1.0) == SectionVolume(20.0, 1.0)
    wrong = [("SliceThickness", "thin"), ("SliceThickness", True), ("SliceThickness", 0.02), ("SliceThickness", 20_000)]
    for key, value in [*wrong, ("TissueDeformationScaling", 0.8)]:
        sidecar.write_text(json.dumps({key: value}))
        with pytest.raises(StudyError, match=f"{key}: found {value!r}, expected a number of (um|%), "):
            found()
    several = [SectionVolume(20.0), SectionVolume(40.0, 1.25)]
    assert said(several, "none").startswith("sections of 20 to 40 um; cells cut through are counted in full")
    assert said(several, "none").endswith("linear shrinkage 1 to 1.25 in all directions")
    assert said([SectionVolume(20.0, 0.5)], "none").endswith("linear shrinkage 0.5 (swelling) in all directions")
