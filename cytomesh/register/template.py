"""Hemispheres on a template: fsaverage, or the mean of a study's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cytomesh.core.errors import SurfaceError
from cytomesh.register.config import RegisterConfig
from cytomesh.register.demons import Stiffness
from cytomesh.register.distortion import is_flipped, unfolded
from cytomesh.register.group import Apply, group_template
from cytomesh.register.hemispheres import Hemisphere, mirrored
from cytomesh.register.operators import Floats
from cytomesh.register.sphere import RADIUS_MM
from cytomesh.register.warp import STAGES, Pattern, Stage, Warp, grid_of, pattern_of, warp_onto
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.mesh import Mesh

OTHER_SIDE = 0.8
"""A hemisphere that differs from the template by less than this share of it when mirrored is one of the other side."""
EXCHANGE = "exchange the sides of its surfaces, or mend their x axis (right is positive)"
FOLDS = 2
"""The stage whose depths are correlated: folds."""


@dataclass(frozen=True)
class Registered:
    """A hemisphere's sphere on the template.

    Parameters
    ----------
    on_side, in_common : Mesh
        On the template of its side, and on the left one, mirrored if it is a right hemisphere; radius 100 mm.
    correlation : float
        Of the depth of folds, with the template's.
    stages : list of dict
        See `warp_onto`.
    """

    on_side: Mesh
    in_common: Mesh
    correlation: float
    stages: list[dict[str, float]]


def registered(
    hemispheres: Sequence[Hemisphere],
    sides: Sequence[str],
    settings: RegisterConfig,
    stages: Sequence[Stage] = STAGES,
    further: Sequence[Floats] | None = None,
    apply: Apply = map,
    names: Sequence[str] | None = None,
) -> list[Registered]:
    """Bring hemispheres onto the template of the settings.

    Parameters
    ----------
    hemispheres : sequence of Hemisphere
    sides : sequence of {"L", "R"}
    settings : RegisterConfig
    stages : sequence of Stage
    further : sequence of (n, k) float64, optional
        What else drives them, one per hemisphere.
    apply : callable
        As `map`; may use processes.
    names : sequence of str, optional
        Of the hemispheres, for errors.

    Raises
    ------
    SurfaceError
        If a hemisphere looks like one of the other side, or a triangle stays flipped.
    """
    stiffness = Stiffness(whole=settings.stiffness)
    called = names or [f"hemisphere {number + 1}" for number in range(len(sides))]
    common = [h if side == "L" else h.mirrored for h, side in zip(hemispheres, sides, strict=True)]
    patterns = [
        pattern_of(h.surface, h.sphere, stages, None if further is None else further[number])
        for number, h in enumerate(common)
    ]
    if settings.template == "study":
        mirror = pattern_of(common[0].mirrored.surface, common[0].mirrored.sphere, stages)
        onto = partial(warp_onto, stiffness=stiffness, stages=stages, n_stages=1)
        _check_one_side(patterns, mirror, called, onto, apply)
        template, warps, records = group_template(patterns, stiffness, stages, apply)
        on_side: list[Warp | None] = [None for _ in warps]
    else:
        template, own = (fsaverage_pattern(side, stages) for side in "LR")
        onto = partial(warp_onto, theirs=template, stiffness=stiffness, stages=stages)
        warps, records = map(list, zip(*apply(onto, patterns), strict=True))
        _check_sides(patterns, sides, called, own, records, onto)
        rights = [
            pattern_of(h.surface, h.sphere, stages) for h, side in zip(hemispheres, sides, strict=True) if side == "R"
        ]
        found = iter(apply(partial(warp_onto, theirs=own, stiffness=stiffness, stages=stages), rights))
        on_side = [next(found)[0] if side == "R" else None for side in sides]
    done = []
    for number, (name, side) in enumerate(zip(called, sides, strict=True)):
        in_common = _carried(name, common[number].sphere, warps[number])
        own_warp = on_side[number]
        if own_warp is not None:
            here = _carried(name, hemispheres[number].sphere, own_warp)
        else:
            here = in_common if side == "L" else mirrored(in_common)
        correlation = _correlation(patterns[number], template, warps[number], stages)
        done.append(Registered(here, in_common, correlation, records[number]))
    return done


def fsaverage_pattern(side: str, stages: Sequence[Stage] = STAGES) -> Pattern:
    """Return the folding of fsaverage5's midsurface."""
    packaged = fsaverage5(side)
    return pattern_of(packaged["midthickness"], packaged["sphere"], stages)


def _check_sides(
    patterns: Sequence[Pattern],
    sides: Sequence[str],
    names: Sequence[str],
    right: Pattern,
    records: Sequence[Sequence[dict[str, float]]],
    onto: Callable[..., tuple[Warp, list[dict[str, float]]]],
) -> None:
    """Raise SurfaceError if a hemisphere, mirrored to the left, is more like a right one."""
    for name, pattern, side, record in zip(names, patterns, sides, records, strict=True):
        _, other = onto(pattern, theirs=right, n_stages=1)
        if other[0]["after"] < OTHER_SIDE * record[0]["after"]:
            there = {"L": "right", "R": "left"}[side]
            raise SurfaceError(name, found=f"folds of a {there} hemisphere", expected=side, hint=EXCHANGE)


def _check_one_side(
    patterns: Sequence[Pattern],
    mirror: Pattern,
    names: Sequence[str],
    onto: Callable[..., tuple[Warp, list[dict[str, float]]]],
    apply: Apply,
) -> None:
    """Raise SurfaceError if some hemispheres, all mirrored to the left, are more like the mirror image of the first.

    Where all sides are exchanged, this cannot be seen, and what corresponds still does.
    """
    same, other = np.array(
        [
            [record[0]["after"] for _, record in apply(partial(onto, theirs=theirs), patterns[1:])]
            for theirs in (patterns[0], mirror)
        ]
    )
    is_other = np.concatenate([[False], other < OTHER_SIDE * same])
    if is_other.any():
        is_other = is_other if is_other.mean() <= 0.5 else ~is_other
        few, many = (", ".join(np.asarray(names)[rows]) for rows in (is_other, ~is_other))
        expected = "hemispheres of the sides that they are given as"
        raise SurfaceError(few, found=f"folds like the mirror image of {many}", expected=expected, hint=EXCHANGE)


def _carried(name: str, sphere: Mesh, warp: Warp) -> Mesh:
    """Return a sphere on the template, without flipped triangles."""
    found = unfolded(warp(sphere.vertices), sphere.faces)
    if n := int(is_flipped(found, sphere.faces).sum()):
        raise SurfaceError(name, "sphere.reg", found=f"{n} flipped triangles", expected="none", hint="raise stiffness")
    return Mesh(RADIUS_MM * found, sphere.faces)


def _correlation(own: Pattern, template: Pattern, warp: Warp, stages: Sequence[Stage]) -> float:
    grid = grid_of(stages[FOLDS].subdivisions)
    theirs = grid.locator.interpolate(warp(grid.mesh.vertices), template[FOLDS])[:, 0]
    mine = own[FOLDS][:, 0]
    mine, theirs = mine - grid.shares @ mine, theirs - grid.shares @ theirs
    return float(grid.shares @ (mine * theirs) / np.sqrt((grid.shares @ mine**2) * (grid.shares @ theirs**2)))
