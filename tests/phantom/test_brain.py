import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cytomesh.core.config import load_config
from cytomesh.phantom.areas import draw_atlas
from cytomesh.phantom.brain import declare, draw_brain, jobs
from cytomesh.phantom.config import PhantomBrainConfig, PhantomConfig
from cytomesh.phantom.profiles import draw_profiles
from cytomesh.phantom.slicing import cut

PRESETS = Path(__file__).parents[2] / "configs" / "phantom"
DIGESTS = ["361eb23e000a", "05fce2c28ca6", "461884d64f91"]


def test_the_preset_of_a_block_cuts_thirty_sections_from_the_middle_of_each_brain(cortex, tmp_path):
    settings = load_config(PhantomConfig, PRESETS / "block.yaml", ["areas.count=6"])
    atlas, _ = draw_atlas(cortex, settings.areas.count, settings.seed)
    for config in settings.brains:
        brain = draw_brain(config, settings, cortex, atlas)
        sections = [section for section, *_ in declare(brain, settings, tmp_path)]
        assert len(sections) == 30
        y = np.array([section.plane.offset_mm for section in sections])
        assert 11.0 < np.ptp(y) < 12.5
        inside = brain.cortex.pial[:, 1]
        assert y.min() > inside.min() + 50 and y.max() < inside.max() - 50


def test_areas_of_the_easy_preset_are_what_they_were(cortex):
    settings = load_config(PhantomConfig, PRESETS / "tiny.yaml")
    atlas, _ = draw_atlas(cortex, settings.areas.count, settings.seed)
    labels = [draw_brain(brain, settings, cortex, atlas).labels for brain in settings.brains]
    # before borders could move against folding
    assert [hashlib.sha256(own.astype("<i4").tobytes()).hexdigest()[:12] for own in labels] == DIGESTS


@pytest.mark.parametrize(
    ("plane", "tilt_deg", "normal"),
    [
        ("coronal", 0.0, (0.0, 1.0, 0.0)),
        ("coronal", 20.0, (0.0, 0.93969, 0.34202)),
        ("sagittal", 0.0, (1.0, 0.0, 0.0)),
        ("axial", 0.0, (0.0, 0.0, 1.0)),
    ],
)
def test_brains_are_cut_in_any_plane(cortex, tmp_path, plane, tilt_deg, normal):
    settings = load_config(PhantomConfig, PRESETS / "tiny.yaml")
    atlas = np.where(cortex.is_medial_wall, 0, 1).astype(np.int32)
    config = PhantomBrainConfig(id="T01", role="train", plane=plane, tilt_deg=tilt_deg)
    brain = draw_brain(config, settings, cortex, atlas)
    heights = brain.cortex.pial @ normal
    for section, true, shape, _ in declare(brain, settings, tmp_path):
        assert np.allclose(section.plane.normal, normal, atol=1e-4)
        assert heights.min() < section.plane.offset_mm < heights.max()
        pial = brain.cortex.pial
        pixels = np.concatenate(cut(true.pixels(pial), brain.cortex.faces, true.distance(pial)))
        assert (pixels > 0).all() and (pixels < shape[::-1]).all()


def test_stain_gain_darkens_one_brain(cortex, tmp_path):
    settings = load_config(PhantomConfig, PRESETS / "tiny.yaml")
    atlas = np.where(cortex.is_medial_wall, 0, 1).astype(np.int32)
    brain = draw_brain(settings.brains[0], settings, cortex, atlas)
    darker = replace(brain, config=brain.config.model_copy(update={"stain_gain": 1.5}))
    profiles = draw_profiles(cortex.sphere[:1], 1.0, 0)
    gains = []
    for one in (brain, darker):
        job = next(jobs(one, declare(one, settings, tmp_path), settings, profiles, tmp_path))
        gains.append(job.stain.gain)
    assert np.isclose(gains[1], 1.5 * gains[0])


@pytest.mark.parametrize("size", ["tiny", "demo"])
def test_middle_presets_differ_from_easy_ones_in_how_brains_differ_only(size):
    easy, middle = (load_config(PhantomConfig, PRESETS / f"{name}.yaml") for name in (size, f"{size}_middle"))
    same = {"name": easy.name, "brains": easy.brains}
    varied = ("variation_mm", "displacement")
    areas = middle.areas.model_copy(update={name: getattr(easy.areas, name) for name in varied})
    assert middle.model_copy(update=same | {"areas": areas}) == easy
    assert [(b.id, b.role) for b in middle.brains] == [(b.id, b.role) for b in easy.brains]
    assert all(sum(getattr(brain, count) for brain in middle.brains) for count in ("missing_areas", "doubled_areas"))
    assert any(brain.tilt_deg for brain in middle.brains) and any(brain.stain_gain != 1 for brain in middle.brains)
