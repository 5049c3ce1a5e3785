"""Settings: those of the repository load, and what layers can be called is checked."""

from pathlib import Path

import pytest

from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError

FILES = sorted((Path(__file__).parents[3] / "configs" / "segment-layers").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_settings_of_the_repository_load(path):
    assert load_config(LayersConfig, path).truth.files.endswith("_layers.png")


def test_codes_are_those_of_layers():
    with pytest.raises(ConfigError, match="codes"):
        load_config(LayersConfig, None, ["truth.codes={VII: [7]}"])


def test_pixels_hold_no_whole_cortex():
    with pytest.raises(ConfigError, match="um_per_px: Input should be less than or equal to 500"):
        load_config(LayersConfig, None, ["um_per_px=100000"])
