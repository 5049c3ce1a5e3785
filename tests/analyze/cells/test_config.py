from pathlib import Path

import pytest

from cytomesh.analyze.cells.config import CellsConfig, LayersConfig, SegmentConfig, TablesConfig, VolumeConfig
from cytomesh.core.config import load_config

PRESETS = sorted((Path(__file__).parents[3] / "configs" / "cells").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_load(path):
    assert load_config(CellsConfig, path).tables.is_per_section


def test_what_makes_no_sense_is_refused():
    for wrong in ({"source": "depths"}, {"depths": [0.1]}, {"source": "depths", "depths": [0.5, 0.4, 0.6, 0.7, 0.8]}):
        with pytest.raises(ValueError, match="depths"):
            LayersConfig.model_validate(wrong)
    with pytest.raises(ValueError, match=r"only \{brain\} and \{section\}"):
        TablesConfig(files="{sample}.csv")
    with pytest.raises(ValueError, match="smallest first"):
        SegmentConfig(diameter_um=(9.0, 4.0))
    wrong = [{"linear_shrinkage": 0}, {"linear_shrinkage": 80}, {"section_um": 0.02}, {"section_um": 2e4}]
    for given in wrong:
        with pytest.raises(ValueError, match=next(iter(given))):
            VolumeConfig.model_validate(given)
    with pytest.raises(ValueError, match="a column of cortex holds several points"):
        CellsConfig.model_validate({"grid_um": 600, "radius_mm": 0.5})
    assert not TablesConfig(files="cells_{brain}.csv").is_per_section
