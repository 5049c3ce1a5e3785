"""Genus-0 objects: what is bridged, cut, opened and reported."""

import numpy as np
import pytest
from scipy import ndimage

from cytomesh.surface.correction import (
    NEIGHBOURHOOD,
    describe_correction,
    grow_middle,
    grow_pial,
    grow_white,
    inside,
    make_consistent,
)
from cytomesh.surface.extract import marching_tetrahedra
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.stack import Grid
from cytomesh.surface.topology import euler_number

x, y, z = np.mgrid[-14:15, -14:15, -10:11].astype(np.float32)


def test_a_perforated_plate_is_mended_and_an_island_is_dropped():
    plate = np.minimum.reduce([1.6 - np.abs(z), 10 - np.abs(x), 10 - np.abs(y), np.hypot(x, y) - 1.2])
    white = np.maximum(plate, 1.5 - np.sqrt((x - 6) ** 2 + y**2 + (z - 7) ** 2)).astype(np.float32)
    before = white > 0
    state = grow_white(white, 1.3)
    assert euler_number(state == 1) == 1
    grid = Grid(np.eye(3), np.array([-14.0, -14, -10]), 1.0, white.shape)
    report = describe_correction(before, white, state, grid)
    assert report["euler_number_before"] == 2
    assert 0 < report["voxels_filled"] < 20
    assert report["voxels_cut"] == np.count_nonzero(before[..., 14:])
    assert report["n_places"] == 2
    assert report["n_discarded"] == 1
    assert report["discarded_mm3"] == report["largest_discarded_mm3"] == report["voxels_cut"]
    assert min(np.linalg.norm(place) for place in report["places_mm"]) < 2


def test_a_body_that_reaches_the_border_of_the_grid_is_described_all_the_same():
    field = (5.0 - np.hypot(x, y)).astype(np.float32)  # a column from the bottom of the grid to its top
    before = inside(field)
    assert np.array_equal(before[..., 1:-1], field[..., 1:-1] > 0) and not before[..., [0, -1]].any()
    state = grow_white(field, 0.0)
    grid = Grid(np.eye(3), np.zeros(3), 1.0, field.shape)
    report = describe_correction(before, field, np.zeros_like(state), grid)
    assert report["voxels_cut"] == report["voxels_before"] == before.sum() and report["n_discarded"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_discarded_pieces_against_labels(seed):
    """What has no voxel left of a connected part of the object, by labelling all of it."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(24, 22, 20)), 1.2)
    is_inside = np.pad(field > 0.08, 1)
    labels, n = ndimage.label(is_inside, NEIGHBOURHOOD)
    kept = rng.random(n + 1) < 0.5
    state = (is_inside & kept[labels] & (np.pad(rng.random(field.shape), 1) < 0.9)).astype(np.uint8)
    sizes = [int((labels == part).sum()) for part in range(1, n + 1) if not state[labels == part].any()]
    report = describe_correction(
        is_inside, np.ones(state.shape, np.float32), state, Grid(np.eye(3), np.zeros(3), 0.5, state.shape)
    )
    assert n > 3 and report["n_discarded"] == len(sizes)
    assert report["discarded_mm3"] == sum(sizes) / 8 and report["largest_discarded_mm3"] == max(sizes) / 8


def test_cavity_is_filled():
    r = np.sqrt(x**2 + y**2 + z**2)
    white = np.minimum(8 - r, r - 2).astype(np.float32)
    assert grow_white(white, 0.5)[14, 14, 10] == 1


def test_sulcus_that_moves_between_sections_stays_open():
    # two slabs of white; the slit between the banks lies at x = -1 in one section and at x = +1 in the next
    white = (np.abs(x) - 6).astype(np.float32)
    white[np.abs(y) > 11] = -9
    white[np.abs(z) > 7] = -9
    white = np.maximum(white, np.minimum(-7 - y, 11 - np.abs(x))).astype(np.float32)
    white[[0, -1]] = white[:, [0, -1]] = white[:, :, [0, -1]] = -9
    slit = 0.5 * (np.abs(x - 1) + np.abs(x + 1)) - 0.3
    pial = np.where(y > 0, np.minimum(slit, 3.0), 3.0).astype(np.float32)
    pial[(np.abs(x) > 13) | (np.abs(y) > 11) | (np.abs(z) > 9)] = -1
    is_white = grow_white(white, 0.5)
    before = pial > 0
    is_pial = grow_pial(pial, white, is_white, 1.0)
    report = describe_correction(before, pial, is_pial, Grid(np.eye(3), np.zeros(3), 1.0, pial.shape))
    assert 0 < report["voxels_opened"] <= report["voxels_cut"] and report["n_discarded"] == 0
    assert (is_pial[13:16, 18:24, 4:17] == 0).any(axis=0).all()
    assert euler_number(is_pial == 1) == 1


def test_middle_gives_way_where_its_level_has_a_handle():
    # a horseshoe of white whose ends come so close that depth 0.5 closes the ring
    angle = np.arctan2(y, x)
    tube = 2.5 - np.hypot(np.hypot(x, y) - 8, z)
    white = np.where(np.abs(angle) > 0.22, tube, -1.0).astype(np.float32)
    is_white = (white > 0).astype(np.uint8)
    depth = np.where(
        is_white == 1, 1.5, np.clip(0.75 + 0.1 * (np.hypot(np.hypot(x, y) - 8, z) < 2) + 0.12 * tube, -0.5, 0.95)
    )
    depth = depth.astype(np.float32)
    assert euler_number(depth > 0.5) == 0
    field, state, n_places = grow_middle(depth, 1.0)
    assert n_places >= 1
    assert euler_number(state == 1) == euler_number(is_white == 1) == 1
    assert ((field > 0) == (state == 1)).all()
    assert Mesh(*marching_tetrahedra(field, state)).euler_number == 2


def test_fields_take_the_sign_of_the_object():
    field = np.array([-2.0, -1.0, 1.0, 2.0], np.float32)
    make_consistent(field, np.array([0, 1, 0, 1], np.uint8))
    assert (field > 0).tolist() == [False, True, False, True]
    assert field[[0, 3]].tolist() == [-2.0, 2.0]
