"""Every preset loads, and an unknown key is named with its nearest neighbour."""

from __future__ import annotations

from pathlib import Path

import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted((CONFIGS / "pretrain").glob("*.yaml")), ids=lambda path: path.stem)
def test_pretrain_presets(path):
    settings = load_config(PretrainConfig, path)
    assert settings.sampling.batch_size >= 16


@pytest.mark.parametrize("path", sorted((CONFIGS / "embed").glob("*.yaml")), ids=lambda path: path.stem)
def test_embed_presets(path):
    assert load_config(EmbedConfig, path).batch_size > 0


def test_unknown_key_names_the_nearest(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("objectives: {spatial_nce: {sigma: 3.0}}\n")
    with pytest.raises(ConfigError, match=r"objectives\.spatial_nce\.sigma.*did you mean 'sigma_mm'"):
        load_config(PretrainConfig, path)
