"""Field lines of the depth field from the midsurface to pial and white."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.compiled import kernel

N_SAMPLES = 17
STEP = 0.5
"""Step along a line, voxels."""
REACH = 0.25
"""Half the distance over which the gradient is taken, voxels."""


def trace(
    values: NDArray[np.float32], start: NDArray[np.float64], level: float, max_length: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Follow the gradient from each start to a level of the field.

    Parameters
    ----------
    values : (ni, nj, nk) float32
        The field.
    start : (n, 3) float64
        Voxel indices.
    level : float
        Where to stop: lines run uphill where the field at the start is below, downhill where it is above.
    max_length : float
        Longest line, voxels.

    Returns
    -------
    paths : (n, N_SAMPLES, 3) float64
        Points at equal arc lengths, first the start, last the end.
    lengths : (n,) float64
        Arc lengths, voxels.
    reached : (n,) bool
        False where the line stopped before the level (a stationary point or `max_length`).
    """
    paths = np.empty((len(start), N_SAMPLES, 3))
    lengths = np.empty(len(start))
    reached = np.empty(len(start), np.bool_)
    _trace(values, start, level, max_length, paths, lengths, reached)
    return paths, lengths, reached


def sample(values: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Trilinear interpolation at (n, 3) voxel indices (clamped to the grid)."""
    result = np.empty(len(points))
    _sample(values, points, result)
    return result


def project(
    values: NDArray[np.float32], points: NDArray[np.float64], level: float, reach: float
) -> NDArray[np.float64]:
    """Move points along the gradient onto a level of the field, at most `reach` voxels."""
    paths, _, _ = trace(values, points, level, reach)
    return np.ascontiguousarray(paths[:, -1])


@kernel
def value(values, x, y, z):  # type: ignore[no-untyped-def]
    """Interpolate trilinearly at one point, clamped to the grid."""
    ni, nj, nk = values.shape
    x = min(max(x, 0.0), ni - 1.001)
    y = min(max(y, 0.0), nj - 1.001)
    z = min(max(z, 0.0), nk - 1.001)
    i, j, k = int(x), int(y), int(z)
    a, b, c = x - i, y - j, z - k
    low = (values[i, j, k] * (1 - a) + values[i + 1, j, k] * a) * (1 - b) + (
        values[i, j + 1, k] * (1 - a) + values[i + 1, j + 1, k] * a
    ) * b
    high = (values[i, j, k + 1] * (1 - a) + values[i + 1, j, k + 1] * a) * (1 - b) + (
        values[i, j + 1, k + 1] * (1 - a) + values[i + 1, j + 1, k + 1] * a
    ) * b
    return low * (1 - c) + high * c


@kernel
def _direction(values, p, sign, out):  # type: ignore[no-untyped-def]
    """Write the unit gradient by central differences of the interpolated field."""
    x, y, z = p[0], p[1], p[2]
    out[0] = value(values, x + REACH, y, z) - value(values, x - REACH, y, z)
    out[1] = value(values, x, y + REACH, z) - value(values, x, y - REACH, z)
    out[2] = value(values, x, y, z + REACH) - value(values, x, y, z - REACH)
    norm = np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    if norm > 1e-12:
        for c in range(3):
            out[c] *= sign / norm
    return norm > 1e-12


@kernel
def _sample(values, points, result):  # type: ignore[no-untyped-def]
    for n in range(len(points)):
        result[n] = value(values, points[n, 0], points[n, 1], points[n, 2])


@kernel
def _trace(values, start, level, max_length, paths, lengths, reached):  # type: ignore[no-untyped-def]
    n_max = int(np.ceil(max_length / STEP)) + 2
    line = np.empty((n_max, 3))
    arc = np.empty(n_max)
    d1, d2 = np.empty(3), np.empty(3)
    n_samples = paths.shape[1]
    for n in range(len(start)):
        line[0] = start[n]
        arc[0] = 0.0
        last = 0
        here = value(values, start[n, 0], start[n, 1], start[n, 2])
        sign = 1.0 if level > here else -1.0
        reached[n] = here == level
        while not reached[n] and last + 1 < n_max:
            p = line[last]
            step, there, is_uphill = STEP, here, False
            # a crest or valley (two banks in contact) is approached in ever smaller steps
            while not is_uphill and step > STEP / 20 and _direction(values, p, sign, d1):
                # midpoint rule: second order, as accurate as the trilinear field
                if not _direction(values, p + 0.5 * step * d1, sign, d2):
                    break
                q = p + step * d2
                there = value(values, q[0], q[1], q[2])
                is_uphill = (there - here) * sign > 0
                if not is_uphill:
                    step *= 0.5
            if not is_uphill:
                break
            if (there - level) * sign >= 0:
                step *= (level - here) / (there - here)
                reached[n] = True
            last += 1
            line[last] = p + step * d2
            arc[last] = arc[last - 1] + step
            here = there
        lengths[n] = arc[last]
        at = 0
        for s in range(n_samples):
            wanted = arc[last] * s / (n_samples - 1)
            while at < last - 1 and arc[at + 1] < wanted:
                at += 1
            if last == 0:
                paths[n, s] = line[0]
            else:
                t = (wanted - arc[at]) / (arc[at + 1] - arc[at]) if arc[at + 1] > arc[at] else 0.0
                paths[n, s] = line[at] + min(t, 1.0) * (line[at + 1] - line[at])
