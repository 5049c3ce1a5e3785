"""Sums by groups and layers, beside loops."""

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.analyze.cells.measure import Tally, bins_of_depth, columns_of_nodes, everyone, units


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    n = 200
    size = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(10, 90, n))
    return rng.random((n, 3)), rng.integers(0, 7, n).astype(np.int8), rng.uniform(0.5, 1, n), size


def test_columns_are_means_and_ratios_over_members(cells):
    _, layer, weight, size = cells
    member = sp.csr_matrix(np.random.default_rng(1).random((4, 200)) < 0.3).astype(float)
    points = sp.csr_matrix(np.random.default_rng(2).random((4, 150)) < 0.4).astype(float)
    of_point = np.random.default_rng(3).integers(0, 7, 150).astype(np.int8)
    tally = Tally.empty(4)
    for half in (np.arange(200) < 90, np.arange(200) >= 90):  # two sections
        tally.add_cells(member[:, half], layer[half], weight[half], {"area_um2": size[half]})
    tally.add_cortex(points, of_point, 0.01, 0.0002)
    found = tally.columns(0.05, has_layers=True)
    for group in range(4):
        inside, here = member[[group]].toarray()[0] > 0, points[[group]].toarray()[0] > 0
        for k, part in ((0, ""), (3, "_III"), (6, "_VI")):
            mine = inside & ((layer == k) if k else True)
            area = here & ((of_point == k) if k else True)
            mm2, known = 0.01 * area.sum(), mine & np.isfinite(size)
            if mm2 < 0.05:
                assert np.isnan(found[f"density{part}_per_mm2"][group])
                continue
            assert found[f"density{part}_per_mm2"][group] == pytest.approx(mine.sum() / mm2)
            assert found[f"density{part}_per_mm3"][group] == pytest.approx(weight[mine].sum() / (mm2 * 0.02))
            mean = np.average(size[known], weights=weight[known])
            assert found[f"area{part}_um2"][group] == pytest.approx(mean)
    assert units(found)["density_III_per_mm3"] == "1/mm3" and units(found)["cortex_VI_mm2"] == "mm2"
    assert units(found)["area_um2"] == "um2" and "n_cells" not in units(found)
    assert "density_I_per_mm2" not in tally.columns(0.05, has_layers=False)


def test_volumes_need_a_thickness_of_every_section(cells):
    _, layer, weight, _ = cells
    tally = Tally.empty(1)
    tally.add_cells(everyone(200), layer, weight, {})
    tally.add_cortex(everyone(200), layer, 0.01, 0.0002)
    tally.add_cortex(everyone(200), layer, 0.01, np.nan)
    assert "density_per_mm3" not in tally.columns(0.05, has_layers=True)


def test_columns_of_nodes_hold_what_is_near_their_link(cells):
    feet, *_ = cells
    links, rows = feet[[3, 9]], np.array([5, 2])
    found = columns_of_nodes(feet, links, rows, 7, 0.3).toarray()
    for row, link in zip(rows, links, strict=True):
        np.testing.assert_array_equal(found[row] > 0, np.linalg.norm(feet - link, axis=1) <= 0.3)
    assert found[[0, 1, 3, 4, 6]].sum() == 0
    assert columns_of_nodes(feet, links[:0], rows[:0], 7, 0.3).shape == (7, 200)


def test_bins_of_depth_go_from_pial_to_white():
    member = bins_of_depth(np.array([0.0, 0.24, 0.25, 1.0]), 4).toarray()
    np.testing.assert_array_equal(member.argmax(axis=0), [0, 0, 1, 3])
