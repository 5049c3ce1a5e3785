import numpy as np
import pytest

from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.ends import beyond_cuts, cut_ends, extended
from cytomesh.surface.reconstruct import reconstruct

TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
TURN[:, 2] *= np.linalg.det(TURN)


@pytest.mark.parametrize("gap", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("n_missing", [0, 1, 2])
def test_a_pole_is_no_cut_at_any_spacing_and_with_sections_missing(nested_spheres, gap, n_missing):
    heights = np.arange(-10 + 0.5 * gap, 10, gap)[n_missing:]
    assert cut_ends(nested_spheres(10, 8, heights)) == (False, False)


@pytest.mark.parametrize("frame", [None, TURN], ids=["axes", "turned"])
def test_the_ends_of_a_block_are_cuts_each_for_itself(nested_spheres, frame):
    middle = np.arange(-3, 3.1, 0.5)
    assert cut_ends(nested_spheres(10, 8, middle, frame)) == (True, True)
    upwards = nested_spheres(10, 8, np.arange(-3, 10, 0.5), frame)
    assert cut_ends(upwards) == (True, False)
    # the axis is that of the sections, in whatever order they come
    assert cut_ends([*upwards[1:][::-1], upwards[0]]) == cut_ends(upwards)
    assert cut_ends(nested_spheres(10, 8, middle[:2], frame)) == (False, False)


def test_a_drawn_section_without_the_hemisphere_ends_it(nested_spheres):
    sections = nested_spheres(10, 8, np.arange(-3, 3.1, 0.5))
    beyond = nested_spheres(1, 0.5, [3.5])  # too small to be met at this height
    assert beyond[0].pial.is_empty
    assert cut_ends([*sections, *beyond]) == (True, False)


def test_the_outermost_sections_go_on_for_a_thickness_of_the_cortex(nested_spheres):
    sections = nested_spheres(10, 8, np.arange(-3, 3.1, 0.5), TURN)
    longer = extended(sections, (False, True))
    assert longer[:-1] == sections and longer[-1].pial is sections[-1].pial
    moved = longer[-1].to_world - sections[-1].to_world
    # radii of 9.54 and 7.42 mm at this height
    assert moved[:, 2] == pytest.approx(TURN[:, 2] * 2.12, abs=0.02) and not moved[:, :2].any()
    assert extended(sections, (False, False)) == sections
    at = np.array([3.0, -2.0, 5.0]) + np.outer([-3.1, -2.9, 2.9, 3.1], TURN[:, 2])
    assert beyond_cuts(at, sections, (True, True)).tolist() == [True, False, False, True]
    assert beyond_cuts(at, sections, (True, False)).tolist() == [True, False, False, False]


def test_a_block_is_rebuilt_between_its_cuts_without_a_flare(nested_spheres):
    heights = np.arange(-3, 3.1, 0.5)
    built = reconstruct(nested_spheres(10, 8, heights), SurfaceConfig(voxel_mm=0.4), (True, True))
    for name, radius in (("pial", 10.0), ("white", 8.0)):
        vertices = getattr(built, name).vertices - (3, -2, 5)
        inside = np.abs(vertices[:, 2]) < 3.0
        reach = np.linalg.norm(vertices, axis=1)
        wall = inside & (reach > 6.0)
        assert np.abs(reach[wall] - radius).max() < 0.15
        # beyond, walls go on straight: no wider than the outermost section
        assert np.hypot(*vertices[~inside, :2].T).max() < np.sqrt(radius**2 - 9.0) + 0.3
    kept = np.abs(built.midthickness.vertices[:, 2] - 5) < 3.0
    kept &= np.abs(built.pial.vertices[:, 2] - 5) < 3.0
    assert np.abs(built.thickness_mm[kept] - 2.0).max() < 0.25
