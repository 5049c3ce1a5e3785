"""Depth in the cortical ribbon by Laplace's equation with sub-voxel boundaries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.compiled import kernel
from cytomesh.surface.extract import crossing
from cytomesh.surface.topology import flat_offsets, slabs

OUTSIDE, INSIDE = np.float32(-0.5), np.float32(1.5)
LEAST = np.float32(1e-3)
LOWEST, HIGHEST = np.float32(-0.4), np.float32(1.4)
"""No point of the ribbon may look like one beyond it, even while the solution overshoots."""
RELAXATION = 1.6
CHECK = 5


@dataclass(frozen=True, slots=True)
class DepthField:
    """Solution of Laplace's equation between pial and white.

    Parameters
    ----------
    values : (ni, nj, nk) float32
        0 on the pial boundary, 1 on the white boundary, harmonic between. Voxels next to the ribbon are extrapolated
        so that the levels 0 and 1 run through the boundaries; beyond that -0.5 outside pial and 1.5 inside white.
    n_unknowns, n_iterations : int
        Size of the system and steps of the solver.
    residual : float
        Relative residual of the linear system at the end.
    """

    values: NDArray[np.float32]
    n_unknowns: int
    n_iterations: int
    residual: float


def solve_depth(
    white: NDArray[np.float32], pial: NDArray[np.float32], tolerance: float, max_iterations: int = 2000
) -> DepthField:
    """Solve Laplace's equation with 1 on the white and 0 on the pial boundary (Jones et al. 2000).

    Boundaries cut grid edges where the signed distances cross zero; the cut stencil of Gibou et al. (2002) is second
    order and keeps the matrix symmetric. The ribbon is a handful of voxels thick between two Dirichlet boundaries and
    the relative distance is near the solution, so that successive over-relaxation needs some tens of sweeps whatever
    the hemisphere's size, and no memory but the field itself.

    Parameters
    ----------
    white, pial : (ni, nj, nk) float32
        Positive inside; white is inside pial.
    tolerance : float
        Relative residual, scaled by the diagonal, at which the solution is accepted.

    Raises
    ------
    SurfaceError
        No voxel between the boundaries, or no convergence.
    """
    values = np.empty(white.shape, np.float32)
    for layers in slabs(white.shape):
        inside, outside = np.maximum(pial[layers], LEAST), np.maximum(-white[layers], LEAST)
        values[layers] = inside / (inside + outside)
        values[layers][white[layers] > 0] = INSIDE
        values[layers][pial[layers] <= 0] = OUTSIDE
    flat = (white.reshape(-1), pial.reshape(-1))
    ribbon = np.flatnonzero((values.reshape(-1) != INSIDE) & (values.reshape(-1) != OUTSIDE))
    if not len(ribbon):
        raise SurfaceError("ribbon", found="no voxel between white and pial", hint="use a smaller voxel_mm")
    steps = flat_offsets(white.shape)
    straight = np.array([s for s in steps if abs(s) in (1, white.shape[2], white.shape[1] * white.shape[2])])
    system = _boundary(values.reshape(-1), *flat, ribbon, straight)
    n_iterations, residual = _relax(values.reshape(-1), *system, straight, tolerance, max_iterations)
    del system
    if not residual <= tolerance:
        raise SurfaceError(
            "depth field",
            found=f"relative residual {residual:.1e} after {n_iterations} steps",
            expected=f"{tolerance:.0e}",
        )
    values.reshape(-1)[ribbon] = np.clip(values.reshape(-1)[ribbon], LEAST, 1 - LEAST)
    _extrapolate(*flat, ribbon, steps, values.reshape(-1))
    return DepthField(values, len(ribbon), n_iterations, residual)


@kernel
def _boundary(values, white, pial, ribbon, steps):  # type: ignore[no-untyped-def]
    """Split the ribbon into points with six neighbours in it and points with a boundary beside them.

    Returns the former, the latter, and the diagonal and right hand side of the latter.
    """
    inner, outer = np.empty(len(ribbon), ribbon.dtype), np.empty(len(ribbon), ribbon.dtype)
    n_inner, n_outer = 0, 0
    for p in ribbon:
        is_inner = True
        for b in range(6):
            there = values[p + steps[b]]
            is_inner &= there != INSIDE and there != OUTSIDE
        if is_inner:
            inner[n_inner] = p
            n_inner += 1
        else:
            outer[n_outer] = p
            n_outer += 1
    diagonal, right = np.zeros(n_outer, np.float32), np.zeros(n_outer, np.float32)
    for u in range(n_outer):
        p = outer[u]
        for b in range(6):
            q = p + steps[b]
            if values[q] == INSIDE:
                weight = 1.0 / crossing(white[p], white[q], False)
                diagonal[u] += weight
                right[u] += weight
            elif values[q] == OUTSIDE:
                diagonal[u] += 1.0 / crossing(pial[p], pial[q], True)
            else:
                diagonal[u] += 1.0
    return inner[:n_inner].copy(), outer[:n_outer].copy(), diagonal, right


@kernel
def _relax(values, inner, outer, diagonal, right, steps, tolerance, max_iterations):  # type: ignore[no-untyped-def]
    """Sweep until every `CHECK`-th sweep, which only measures, finds the residual small enough."""
    n_iterations, residual = 0, np.inf
    norm = 0.0
    for u in range(len(outer)):
        norm += np.float64(right[u]) * right[u] / diagonal[u]
    share = np.float32(RELAXATION / 6.0)
    while residual > tolerance and n_iterations < max_iterations:
        is_check = n_iterations % CHECK == CHECK - 1 or n_iterations == max_iterations - 1
        rest = 0.0
        for p in inner:
            change = values[p + steps[0]] + values[p + steps[1]] + values[p + steps[2]]
            change += values[p + steps[3]] + values[p + steps[4]] + values[p + steps[5]] - np.float32(6.0) * values[p]
            if is_check:
                rest += np.float64(change) * change / 6.0
            else:
                values[p] += share * change
        for u in range(len(outer)):
            p = outer[u]
            change = right[u] - diagonal[u] * values[p]
            for b in range(6):
                there = values[p + steps[b]]
                if there != INSIDE and there != OUTSIDE:
                    change += there
            if is_check:
                rest += np.float64(change) * change / diagonal[u]
            else:
                values[p] = min(max(values[p] + np.float32(RELAXATION) * change / diagonal[u], LOWEST), HIGHEST)
        if is_check:
            residual = np.sqrt(rest / max(norm, 1e-30))
        n_iterations += 1
    return n_iterations, residual


@kernel
def _extrapolate(white, pial, ribbon, steps, values):  # type: ignore[no-untyped-def]
    """Continue the field over the boundary: each voxel beside the ribbon takes the mean of its neighbours' lines."""
    found = np.empty(len(ribbon), np.int64)
    n_found = 0
    for u in range(len(ribbon)):
        for b in range(len(steps)):
            q = ribbon[u] + steps[b]
            if values[q] != OUTSIDE and values[q] != INSIDE:
                continue
            is_out = values[q] == OUTSIDE
            total = 0.0
            count = 0
            for c in range(len(steps)):
                r = q + steps[c]
                if r < 0 or r >= len(values) or white[r] > 0 or pial[r] <= 0:
                    continue
                count += 1
                if is_out:
                    s = crossing(pial[r], pial[q], True)
                    total -= values[r] * (1 - s) / s
                else:
                    s = crossing(white[r], white[q], False)
                    total += (1 - values[r]) * (1 - s) / s
            mean = total / count
            if is_out:
                values[q] = min(max(mean, OUTSIDE + LEAST), -LEAST)
            else:
                values[q] = max(min(1 + mean, INSIDE - LEAST), 1 + LEAST)
            if n_found == len(found):
                found = np.concatenate((found, np.empty_like(found)))
            found[n_found] = q
            n_found += 1
    # the remaining corners of cells that a boundary runs through: same slope against the signed distance
    corners = np.empty(len(found), np.int64)
    slopes = np.empty(len(found), np.float32)
    n_corners = 0
    for u in range(n_found):
        for b in range(len(steps)):
            q = found[u] + steps[b]
            if q < 0 or q >= len(values) or (values[q] != OUTSIDE and values[q] != INSIDE):
                continue
            is_in = values[q] == INSIDE
            rise = 0.0
            run = 0.0
            for c in range(len(steps)):
                r = q + steps[c]
                if r < 0 or r >= len(values) or (white[r] > 0) != is_in or (pial[r] > 0) != is_in:
                    continue
                if OUTSIDE < values[r] < INSIDE:
                    rise += abs(values[r] - (1.0 if is_in else 0.0))
                    run += abs(white[r] if is_in else pial[r])
            if n_corners == len(corners):
                corners = np.concatenate((corners, np.empty_like(corners)))
                slopes = np.concatenate((slopes, np.empty_like(slopes)))
            corners[n_corners] = q
            slopes[n_corners] = rise / (run + LEAST)
            n_corners += 1
            # set aside until all are measured
            values[q] = INSIDE + 1 if is_in else OUTSIDE - 1
    for u in range(n_corners):
        q = corners[u]
        is_in = values[q] > INSIDE
        step = max(min(slopes[u] * abs(white[q] if is_in else pial[q]), np.float32(0.499)), LEAST)
        values[q] = 1 + step if is_in else -step
