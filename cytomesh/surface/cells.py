"""Bounding boxes sorted into a grid of cells, to look only at what is near."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.compiled import kernel

Cells = tuple[NDArray[np.float64], float, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Origin (3,), cell size, number of cells (3,), and the boxes in each cell as compressed rows: starts, members."""


def sort_into_cells(
    low: NDArray[np.float64], high: NDArray[np.float64], wanted: NDArray[np.bool_], size: float
) -> Cells:
    """Sort bounding boxes into the cubic cells that they touch; cells without a wanted box stay empty.

    Parameters
    ----------
    low, high : (n, 3) float64
        Corners of the boxes; a plane figure has 0 in the third column.
    wanted : (n,) bool
    size : float
        Edge length of a cell.
    """
    origin = low.min(axis=0)
    shape = np.floor((high.max(axis=0) - origin) / size).astype(np.int64) + 1
    starts, members = _fill_cells(low, high, wanted, origin, size, shape)
    return origin, size, shape, starts, members


@kernel
def _fill_cells(low, high, wanted, origin, size, shape):  # type: ignore[no-untyped-def]
    is_used = np.zeros(shape[0] * shape[1] * shape[2], np.bool_)
    starts = np.zeros(len(is_used) + 1, np.int64)
    members, place = np.empty(0, np.int64), starts
    a, b = np.empty(3, np.int64), np.empty(3, np.int64)
    for turn in range(3):
        if turn == 2:
            starts = np.cumsum(starts)
            members = np.empty(starts[-1], np.int64)
            place = starts.copy()
        for f in range(len(low)):
            if turn == 0 and not wanted[f]:
                continue
            for c in range(3):
                a[c] = int((low[f, c] - origin[c]) / size)
                b[c] = min(int((high[f, c] - origin[c]) / size), shape[c] - 1)
            for i in range(a[0], b[0] + 1):
                for j in range(a[1], b[1] + 1):
                    for k in range(a[2], b[2] + 1):
                        cell = (i * shape[1] + j) * shape[2] + k
                        if turn == 0:
                            is_used[cell] = True
                        elif turn == 1:
                            starts[cell + 1] += is_used[cell]
                        elif is_used[cell]:
                            members[place[cell]] = f
                            place[cell] += 1
    return starts, members
