"""Checks along the stack: forgotten rings, parts torn off, areas that jump, sections absent from a regular series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from cytomesh.core.errors import ContourError, CytomeshError, StudyError
from cytomesh.study.contour_stack import coarse, source, valid
from cytomesh.study.contours import HemisphereContours, SectionContours
from cytomesh.study.section_order import positions
from cytomesh.study.sections import Section

BOUNDARIES = ("pial", "white")
# An area is off by a wrong pixel size if the root of what it is off by is so near to a whole number.
SCALE_TOLERANCE = 0.1
# A section is torn, or has too much, where its area is off by more than LEAST_CHANGE and SPREADS times what is usual in
# its stack, and one piece of that size lies in both neighbours but not here (or here but in neither). In whole human
# hemispheres that is 2 % at most at planes 1 mm apart and 8 % at 5 mm, where areas are off by 0.6 % and 3 % usually.
LEAST_CHANGE = 0.05
SPREADS = 3.5
# Towards the poles rings shrink to nothing and change by any share: there, shares are of this part of the largest area.
LEAST_AREA = 0.1
# A gap of at least this many median spacings is one where sections are absent ...
MAX_GAP = 2.5
# ... in a series of which this share of the gaps is within a quarter of the median.
REGULAR_SHARE, REGULAR_WIDTH = 0.8, 0.25
# Centres nearer to each other along x say nothing about sides (sagittal sections).
LEAST_APART_MM = 0.5


def undrawn_between(is_drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which sections of a stack lack a boundary that sections before and after them have.

    Every plane between two that cut a connected body cuts it, too: there the ring is forgotten, not absent.

    Parameters
    ----------
    is_drawn : (n,) bool
        Whether the boundary is drawn, in stacking order.

    Returns
    -------
    (n,) bool
    """
    drawn = np.flatnonzero(is_drawn)
    is_between = np.zeros(len(is_drawn), np.bool_)
    if drawn.size:
        is_between[drawn[0] : drawn[-1]] = ~is_drawn[drawn[0] : drawn[-1]]
    return is_between


def check_neighbours(
    table: Path, sections: Sequence[Section], contours: Sequence[SectionContours | None]
) -> list[CytomeshError]:
    """Compare the rings of each section of one brain, and its place, with those of its neighbours; never raises.

    Parameters
    ----------
    table : Path
        The section table.
    sections : sequence of Section
        All of them, missing ones included.
    contours : sequence of SectionContours or None
        What was read of each; None where there is nothing, or nothing to rely on.
    """
    offsets = positions(list(sections))
    order = np.argsort(offsets, kind="stable")
    problems: list[CytomeshError] = list(_absent_sections(table, [sections[i] for i in order], offsets[order]))
    used = [i for i in order if contours[i] is not None]
    for side in ("L", "R"):
        rings = [(contours[i] or {}).get(side, HemisphereContours()) for i in used]
        stacks = {
            name: _Stack(
                f"{name}_{side}",
                [sections[i] for i in used],
                offsets[used],
                [getattr(item, name) for item in rings],
            )
            for name in BOUNDARIES
        }
        problems += _forgotten(stacks)
        problems += [problem for stack in stacks.values() for problem in _jumps(stack)]
    return problems


def check_sides(
    table: Path, sections: Sequence[Section], contours: Sequence[SectionContours | None]
) -> list[CytomeshError]:
    """Find a brain whose left is right of its right: world coordinates are RAS, x grows to the right; never raises."""
    steps = []
    for section, drawn in zip(sections, contours, strict=True):
        pial = [drawn[side].pial for side in ("L", "R") if side in drawn] if drawn else []
        if len(pial) < 2 or any(region.is_empty for region in pial):
            continue
        centres = section.plane.world(np.array([[region.centroid.x, region.centroid.y] for region in pial]))
        if abs(centres[1, 0] - centres[0, 0]) > LEAST_APART_MM:
            steps.append(float(centres[1, 0] - centres[0, 0]))
    n_wrong = sum(step < 0 for step in steps)
    if n_wrong <= len(steps) / 2:  # single ones are found by comparison with their neighbours
        return []
    apart = f"{-np.median(steps):.1f} mm"
    found = f"the left hemisphere right of the right one, by {apart}, in {n_wrong} of {len(steps)} sections"
    hint = "exchange pial_L and pial_R, white_L and white_R (contours.classes can), or turn the sign of x in to_world"
    return [StudyError(table, "contours", found=found, expected="x to grow from left to right (RAS)", hint=hint)]


@dataclass(frozen=True, slots=True)
class _Stack:
    """One boundary's regions in sections in stacking order, in their pixels; plane positions in mm."""

    name: str
    sections: list[Section]
    offsets: NDArray[np.float64]
    regions: list[shapely.MultiPolygon]

    @property
    def areas(self) -> NDArray[np.float64]:
        """Return (n,) areas, mm2."""
        return np.array(
            [
                region.area * float(np.linalg.norm(np.cross(*section.plane.to_world[:, :2].T)))
                for section, region in zip(self.sections, self.regions, strict=True)
            ]
        )


def _absent_sections(table: Path, sections: Sequence[Section], offsets: NDArray[np.float64]) -> Iterator[CytomeshError]:
    """Find gaps of several spacings in a regular series; declared missing sections are no gaps."""
    steps = np.diff(offsets)
    if steps.size < 4:
        return
    usual = float(np.median(steps))
    if np.mean(np.abs(steps - usual) <= REGULAR_WIDTH * usual) < REGULAR_SHARE:
        return
    for i in np.flatnonzero(steps >= MAX_GAP * usual).tolist():
        count = round(steps[i] / usual) - 1
        yield StudyError(
            table,
            f"sections {sections[i].index} and {sections[i + 1].index}",
            found=f"planes {steps[i]:.3f} mm apart with none between: about {count} sections are absent",
            expected=f"sections {usual:.3f} mm apart, as in the rest of the series",
            hint="add a row with status missing for each absent section, or correct to_world",
        )


def _forgotten(stacks: dict[str, _Stack]) -> Iterator[CytomeshError]:
    """Name sections without a boundary that sections on both sides have, once each."""
    is_drawn = {name: stack.areas > 0 for name, stack in stacks.items()}
    is_absent = {name: undrawn_between(drawn) for name, drawn in is_drawn.items()}
    for k in np.flatnonzero(np.any(list(is_absent.values()), axis=0)):
        lacking = [name for name in BOUNDARIES if is_absent[name][k]]
        drawn = np.flatnonzero(is_drawn[lacking[0]])
        stack = stacks[lacking[0]]
        before, after = (stack.sections[n].index for n in (drawn[drawn < k][-1], drawn[drawn > k][0]))
        yield ContourError(
            source(stack.sections[k]),
            stack.sections[k].name,
            found=f"no {' and no '.join(stacks[name].name for name in lacking)} ring, which sections {before} and"
            f" {after} have",
            expected="a boundary in every section between two that show it",
            hint="draw the ring; where it cannot be drawn, build-graph interpolates it from the sections around it",
        )


def _jumps(stack: _Stack) -> Iterator[CytomeshError]:
    """Name sections whose area is off the one that their neighbours give, and where a piece is lost or too much."""
    areas = stack.areas
    drawn = np.flatnonzero(areas > 0)
    if len(drawn) < 3:
        return
    heights, areas = stack.offsets[drawn], areas[drawn]
    span = np.maximum(heights[2:] - heights[:-2], 1e-9)
    share = (heights[1:-1] - heights[:-2]) / span
    usual = (1 - share) * areas[:-2] + share * areas[2:]
    reference = np.maximum(usual, LEAST_AREA * areas.max())
    change = (areas[1:-1] - usual) / reference
    limit = max(LEAST_CHANGE, SPREADS * float(np.median(np.abs(change))))
    # where a lobe begins, the first section with it has more than half of what the second has
    change = np.where(change > 0, (areas[1:-1] - np.maximum(areas[:-2], areas[2:])) / reference, change)
    for n in np.flatnonzero(np.abs(change) > limit):
        before, here, after = drawn[n : n + 3]
        piece = _lost(stack, before, here, after) if change[n] < 0 else _gained(stack, before, here, after)
        section = stack.sections[here]
        if piece.area * areas[n + 1] / stack.regions[here].area <= limit * reference[n]:
            continue
        at = piece.representative_point()
        word, remedy = ("less", "complete the ring") if change[n] < 0 else ("more", "remove what is too much")
        yield ContourError(
            source(section),
            f"{section.name}, '{stack.name}'",
            found=f"{areas[n + 1]:,.1f} mm2, {100 * abs(areas[n + 1] / usual[n] - 1):.0f} % {word} than sections"
            f" {stack.sections[before].index} and {stack.sections[after].index} give, around"
            f" ({at.x:.1f}, {at.y:.1f}) px",
            expected=f"about {usual[n]:,.1f} mm2",
            hint=_scale_hint(areas[n + 1] / usual[n])
            + f"{remedy}, or leave the section's contours out (n/a, status damaged)",
        )


def _scale_hint(ratio: float) -> str:
    """Say that the pixel size may be wrong where an area is off by about the square of a whole number."""
    factor = float(np.sqrt(max(ratio, 1 / ratio)))
    if round(factor) < 2 or abs(factor / round(factor) - 1) > SCALE_TOLERANCE:
        return ""
    word = "large" if ratio > 1 else "small"
    return f"if all rings of the section are off alike, um_per_px and to_world are {factor:.1f} times too {word}; else "


def _lost(stack: _Stack, before: int, here: int, after: int) -> BaseGeometry:
    """Return the largest piece that both neighbours have and this section has not, in its pixels."""
    both = _projected(stack, before, here).intersection(_projected(stack, after, here))
    return _largest(both.difference(coarse(stack.regions[here])))


def _gained(stack: _Stack, before: int, here: int, after: int) -> BaseGeometry:
    """Return the largest piece of this section that neither neighbour has, in its pixels."""
    either = _projected(stack, before, here).union(_projected(stack, after, here))
    return _largest(coarse(stack.regions[here]).difference(either))


def _projected(stack: _Stack, other: int, here: int) -> BaseGeometry:
    to, of = stack.sections[here].plane, stack.sections[other].plane
    return valid(shapely.transform(coarse(stack.regions[other]), lambda points: to.pixels(of.world(points))))


def _largest(region: BaseGeometry) -> BaseGeometry:
    return max(getattr(region, "geoms", [region]), key=lambda part: float(part.area), default=region)
