import numpy as np
import pytest

from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.resolution import choose_resolution

OPEN = SurfaceConfig()


@pytest.mark.parametrize(
    ("gap", "voxel", "reason"),
    [
        (0.6, 0.3, "half the gap between sections, 0.6 mm"),
        (2.0, 0.5, "at most 0.5 mm"),  # of the pixels, 0.1 mm
        (0.2, 0.2, "two pixels of 100 um"),
    ],
)
def test_voxels_fit_spacing_and_pixels(nested_spheres, capsys, gap, voxel, reason):
    found = choose_resolution(nested_spheres(10, 8, np.arange(-4, 4, gap)), OPEN)
    assert (found.voxel_mm, found.edge_length_mm) == (voxel, 2 * voxel)
    assert f"surface.voxel_mm: {voxel:g} ({reason})" in capsys.readouterr().err


def test_voxels_are_not_more_than_fit_into_memory(nested_spheres):
    found = choose_resolution(nested_spheres(40, 38, np.arange(-30, 30.1, 0.3)), OPEN)
    # 80 x 80 x 60 mm in 20 million voxels
    assert found.voxel_mm == pytest.approx((80 * 80 * 60 / 2e7) ** (1 / 3), rel=0.04)


def test_what_the_settings_say_is_kept(nested_spheres, capsys):
    found = choose_resolution(
        nested_spheres(10, 8, np.arange(-4, 4, 0.5)), SurfaceConfig(voxel_mm=0.7, edge_length_mm=1.0)
    )
    assert (found.voxel_mm, found.edge_length_mm) == (0.7, 1.0)
    assert not capsys.readouterr().err
