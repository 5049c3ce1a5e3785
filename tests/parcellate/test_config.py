"""Every preset is valid, and unknown keys are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError
from cytomesh.parcellate.config import ParcellateConfig

PRESETS = sorted((Path(__file__).parents[2] / "configs" / "parcellate").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_presets_load(preset: Path) -> None:
    assert load_config(ParcellateConfig, preset).min_nodes >= 1


def test_there_are_presets() -> None:
    assert {"bigbrain", "spectral", "tiny", "ward"} <= {path.stem for path in PRESETS}


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'n_parcels'"):
        load_config(ParcellateConfig, None, ["n_parcel=3"])
