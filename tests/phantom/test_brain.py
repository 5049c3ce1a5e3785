from pathlib import Path

import numpy as np

from cytomesh.core.config import load_config
from cytomesh.phantom.areas import draw_atlas
from cytomesh.phantom.brain import declare, draw_brain
from cytomesh.phantom.config import PhantomConfig

PRESETS = Path(__file__).parents[2] / "configs" / "phantom"


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
