"""A template made from a study's own brains: what their patterns have in common, in the middle of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from cytomesh.register.demons import Stiffness
from cytomesh.register.spherical import exponential, logarithm, tangent
from cytomesh.register.warp import STAGES, Pattern, Stage, Warp, grid_of, warp_onto
from cytomesh.surface.mesh import unit

Apply = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""As `map`."""
N_ROUNDS = 3
"""With all stages: the mean of two BigBrain hemispheres becomes sharper for as long."""


def group_template(
    patterns: Sequence[Pattern],
    stiffness: Stiffness,
    stages: Sequence[Stage] = STAGES,
    apply: Apply = map,
) -> tuple[Pattern, list[Warp], list[list[dict[str, float]]]]:
    """Bring brains onto their mean, again and again, with one more stage each time.

    The mean is kept in the middle: after each round all maps are moved so that displacements from it to the brains are
    zero on average (Guimond, Meunier and Thirion, Average brain models, CVIU 77, 2000). No brain is its model.

    Parameters
    ----------
    patterns : sequence of Pattern
        Of two or more hemispheres of one side (mirror the others), on spheres of about the same orientation.
    stiffness : Stiffness
    stages : sequence of Stage
    apply : callable
        As `map`; may use processes.

    Returns
    -------
    template : Pattern
    warps : list of Warp
        From each brain's sphere to the template's.
    records : list of list of dict
        Of each brain's last registration, see `warp_onto`.
    """
    template = tuple(
        grid_of(stage.subdivisions).standardised(np.mean(values, axis=0))
        for stage, values in zip(stages, zip(*patterns, strict=True), strict=True)
    )
    warps: list[Warp] = []
    records: list[list[dict[str, float]]] = []
    for n_stages in [*range(1, len(stages)), *[len(stages)] * N_ROUNDS]:
        onto = partial(warp_onto, theirs=template, stiffness=stiffness, stages=stages, n_stages=n_stages)
        found, records = map(list, zip(*apply(onto, patterns), strict=True))
        warps = centred(found)
        template = _mean(patterns, warps, stages)
    return template, warps, records


def centred(warps: Sequence[Warp]) -> list[Warp]:
    """Move the sphere that some maps lead to so that it lies in the middle of those they come from."""
    grid = warps[0].grid
    here = grid.mesh.vertices
    away = np.mean([logarithm(here, warp.inverse(here)) for warp in warps], axis=0)
    moved = []
    for warp in warps:
        shift = grid.locator.interpolate(warp.places, away)
        moved.append(Warp(warp.subdivisions, unit(exponential(warp.places, tangent(warp.places, shift)))))
    return moved


def _mean(patterns: Sequence[Pattern], warps: Sequence[Warp], stages: Sequence[Stage]) -> Pattern:
    found = []
    for number, stage in enumerate(stages):
        grid = grid_of(stage.subdivisions)
        seen = [
            grid.locator.interpolate(warp.inverse(grid.mesh.vertices), pattern[number])
            for pattern, warp in zip(patterns, warps, strict=True)
        ]
        found.append(grid.standardised(np.mean(seen, axis=0)))
    return tuple(found)
