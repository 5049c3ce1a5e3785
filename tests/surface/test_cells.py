"""Boxes in cells, against looking at every box for every cell."""

import numpy as np
import pytest

from cytomesh.surface.cells import sort_into_cells


@pytest.mark.parametrize("is_flat", [False, True])
def test_cells_hold_the_boxes_that_touch_them_where_one_is_wanted(is_flat):
    generator = np.random.default_rng(0)
    low = generator.uniform(-3, 4, (80, 3))
    high = low + generator.uniform(0, 2, (80, 3))
    if is_flat:
        low[:, 2] = high[:, 2] = 0.0
    wanted = generator.random(80) < 0.05
    origin, size, shape, starts, members = sort_into_cells(low, high, wanted, 0.9)
    first, last = np.floor((low - origin) / size), np.floor((high - origin) / size)
    n_empty = 0
    for cell, place in enumerate(np.ndindex(*shape)):
        touching = np.flatnonzero(((first <= place) & (place <= last)).all(axis=1))
        expected = touching if wanted[touching].any() else []
        assert members[starts[cell] : starts[cell + 1]].tolist() == list(expected)
        n_empty += len(touching) > 0 and not len(expected)
    assert n_empty > 0
