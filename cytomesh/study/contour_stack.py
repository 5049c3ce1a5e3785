"""Checks that need a section's neighbours: size, mirrored drawings, planes that coincide, sections without cortex."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from cytomesh.core.errors import ContourError, CytomeshError
from cytomesh.study.contours import SectionContours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.section_order import MAX_TILT_DEG, positions
from cytomesh.study.sections import Section

# Sections on either side that one is compared with.
N_NEIGHBOURS = 2
# Neighbours differ in width by tens of per cent; a wrong unit or pyramid level makes a factor of two or far more.
MAX_SIZE_RATIO = 5.0
SAME_PLANE_MM = 1e-3
# A mirrored drawing has to fit much better than the drawing itself, not only than one that is merely shifted.
# No good section of two human hemispheres, cut every 1, 3 or 6 mm, passes these two; of those turned by 180 degrees,
# which is harder to see than a flip, 89 of 91, 55 of 88 and 19 of 40 do.
MIRROR_GAIN = 0.1
MIRROR_GAIN_OVER_SHIFT = 0.08
# A section beside its neighbours overlaps them by so much more where they are: of good sections, 1 to 12 mm apart, none
# does that fits its neighbours worse than they fit each other. In stacks that are not aligned, offsets are the rule:
# what is named is so much further off than the median.
MOVE_GAIN = 0.1
MOVE_SPREADS = 3.0
# Sections that were exchanged fit better, both, by this; the pairs of so many odd ones are tried.
EXCHANGE_GAIN = 0.05
MOST_ODD = 20
# Rings are compared to this share of their width; their detail does not matter here.
DETAIL = 0.005


@dataclass(frozen=True, slots=True)
class StackReport:
    """What is wrong between sections, and what is worth knowing: (section index, text)."""

    problems: tuple[tuple[int, CytomeshError], ...]
    notes: tuple[tuple[int, str], ...]


def check_stack(sections: Sequence[Section], contours: Sequence[SectionContours | None]) -> StackReport:
    """Compare each section's pial rings with those of its neighbours in one brain; never raises.

    Parameters
    ----------
    sections : sequence of Section
        One brain's.
    contours : sequence of SectionContours or None
        What was read of each; None where there is nothing, or nothing to rely on.
    """
    order = np.argsort(positions(list(sections)), kind="stable")
    sections, contours = [sections[i] for i in order], [contours[i] for i in order]
    notes = [
        (section.index, "no cortex drawn in this section")
        for section, item in zip(sections, contours, strict=True)
        if item is not None and all(rings.pial.is_empty for rings in item.values())
    ]
    drawn = [
        _Drawing(section, {side: coarse(rings.pial) for side, rings in item.items() if not rings.pial.is_empty})
        for section, item in zip(sections, contours, strict=True)
        if item is not None
    ]
    drawn = [drawing for drawing in drawn if drawing.rings]
    problems: list[tuple[int, CytomeshError]] = []
    for i, drawing in enumerate(drawn):
        before, after = drawn[max(i - N_NEIGHBOURS, 0) : i], drawn[i + 1 : i + 1 + N_NEIGHBOURS]
        if before and _is_same_plane(before[-1].section, drawing.section):
            problems.append((drawing.section.index, _duplicate(before[-1].section, drawing.section)))
        before, after = (
            [other for other in side if _is_comparable(other.section, drawing.section)] for side in (before, after)
        )
        if len(before) + len(after) < 2:
            continue
        problem = _wrong_size(drawing, [*before, *after]) or _mirrored(drawing, before, after)
        if problem:
            problems.append((drawing.section.index, problem))
    named = {index for index, _ in problems}
    problems += [(index, problem) for index, problem in _misplaced(drawn) if index not in named]
    return StackReport(tuple(problems), tuple(notes))


def check_white(
    table: Path, hemispheres: Sequence[str], sections: Sequence[Section], contours: Sequence[SectionContours | None]
) -> list[ContourError]:
    """Find hemispheres of a brain whose cortex is drawn without white matter, in every section.

    Sections towards the poles have none; a brain without any cannot be built. Nothing is said where sections are at
    fault (None, although they have a file): the white matter may be theirs.

    Parameters
    ----------
    table : Path
        The brain's section table, for the message.
    """
    if any(item is None and section.contours for section, item in zip(sections, contours, strict=True)):
        return []
    problems = []
    for side in hemispheres:
        drawn = [item[side] for item in contours if item is not None and side in item]
        if drawn and all(rings.white.is_empty for rings in drawn):
            found = f"no white_{side} in any of {len(drawn)} sections with pial_{side}"
            hint = (
                f"draw the grey/white boundary as white_{side}; if it is there under another name, give that in "
                "contours.classes of the manifest"
            )
            expected = "both boundaries of the cortex"
            problems.append(ContourError(table, f"hemisphere {side}", found=found, expected=expected, hint=hint))
    return problems


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Simplified pial regions of a section by hemisphere, in its pixels."""

    section: Section
    rings: dict[str, BaseGeometry]

    @property
    def bounds_px(self) -> NDArray[np.float64]:
        return shapely.total_bounds(list(self.rings.values()))

    @property
    def width_mm(self) -> float:
        """Longer side of the pial rings' box, mm."""
        low, high = self.bounds_px.reshape(2, 2)
        return float(((high - low) * self.section.plane.um_per_px).max()) / 1000


def coarse(region: BaseGeometry) -> BaseGeometry:
    """Return a region to the detail at which sections are compared, valid."""
    left, top, right, bottom = region.bounds
    # pixels of very different numbers may be compared: what is simplified stays valid
    return valid(region.simplify(DETAIL * max(right - left, bottom - top)))


def _is_same_plane(first: Section, second: Section) -> bool:
    """Whether the middle of the second one's pixel grid lies in the plane of the first, and both are parallel."""
    is_parallel = abs(float(first.plane.normal @ second.plane.normal)) > 1 - 1e-9
    return is_parallel and abs(float(first.plane.distance(second.plane.to_world[:, 2][None])[0])) < SAME_PLANE_MM


def _is_comparable(first: Section, second: Section) -> bool:
    """Whether the rings of one make sense in the plane of the other: not the same plane, and not across it."""
    cosine = abs(float(first.plane.normal @ second.plane.normal))
    return cosine >= np.cos(np.radians(MAX_TILT_DEG)) and not _is_same_plane(first, second)


def _duplicate(first: Section, second: Section) -> ContourError:
    return ContourError(
        source(second),
        second.name,
        found=f"the plane of section {first.index} once more ({second.plane.offset_mm:.3f} mm)",
        expected="each plane once",
        hint="correct to_world of one of them, or declare one of them missing",
    )


def _wrong_size(drawing: _Drawing, neighbours: Sequence[_Drawing]) -> ContourError | None:
    usual = float(np.median([other.width_mm for other in neighbours]))
    ratio = drawing.width_mm / usual
    # towards the poles sections shrink to nothing: only what is far too large is wrong
    if ratio < MAX_SIZE_RATIO:
        return None
    um = drawing.section.um_per_px
    is_um = 1 / 2 < ratio / um < 2
    hint = (
        f"divide the coordinates by um_per_px ({um:g}), or export pixels" if is_um else "check um_per_px and to_world"
    )
    found = f"pial rings over {drawing.width_mm:.1f} mm, {ratio:.1f} times as wide as in neighbouring sections"
    return ContourError(
        source(drawing.section),
        drawing.section.name,
        found=found + (": the coordinates look like micrometres" if is_um else ""),
        expected=f"about {usual:.1f} mm, coordinates in pixels of the full-resolution image",
        hint=hint,
    )


def _mirrored(drawing: _Drawing, before: Sequence[_Drawing], after: Sequence[_Drawing]) -> ContourError | None:
    """Compare the overlap (intersection over union, by hemisphere) of the drawing as it is and flipped or turned.

    A flipped section fits none of its neighbours; a good section beside a flipped one fits the others. So the best
    neighbour decides, and most of them have to agree. Drawing and neighbours are also compared after the centres of
    their boxes are brought together: a drawing that is only shifted fits then without being flipped. Where the sections
    on both sides of it fit each other better than it fits any, as with a wrong one, half of either gain will do.
    """
    plane = drawing.section.plane
    others = [_projected(other, plane) for other in (*before, *after)]
    each = np.array([_overlap(drawing.rings, other) for other in others])
    as_is = float(each.max())
    if as_is > 1 - MIRROR_GAIN:
        return None
    is_odd = bool(before and after) and _overlap(others[len(before) - 1], others[len(before)]) > as_is
    least, least_over_shift = (gain / 2 if is_odd else gain for gain in (MIRROR_GAIN, MIRROR_GAIN_OVER_SHIFT))
    flips = {
        "flipped left-right (columns)": (-1.0, 1.0),
        "flipped top-bottom (rows)": (1.0, -1.0),
        "turned by 180 degrees": (-1.0, -1.0),
    }
    shifted = max(_overlap(_moved(drawing.rings, (1.0, 1.0), other), other) for other in others)
    flipped = {
        name: np.array([_overlap(_moved(drawing.rings, flip, other), other) for other in others])
        for name, flip in flips.items()
    }
    name = max(flipped, key=lambda key: flipped[key].max())
    fit = float(flipped[name].max())
    if fit < as_is + least or fit < shifted + least_over_shift or np.mean(flipped[name] > each) <= 0.5:
        return None
    found = f"rings that overlap those of neighbours by {as_is:.2f}, but by {fit:.2f} if {name}"
    hint = (
        "flip or turn the image and its rings, or change the sign of the step in to_world (and move its origin); a turn"
        " changes both steps"
    )
    other_names = {side: drawing.rings[other] for side, other in (("L", "R"), ("R", "L")) if other in drawing.rings}
    renamed = max(_overlap(other_names, other) for other in others) if len(other_names) == 2 else 0.0
    if renamed >= fit - MIRROR_GAIN / 2:  # a brain's sides are alike: both explain the same rings
        found += f", and by {renamed:.2f} with left and right exchanged in name only"
        hint = f"exchange pial_L and pial_R, white_L and white_R in this file; if its image is flipped, too, {hint}"
    expected = "sections seen from the same side and the same way up, and sides under their names"
    return ContourError(source(drawing.section), drawing.section.name, found=found, expected=expected, hint=hint)


def _misplaced(drawn: Sequence[_Drawing]) -> Iterator[tuple[int, ContourError]]:
    """Find sections that lie beside their neighbours, which fit each other better than they fit this one.

    Two of them that fit in each other's place have been exchanged.
    """
    odd: list[tuple[int, float, float]] = []
    offsets: dict[int, float] = {}
    for i in range(1, len(drawn) - 1):
        before, here, after = drawn[i - 1 : i + 2]
        if not all(_is_comparable(other.section, here.section) for other in (before, after)):
            continue
        others = [_projected(other, here.section.plane) for other in (before, after)]
        place = _box_centre(here.rings) - np.mean([_box_centre(other) for other in others], axis=0)
        offsets[i] = float(np.linalg.norm(here.section.plane.to_world[:, :2] @ place))
        as_is = max(_overlap(here.rings, other) for other in others)
        usual = _overlap(*others)
        if as_is >= usual:
            continue
        moved = max(_overlap(_moved(here.rings, (1.0, 1.0), other), other) for other in others)
        odd.append((i, as_is, moved))
    exchanged = _exchanged(drawn, [i for i, *_ in odd])
    for i, j in exchanged.items():
        yield drawn[i].section.index, _exchange(drawn[i].section, drawn[j].section)
    least = MOVE_SPREADS * float(np.median(list(offsets.values()))) if offsets else 0.0
    for i, as_is, moved in odd:
        if i in exchanged or moved - as_is < MOVE_GAIN or offsets[i] < least:
            continue
        section = drawn[i].section
        found = (
            f"rings {offsets[i]:.0f} mm beside those of sections {drawn[i - 1].section.index} and"
            f" {drawn[i + 1].section.index}:"
            f" they overlap by {as_is:.2f}, but by {moved:.2f} if moved there"
        )
        hint = "correct the origin (3rd, 6th and 9th number of to_world), or the image of which rings were drawn"
        expected = "planes whose sections lie over one another"
        yield (
            section.index,
            ContourError(source(section), section.name, found=found, expected=expected, hint=hint),
        )


def _exchanged(drawn: Sequence[_Drawing], odd: Sequence[int]) -> dict[int, int]:
    """Return which of the odd sections fit, both, in each other's place clearly better than in their own."""

    def fit(rings: int, place: int) -> float:
        """Return the overlap of a section's rings with the neighbours of a place, their centres brought together."""
        plane = drawn[place].section.plane
        others = [_projected(drawn[k], plane) for k in (place - 1, place + 1) if k != rings]
        return float(np.mean([_overlap(_moved(drawn[rings].rings, (1.0, 1.0), other), other) for other in others]))

    own = {i: fit(i, i) for i in odd[:MOST_ODD]}
    found: dict[int, int] = {}
    for i, j in itertools.combinations(own, 2):
        if fit(i, j) > own[j] + EXCHANGE_GAIN and fit(j, i) > own[i] + EXCHANGE_GAIN:
            found |= {i: j, j: i}
    return found


def _exchange(section: Section, other: Section) -> ContourError:
    return ContourError(
        source(section),
        section.name,
        found=f"rings that fit in the place of section {other.index}, whose rings fit here",
        expected="each section's own image and rings",
        hint=f"exchange image, contours and annotation of sections {section.index} and {other.index} in the section"
        " table, or their planes",
    )


def _box_centre(rings: dict[str, BaseGeometry]) -> NDArray[np.float64]:
    return np.asarray(shapely.total_bounds(list(rings.values())).reshape(2, 2).mean(axis=0))


def _projected(other: _Drawing, plane: SectionPlane) -> dict[str, BaseGeometry]:
    """Return a neighbour's rings in the pixels of this plane."""

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return plane.pixels(other.section.plane.world(points))

    return {side: valid(shapely.transform(region, move)) for side, region in other.rings.items()}


def _moved(
    rings: dict[str, BaseGeometry], flip: tuple[float, float], other: dict[str, BaseGeometry]
) -> dict[str, BaseGeometry]:
    """Return rings flipped about the centre of their box, which is moved to that of the others'."""
    centre, goal = _box_centre(rings), _box_centre(other)

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points - centre) * flip + goal

    return {side: valid(shapely.transform(region, move)) for side, region in rings.items()}


def _overlap(rings: dict[str, BaseGeometry], others: dict[str, BaseGeometry]) -> float:
    common = whole = 0.0
    empty = shapely.Polygon()
    for side in {*rings, *others}:
        a, b = rings.get(side, empty), others.get(side, empty)
        shared = a.intersection(b).area
        common, whole = common + shared, whole + a.area + b.area - shared
    return common / whole if whole else 1.0


def valid(region: BaseGeometry) -> BaseGeometry:
    """Return a region without self-crossings."""
    return region if region.is_valid else region.buffer(0)


def source(section: Section) -> str:
    """Return the file that a problem of the section's rings is about."""
    return str(section.contours or section.name)
