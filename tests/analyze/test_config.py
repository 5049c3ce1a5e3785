from pathlib import Path

import pytest

from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.profiles import ProfilesConfig
from cytomesh.core.config import load_config

CONFIGS = Path(__file__).parents[2] / "configs"
KINDS = {"profiles": ProfilesConfig, "variation": VariationConfig}


@pytest.mark.parametrize("path", [path for kind in KINDS for path in sorted((CONFIGS / kind).glob("*.yaml"))], ids=str)
def test_shipped_settings_are_read(path):
    assert load_config(KINDS[path.parent.name], path) != KINDS[path.parent.name]()
