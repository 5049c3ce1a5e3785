"""Shares of volume in spherical shells, where they are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cytomesh.surface.equivolumetric import volume_share
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_mesh


@pytest.mark.parametrize(("outer", "inner"), [(10.0, 8.0), (8.0, 10.0), (30.0, 27.0)])
def test_share_in_a_shell_is_that_of_the_radii_cubed(outer, inner):
    depth = np.linspace(0, 1, 11)
    radius = outer + depth * (inner - outer)
    expected = (radius**3 - outer**3) / (inner**3 - outer**3)
    found = volume_share(np.full(11, outer**2), np.full(11, inner**2), depth)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.abs(found - depth)[5] > 0.02


def depth_of_share(
    pial_area: NDArray[np.float64], white_area: NDArray[np.float64], share: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Return the depth above which a share of the volume lies: the inverse of `volume_share`, (n,)."""
    root = np.sqrt(np.maximum(pial_area**2 + share * (white_area**2 - pial_area**2), 0.0))
    # (root - A_p) / (A_w - A_p), written so that equal areas divide by no zero
    return np.asarray(share * (white_area + pial_area) / np.maximum(root + pial_area, 1e-12))


def test_depth_of_share_inverts_share_of_depth():
    generator = np.random.default_rng(0)
    areas = generator.uniform(0.1, 3.0, (2, 200))
    areas[1, :20] = areas[0, :20]
    depth = generator.uniform(0, 1, 200)
    np.testing.assert_allclose(depth_of_share(*areas, volume_share(*areas, depth)), depth, atol=1e-12)


def test_surface_encloses_the_volume_it_is_named_after():
    pial, white = sphere_mesh(4, 10.0), sphere_mesh(4, 7.5)
    for share in (0.0, 0.2, 0.5, 0.8, 1.0):
        depth = depth_of_share(pial.vertex_areas, white.vertex_areas, share)[:, None]
        surface = Mesh((1 - depth) * pial.vertices + depth * white.vertices, pial.faces)
        expected = pial.volume_mm3 + share * (white.volume_mm3 - pial.volume_mm3)
        assert surface.volume_mm3 == pytest.approx(expected, rel=2e-3)
