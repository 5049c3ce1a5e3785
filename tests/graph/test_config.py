from pathlib import Path

import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError
from cytomesh.graph.config import BuildGraphConfig

PRESETS = sorted((Path(__file__).parents[2] / "configs" / "build-graph").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_load(path):
    assert load_config(BuildGraphConfig, path).checks.min_linked > 0


def test_the_default_preset_is_the_default():
    assert load_config(BuildGraphConfig, PRESETS[0].with_name("default.yaml")) == BuildGraphConfig()


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(ConfigError, match=r"links\.max_distance'.*max_distance_mm"):
        load_config(BuildGraphConfig, None, ["links.max_distance=1"])
