"""Depth in the cortical ribbon by Laplace's equation with sub-voxel boundaries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.compiled import kernel
from cytomesh.surface.extract import crossing
from cytomesh.surface.topology import flat_offsets

OUTSIDE, INSIDE = np.float32(-0.5), np.float32(1.5)
LEAST = np.float32(1e-3)


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
    white: NDArray[np.float32],
    pial: NDArray[np.float32],
    is_white: NDArray[np.uint8],
    is_pial: NDArray[np.uint8],
    tolerance: float,
    max_iterations: int = 2000,
) -> DepthField:
    """Solve Laplace's equation with 1 on the white and 0 on the pial boundary (Jones et al. 2000).

    Boundaries cut grid edges where the signed distances cross zero; the cut stencil of Gibou et al. (2002) is second
    order and keeps the matrix symmetric. The ribbon is a handful of voxels thick between two Dirichlet boundaries, so
    the diagonally scaled matrix is well conditioned whatever the hemisphere's size, and conjugate gradients need
    some tens of steps: building a multigrid hierarchy costs more than it saves.

    Raises
    ------
    SurfaceError
        No voxel between the boundaries, or no convergence.
    """
    ribbon = np.flatnonzero((is_pial.reshape(-1) == 1) & (is_white.reshape(-1) == 0))
    if not len(ribbon):
        raise SurfaceError("ribbon", found="no voxel between white and pial", hint="use a smaller voxel_mm")
    number = np.full(is_pial.size, -1, np.int32)
    number[ribbon] = np.arange(len(ribbon), dtype=np.int32)
    steps = flat_offsets(is_pial.shape)
    straight = np.array([s for s in steps if abs(s) in (1, is_pial.shape[2], is_pial.shape[1] * is_pial.shape[2])])
    flat = (white.reshape(-1), pial.reshape(-1), is_white.reshape(-1), is_pial.reshape(-1))
    neighbours, diagonal, right = _assemble(*flat[:3], ribbon, number, straight)
    del number
    guess = flat[1][ribbon] / (flat[1][ribbon] - flat[0][ribbon])  # the relative distance is near the solution
    solution, n_iterations, residual = _conjugate_gradients(
        neighbours, diagonal, right, guess, tolerance, max_iterations
    )
    if not residual <= tolerance:
        raise SurfaceError(
            "depth field",
            found=f"relative residual {residual:.1e} after {n_iterations} steps",
            expected=f"{tolerance:.0e}",
        )
    values = np.where(is_white == 1, INSIDE, OUTSIDE).astype(np.float32)
    values.reshape(-1)[ribbon] = np.clip(solution, LEAST, 1 - LEAST)
    _extrapolate(*flat, ribbon, steps, values.reshape(-1))
    return DepthField(values, len(ribbon), n_iterations, residual)


@kernel
def _assemble(white, pial, is_white, ribbon, number, steps):  # type: ignore[no-untyped-def]
    n = len(ribbon)
    neighbours = np.full((n, 6), -1, np.int32)
    diagonal = np.zeros(n, np.float32)
    right = np.zeros(n, np.float32)
    for u in range(n):
        p = ribbon[u]
        for b in range(6):
            q = p + steps[b]
            if number[q] >= 0:
                neighbours[u, b] = number[q]
                diagonal[u] += 1.0
            elif is_white[q]:
                weight = 1.0 / crossing(white[p], white[q], False)
                diagonal[u] += weight
                right[u] += weight
            else:
                diagonal[u] += 1.0 / crossing(pial[p], pial[q], True)
    return neighbours, diagonal, right


@kernel
def _conjugate_gradients(neighbours, diagonal, right, start, tolerance, max_iterations):  # type: ignore[no-untyped-def]
    n = len(right)
    x = start.copy()
    residual = np.empty(n, np.float32)
    direction = np.empty(n, np.float32)
    product = np.empty(n, np.float32)
    norm = 0.0
    rho = 0.0
    for u in range(n):
        total = np.float64(diagonal[u]) * x[u]
        for b in range(6):
            if neighbours[u, b] >= 0:
                total -= x[neighbours[u, b]]
        residual[u] = right[u] - total
        direction[u] = residual[u] / diagonal[u]
        rho += residual[u] * direction[u]
        norm += np.float64(right[u]) * right[u] / diagonal[u]
    norm = max(norm, 1e-30)
    iteration = 0
    # half the tolerance: the recursion drifts in single precision
    while iteration < max_iterations and rho > 0.25 * tolerance * tolerance * norm:
        curvature = 0.0
        for u in range(n):
            total = np.float64(diagonal[u]) * direction[u]
            for b in range(6):
                if neighbours[u, b] >= 0:
                    total -= direction[neighbours[u, b]]
            product[u] = total
            curvature += total * direction[u]
        alpha = rho / curvature
        new_rho = 0.0
        for u in range(n):
            x[u] += alpha * direction[u]
            residual[u] -= alpha * product[u]
            new_rho += np.float64(residual[u]) * residual[u] / diagonal[u]
        beta = new_rho / rho
        for u in range(n):
            direction[u] = residual[u] / diagonal[u] + beta * direction[u]
        rho = new_rho
        iteration += 1
    # report what is really left
    rho = 0.0
    for u in range(n):
        total = np.float64(diagonal[u]) * x[u]
        for b in range(6):
            if neighbours[u, b] >= 0:
                total -= x[neighbours[u, b]]
        rho += (right[u] - total) ** 2 / diagonal[u]
    return x, iteration, np.sqrt(rho / norm)


@kernel
def _extrapolate(white, pial, is_white, is_pial, ribbon, steps, values):  # type: ignore[no-untyped-def]
    """Continue the field over the boundary: each voxel beside the ribbon takes the mean of its neighbours' lines."""
    found = np.empty(len(ribbon), np.int64)
    n_found = 0
    for u in range(len(ribbon)):
        for b in range(len(steps)):
            q = ribbon[u] + steps[b]
            is_out = not is_pial[q]
            if (not is_out and not is_white[q]) or (values[q] != OUTSIDE and values[q] != INSIDE):
                continue
            total = 0.0
            count = 0
            for c in range(len(steps)):
                r = q + steps[c]
                if r < 0 or r >= len(values) or is_white[r] or not is_pial[r]:
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
    second = np.zeros(n_found * len(steps), np.float32)
    for u in range(n_found):
        for b in range(len(steps)):
            q = found[u] + steps[b]
            if q < 0 or q >= len(values) or (values[q] != OUTSIDE and values[q] != INSIDE):
                continue
            distance = white if is_white[q] else pial
            rise = 0.0
            run = 0.0
            for c in range(len(steps)):
                r = q + steps[c]
                if r < 0 or r >= len(values) or is_white[r] != is_white[q] or is_pial[r] != is_pial[q]:
                    continue
                if values[r] != OUTSIDE and values[r] != INSIDE:
                    rise += abs(values[r] - (1.0 if is_white[q] else 0.0))
                    run += abs(distance[r])
            second[u * len(steps) + b] = min(rise / (run + LEAST) * abs(distance[q]), 0.499)
    for u in range(n_found):
        for b in range(len(steps)):
            q = found[u] + steps[b]
            step = second[u * len(steps) + b]
            if step > 0:
                values[q] = 1 + max(step, LEAST) if is_white[q] else -max(step, LEAST)
