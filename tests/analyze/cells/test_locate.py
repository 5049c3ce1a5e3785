"""Depth, layers and area in a ball, where they follow by pencil."""

import numpy as np
import pytest
import shapely

from cytomesh.analyze.cells.locate import (
    _inside,
    by_depths,
    by_nearest_cell,
    by_node_boundaries,
    locate,
    no_layers,
    node_boundaries,
    ribbon_grid,
)
from cytomesh.analyze.cells.measure import LAYERS
from cytomesh.graph.lookup import open_lookup
from tests.analyze.cells.conftest import BOUNDARIES, PLANES_MM, draw_cells, linear_depth


@pytest.fixture
def lookup(ball):
    return open_lookup(ball.run, "B01_hemi-L")


def test_even_odd_is_that_of_shapely():
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 30))
    ring = 20 + np.column_stack([np.cos(angle), np.sin(angle)]) * rng.uniform(4, 18, 30)[:, None]
    hole = 20 + np.array([(-2, -2), (2, -2), (2, 2), (-2, 2)]) + 0.25
    segments = np.concatenate([np.stack([r, np.roll(r, -1, axis=0)], axis=1) for r in (ring, hole)])
    rows, columns = np.mgrid[:40, :40]
    expected = shapely.contains_xy(shapely.Polygon(ring).symmetric_difference(shapely.Polygon(hole)), columns, rows)
    np.testing.assert_array_equal(_inside(segments, (40, 40)), expected)


def test_the_grid_counts_the_area_of_the_ring(lookup):
    for section, y in PLANES_MM.items():
        grid = ribbon_grid(lookup, section, 1.5)
        depth = linear_depth(grid, y)
        assert ((depth > -0.02) & (depth < 1.02)).all()
        assert len(grid) * 0.15**2 == pytest.approx(np.pi * (20.0**2 - 17.0**2), rel=0.01)


def test_depth_and_feet_are_those_of_the_ball(lookup):
    cells = draw_cells(5)
    pixels = np.column_stack([cells["column_px"], cells["row_px"]])[:2000]
    layering = by_depths(lookup.ribbon, np.array(BOUNDARIES), "linear")
    found = locate(lookup, 5, pixels, layering, "linear")
    assert len(found) > 1950
    depth = linear_depth(pixels[found.index], 1.5)
    np.testing.assert_allclose(found.depth, depth, atol=0.02)
    assert (found.layer == cells["layer"][:2000][found.index]).mean() > 0.96
    world = lookup.planes[5].world(pixels[found.index])
    feet = world / np.linalg.norm(world, axis=1, keepdims=True) * 18.5
    np.testing.assert_allclose(found.feet, feet, atol=0.05)
    # of a shell: the share of its volume that lies above
    radius = 20.0 - 3.0 * found.depth
    share = (20.0**3 - radius**3) / (20.0**3 - 17.0**3)
    whole = locate(lookup, 5, pixels, no_layers, "equivolumetric")
    np.testing.assert_allclose(whole.depth, share, atol=0.01)


def test_boundaries_at_nodes_are_interpolated_over_the_corners_that_have_them(lookup):
    n = lookup.graph.n_nodes
    boundaries = np.tile(BOUNDARIES, (n, 1)).astype(float)
    cells = draw_cells(4)
    pixels = np.column_stack([cells["column_px"], cells["row_px"]])[:1000]
    fixed = locate(lookup, 4, pixels, by_depths(lookup.ribbon, np.array(BOUNDARIES), "linear"), "linear")
    same = locate(lookup, 4, pixels, by_node_boundaries(lookup.ribbon, boundaries), "linear")
    np.testing.assert_array_equal(fixed.layer, same.layer)
    boundaries[::3] = np.nan
    some = locate(lookup, 4, pixels, by_node_boundaries(lookup.ribbon, boundaries), "linear")
    known = some.layer > 0
    assert 0.5 < known.mean() < 1
    np.testing.assert_array_equal(some.layer[known], fixed.layer[known])


def test_layers_of_the_nearest_cell():
    layering = by_nearest_cell(np.array([(0.0, 0.0), (9.0, 0.0), (1.0, 0.0)]), np.array([2, 5, 0], np.int8))
    assert layering(np.array([(1.0, 1.0), (8.0, 3.0)]), None).tolist() == [2, 5]
    assert by_nearest_cell(np.zeros((1, 2)), np.zeros(1, np.int8))(np.ones((3, 2)), None).tolist() == [0, 0, 0]


def test_shares_are_read_before_thickness():
    shares = {f"layer_{name}_share": np.full(2, 1 / 6) for name in LAYERS}
    mm = {f"layer_{name}_mm": np.array([1.0, 0.0]) for name in LAYERS}
    np.testing.assert_allclose(node_boundaries(shares | mm, LAYERS)[0], np.arange(1, 6) / 6)
    found = node_boundaries(mm, LAYERS)
    np.testing.assert_allclose(found[0], np.arange(1, 6) / 6)
    assert np.isnan(found[1]).all() and node_boundaries({}, LAYERS) is None
