"""Every preset loads, and what makes no sense is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError
from cytomesh.finetune.config import FinetuneConfig

PRESETS = sorted((Path(__file__).parents[2] / "configs" / "finetune").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_presets_load(preset):
    assert load_config(FinetuneConfig, preset).schedule.rounds > 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.neighbors=3", "did you mean 'neighbours'"),
        ("model={kind: logistic}", "model"),
        ("model={kind: gat, discriminant: {}}", "discriminant"),
    ],
)
def test_wrong_settings_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(FinetuneConfig, None, [override])
