"""Positions of vertices with the least energy, in space or on the unit sphere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cytomesh.register.distortion import Points
from cytomesh.surface.mesh import unit

MEMORY = 15
LARGEST_STEP = 0.2
"""Of the radius of a sphere of the surface's area: what is farther away does not look as it does from here."""
N_HALVINGS = 25
SUFFICIENT = 1e-4


def minimise(
    energy: Callable[[Tensor], Tensor | None],
    start: Points,
    precondition: Callable[[Points], Points],
    device: torch.device,
    *,
    n_iterations: int,
    tolerance: float,
    retract: Callable[[Points], Points] = unit,
) -> tuple[Points, list[float]]:
    """Minimise an energy of positions by L-BFGS that begins from a preconditioner.

    The two loops of Nocedal and Wright, Numerical Optimization, algorithm 7.4, with a solved quadratic model for the
    first Hessian (a Sobolev gradient) and steps that are halved until the energy falls (Armijo). SciPy's has no place
    for either, and none for energies that are infinite beyond a border.

    Parameters
    ----------
    energy : callable
        Of (n, 3) float64, with gradient; None: not allowed.
    start : (n, 3) float64
        Allowed.
    precondition : callable
        Applies the inverse of a positive definite (n, n) matrix to (n, 3).
    tolerance : float
        Ends when the energy falls by a smaller share than this in a step.
    retract : callable
        Brings positions back to where they may be; by default to the unit sphere, for an energy that is the same along
        each ray.

    Returns
    -------
    positions : (n, 3) float64
    energies : list of float
        At the start and after each step.
    """
    here = retract(start)
    value, gradient = _value(energy, here, device)
    energies = [value]
    steps: list[Points] = []
    turns: list[Points] = []
    for _ in range(n_iterations):
        direction = -_inverse_hessian(gradient, steps, turns, precondition)
        slope = float((direction * gradient).sum())
        if slope >= 0:
            break
        length = min(1.0, LARGEST_STEP / float(np.linalg.norm(direction, axis=1).max()))
        for _ in range(N_HALVINGS):
            there = retract(here + length * direction)
            value, new = _value(energy, there, device)
            if value <= energies[-1] + SUFFICIENT * length * slope:
                break
            length *= 0.5
        else:
            break
        step, turn = there - here, new - gradient
        if (step * turn).sum() > 1e-14:
            steps, turns = [*steps, step][-MEMORY:], [*turns, turn][-MEMORY:]
        here, gradient = there, new
        energies.append(value)
        if energies[-2] - value < tolerance * abs(energies[-2]):
            break
    return here, energies


def _inverse_hessian(
    gradient: Points, steps: list[Points], turns: list[Points], precondition: Callable[[Points], Points]
) -> Points:
    found = gradient.copy()
    shares = []
    for step, turn in zip(reversed(steps), reversed(turns), strict=True):
        shares.append((step * found).sum() / (step * turn).sum())
        found -= shares[-1] * turn
    found = precondition(found)
    for step, turn, share in zip(steps, turns, reversed(shares), strict=True):
        found += (share - (turn * found).sum() / (step * turn).sum()) * step
    return found


def _value(energy: Callable[[Tensor], Tensor | None], positions: Points, device: torch.device) -> tuple[float, Points]:
    there = torch.tensor(positions, device=device, requires_grad=True)
    value = energy(there)
    if value is None or not bool(torch.isfinite(value)):
        return np.inf, positions
    value.backward()  # type: ignore[no-untyped-call]
    assert there.grad is not None
    return float(value.detach()), there.grad.cpu().numpy()
