"""Whether a brain lies where the reference space's template and maps are, and the same way round."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.core.errors import AtlasError, CytomeshError, StudyError
from cytomesh.study.contours import HEMISPHERES, SectionContours
from cytomesh.study.sections import Section
from cytomesh.study.transforms import ReferenceTransform

Points = NDArray[np.float64]
"""(n, 3) positions, mm."""

UNTURNED = np.ones(3)
MAX_POINTS = 4_000
POINTS_PER_RING = 40
# Micrometres for millimetres make a factor of 1,000; a block of tissue is not that small.
MAX_SCALE = 100.0
# Distances are shares of the template's longest side. A brain is at fault if one of the usual mistakes, undone, brings
# it nearer by half and by so much; or if it is so far that no registration can be meant.
LEAST_GAIN, FAR = 0.02, 0.15
GAIN_RATIO = 0.5


def ring_points(sections: Sequence[Section], contours: Sequence[SectionContours | None]) -> dict[str, Points]:
    """Return points of the pial rings of each hemisphere that is drawn, in the brain's world space."""
    found: dict[str, list[Points]] = {side: [] for side in HEMISPHERES}
    for section, drawn in zip(sections, contours, strict=True):
        for side, rings in (drawn or {}).items():
            for part in rings.pial.geoms:
                steps = np.linspace(0, 1, POINTS_PER_RING, endpoint=False)
                on_ring = shapely.line_interpolate_point(part.exterior, steps, normalized=True)
                found[side].append(section.plane.world(shapely.get_coordinates(on_ring)))
    return {side: thinned(np.concatenate(parts)) for side, parts in found.items() if parts}


def thinned(points: Points) -> Points:
    """Return at most `MAX_POINTS`, evenly taken."""
    return np.asarray(points[:: max(1, -(-len(points) // MAX_POINTS))], np.float64)


def check_placement(
    manifest: Path,
    brain: str,
    rings: Mapping[str, Points],
    transform: ReferenceTransform,
    template: Mapping[str, Points],
    maps: Points | None,
) -> list[CytomeshError]:
    """Compare a brain's rings, brought into the reference space, with the template; without one, with the maps.

    Parameters
    ----------
    rings : dict of {"L", "R"} to (n, 3) float64
        In the brain's world space (see `ring_points`).
    template : dict of {"L", "R"} to (n, 3) float64
        Vertices of the template's pial surfaces, as far as there are any.
    maps : (n, 3) float64 or None
        Voxels where areas are probable.
    """
    there = {side: thinned(template[side]) for side in rings if side in template}
    name, goals = ("the template's pial surface", there) if there else ("the probability maps", {})
    if not goals and maps is not None and len(maps):
        goals = dict.fromkeys(rings, thinned(maps))
    if not goals:
        return []
    place = f"{brain}: to_reference"
    both = np.concatenate([rings[side] for side in goals])
    size, usual = (_extent(points) for points in (transform.apply(both), np.concatenate(list(goals.values()))))
    if not usual / MAX_SCALE < size < MAX_SCALE * usual:
        found = f"rings over {size:,.3g} mm in the reference space, where {name} extends over {usual:,.3g} mm"
        hint = "the affine, to_world and the surfaces are in mm"
        return [StudyError(manifest, place, found=found, expected="one size", hint=hint)]

    trees = {side: cKDTree(goal) for side, goal in goals.items()}

    def distance(move: Callable[[Points], Points]) -> float:
        parts = {side: move(rings[side]) for side in goals}
        apart = [float(trees[side].query(points)[0].mean()) for side, points in parts.items()]
        if not there:  # maps may be of a few areas: then they are near the rings, and not the other way round
            apart = [
                min(mean, float(cKDTree(points).query(goals[side])[0].mean()))
                for mean, (side, points) in zip(apart, parts.items(), strict=True)
            ]
        return float(np.average(apart, weights=[len(points) for points in parts.values()]))

    as_is = distance(transform.apply)
    if as_is < LEAST_GAIN * usual:
        return []
    guesses = [(what, hint, distance(move)) for what, hint, move in _undone(transform)]
    what, hint, best = min(guesses, key=lambda guess: guess[2])
    if _is_clear(as_is, best, usual):
        found = f"rings {as_is:.1f} mm from {name}, on average, but {best:.1f} mm {what}"
        return [StudyError(manifest, place, found=found, expected="the smaller distance", hint=hint)]
    if there and as_is > FAR * usual:
        found = f"rings {as_is:.1f} mm from {name}, on average"
        hint = "give the affine from the brain's world space to the reference space: rows, RAS, mm"
        expected = "a brain that lies on the template, registered at least roughly"
        return [StudyError(manifest, place, found=found, expected=expected, hint=hint)]
    return []


def check_maps(source: Path, maps: Points, template: Mapping[str, Points]) -> list[CytomeshError]:
    """Compare where areas are probable with the template's surfaces."""
    if not len(maps) or not template:
        return []
    goal, maps = thinned(np.concatenate(list(template.values()))), thinned(maps)
    size, usual = _extent(maps), _extent(goal)
    if not usual / MAX_SCALE < size < MAX_SCALE * usual:
        found = f"areas over {size:,.3g} mm, where the template extends over {usual:,.3g} mm"
        return [AtlasError(source, found=found, expected="one size", hint="correct the unit in the header: mm")]
    tree = cKDTree(goal)
    as_is = float(tree.query(maps)[0].mean())
    guesses = [(name, float(tree.query(maps * signs)[0].mean())) for name, signs in _turns()]
    name, best = min(guesses, key=lambda guess: guess[1])
    if not _is_clear(as_is, best, usual):
        return []
    found = f"areas {as_is:.1f} mm from the template's surfaces, on average, but {best:.1f} mm with {name} turned round"
    hint = "correct the affine of the maps (RAS, mm), or the template's surfaces"
    return [AtlasError(source, found=found, expected="maps and template in one space", hint=hint)]


def _is_clear(as_is: float, best: float, extent: float) -> bool:
    return best < GAIN_RATIO * as_is and as_is - best > LEAST_GAIN * extent


def _undone(transform: ReferenceTransform) -> Iterator[tuple[str, str, Callable[[Points], Points]]]:
    """Yield the usual mistakes: what would be otherwise, the way out, and where points would be then."""
    for name, signs in _turns():
        hint = f"is {name} turned round? World coordinates are RAS, mm"
        yield (
            f"with {name} of to_world turned round",
            f"{hint}; correct to_world",
            partial(_moved, transform, before=signs),
        )
        yield (
            f"with {name} of the reference space turned round",
            f"{hint}; LPS matrices (ITK, ANTs) need the signs of two rows and two columns changed",
            partial(_moved, transform, after=signs),
        )
    inverse = np.asarray(np.linalg.inv(transform.affine), np.float64)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    for what, hint, affine in (
        (
            "by the inverse of the affine",
            "give the affine from the brain's world space to the reference space",
            inverse,
        ),
        ("by the affine read as LPS", "change the affine from LPS (ITK, ANTs) to RAS", lps @ transform.affine @ lps),
        (
            "by the inverse of the affine read as LPS",
            "give the affine from the brain's world space to the reference space, in RAS",
            lps @ inverse @ lps,
        ),
    ):
        changed = ReferenceTransform(affine, transform.displacement)
        yield what, hint, changed.apply


def _moved(
    transform: ReferenceTransform, points: Points, before: Points = UNTURNED, after: Points = UNTURNED
) -> Points:
    return transform.apply(points * before) * after


def _turns() -> Iterator[tuple[str, Points]]:
    """Yield which axes are turned round, and the signs."""
    for signs in itertools.product((1.0, -1.0), repeat=3):
        names = [name for name, sign in zip("xyz", signs, strict=True) if sign < 0]
        if names:
            yield " and ".join(names), np.array(signs)


def _extent(points: Points) -> float:
    return float(np.ptp(points, axis=0).max())
