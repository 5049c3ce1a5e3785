"""Bounds of the surface settings."""

import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError
from cytomesh.surface.config import SurfaceConfig


@pytest.mark.parametrize("override", ["voxel_mm=0", "edge_length_mm=-1", "tolerance=2", "voxel=1"])
def test_nonsense_is_refused(override):
    with pytest.raises(ConfigError, match=override.split("=")[0]):
        load_config(SurfaceConfig, overrides=[override])
