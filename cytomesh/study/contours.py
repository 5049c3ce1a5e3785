"""Contours of a section: any supported file to pial and white polygons in pixels, with their checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import shapely
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.core.errors import ContourError, CytomeshError, nearest
from cytomesh.study.contour_cuts import CUT, lines_apart
from cytomesh.study.contour_formats.features import CORNER, IGNORE, UNCLASSIFIED, ContourFeature, meaning
from cytomesh.study.contour_formats.geojson import write_geojson
from cytomesh.study.contour_formats.nesting import rings_within
from cytomesh.study.contour_formats.registry import read_features
from cytomesh.study.contour_polygons import RING, multi_polygon, polygons_of, several_planes
from cytomesh.study.contour_repair import Mender
from cytomesh.study.contour_rings import check_sizes, clipped
from cytomesh.study.manifest import ContourClass, ContourSettings
from cytomesh.study.problems import attempt, raise_problems
from cytomesh.study.sections import Section

CLASSES: tuple[str, ...] = get_args(ContourClass)
HEMISPHERES = ("L", "R")
# The class of `cytomesh contours extract`: known, and not a boundary of cortex.
TISSUE = "tissue"


@dataclass(frozen=True, slots=True)
class HemisphereContours:
    """Boundaries of one hemisphere in one section, in pixels of the full-resolution image (centres at integers).

    Parameters
    ----------
    pial : shapely MultiPolygon
        Inside of the pial boundary (cortex and white matter).
    white : shapely MultiPolygon
        Inside of the grey/white boundary; empty where the section cuts cortex only.
    """

    pial: MultiPolygon = field(default_factory=MultiPolygon)
    white: MultiPolygon = field(default_factory=MultiPolygon)


@dataclass(frozen=True, slots=True)
class SectionContours(Mapping[str, HemisphereContours]):
    """Contours of one section by hemisphere ("L", "R").

    Parameters
    ----------
    hemispheres : dict of {"L", "R"} to HemisphereContours
    exclude : shapely MultiPolygon
        Tissue not to be used.
    cut : shapely MultiPolygon
        Stretches of pial rings within it, of either hemisphere, are no cortex: the tissue was cut or torn there.
    trimmed_mm2 : dict of {"L", "R"} to float
        White matter outside the pial boundary that was taken away (`contours.repair`).
    """

    hemispheres: dict[str, HemisphereContours]
    exclude: MultiPolygon = field(default_factory=MultiPolygon)
    cut: MultiPolygon = field(default_factory=MultiPolygon)
    trimmed_mm2: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, hemisphere: str) -> HemisphereContours:
        return self.hemispheres[hemisphere]

    def __iter__(self) -> Iterator[str]:
        return iter(self.hemispheres)

    def __len__(self) -> int:
        return len(self.hemispheres)


def read_contours(section: Section, hemispheres: Collection[str] = HEMISPHERES) -> SectionContours:
    """Read and check a section's contours; rings of other hemispheres than these are not looked at.

    Raises
    ------
    ContourError
        If the file is missing or malformed, a class is unknown, a ring crosses itself or lies outside the image,
        or white matter lies outside the pial boundary; every problem of the file is named. If hemispheres are none.

    Examples
    --------
    >>> from cytomesh import open_study
    >>> section = open_study("study/study.yaml").brains[0].sections[0]
    >>> contours = read_contours(section)
    >>> list(contours)  # hemispheres
    ['L']
    >>> pial, white = contours["L"].pial, contours["L"].white  # shapely MultiPolygons, pixels
    >>> cortex_mm2 = (pial.area - white.area) * (section.um_per_px / 1000) ** 2
    >>> cortex_mm2 > 0
    True
    """
    if not set(hemispheres) <= set(HEMISPHERES):
        raise ContourError(section.name, "hemispheres", found=str(hemispheres), expected="'L', 'R' or both")
    contours, problems = parse_contours(section, hemispheres)
    raise_problems(problems)
    return contours


def parse_contours(
    section: Section, hemispheres: Collection[str] = HEMISPHERES
) -> tuple[SectionContours, list[CytomeshError]]:
    """Read a section's contours of some hemispheres; return what can be used and every problem found."""
    problems: list[CytomeshError] = []
    path = section.contours
    if path is None:
        return SectionContours({}), [
            ContourError(section.name, found="no contours", hint="declare them in the section table")
        ]
    known = frozenset(CLASSES) | frozenset(section.contour_settings.classes) | {TISSUE}
    features = attempt(problems, lambda: read_features(section, known))
    polygons: dict[str, list[Polygon]] = {
        name: [] for name in CLASSES if name in ("exclude", CUT) or name[-1] in hemispheres
    }
    mender = Mender(path)
    used = [feature for feature in features or [] if _add_feature(path, feature, section, polygons, mender, problems)]
    problems += several_planes(path, used)
    if section.contour_settings.repair:
        polygons = clipped(section, polygons)
    problems += check_sizes(section, polygons)
    nested = attempt(problems, lambda: _nested(path, polygons))
    if nested is None:
        # merging thousands of rings over one another would take as long as looking at them
        return SectionContours({}), problems
    problems += nested
    merged = {name: multi_polygon(shapely.union_all(parts)) for name, parts in polygons.items()}
    found: dict[str, HemisphereContours] = {}
    trimmed_mm2: dict[str, float] = {}
    for side in hemispheres:
        pial, white = merged[f"pial_{side}"], merged[f"white_{side}"]
        if pial.is_empty and white.is_empty:
            continue
        outside = _white_outside(path, side, pial, white, section.contour_settings)
        if outside is not None:
            problems.append(outside)
        elif section.contour_settings.repair:
            inside = multi_polygon(white.intersection(pial))
            column, row = section.plane.um_per_px
            trimmed_mm2[side] = (white.area - inside.area) * column * row / 1e6
            white = inside
        found[side] = HemisphereContours(_shift(pial, -CORNER), _shift(white, -CORNER))
    exclude, cut = (_shift(merged[name], -CORNER) for name in ("exclude", CUT))
    return SectionContours(found, exclude, cut, trimmed_mm2), problems


def write_contours(path: Path, contours: SectionContours) -> None:
    """Write contours as QuPath GeoJSON, one annotation a polygon, whole or not at all."""
    named = {"exclude": contours.exclude, "cut": contours.cut}
    for side, hemisphere in contours.items():
        named |= {f"pial_{side}": hemisphere.pial, f"white_{side}": hemisphere.white}
    write_geojson(path, named)


def _add_feature(
    path: Path,
    feature: ContourFeature,
    section: Section,
    polygons: dict[str, list[Polygon]],
    mender: Mender,
    problems: list[CytomeshError],
) -> bool:
    """Add the feature's polygons, counted from the corner, to those of its class; complain to `problems`.

    Returns whether the feature counts: its class is among those of `polygons`.
    """
    settings = section.contour_settings
    known = {name: name for name in CLASSES} | {TISSUE: IGNORE} | settings.classes
    name = meaning(feature, known)
    if name is None:
        problems.append(_unknown_class(path, feature, list(known)))
        return False
    if name not in polygons:  # to be ignored, or of another hemisphere
        return False
    if name == CUT:
        feature, strips = lines_apart(feature, section.um_per_px)
        polygons[name].extend(strips)
    expected = "a line or a closed ring" if name == CUT else RING
    hint = "draw it as a closed ring, delete it, or give it a class that contours.classes maps to ignore"
    polygons[name] += polygons_of(feature, mender, problems, settings.repair, expected, hint)
    return True


def _unknown_class(path: Path, feature: ContourFeature, known: list[str]) -> ContourError:
    close = {name: nearest(name, known, cutoff=0.75) for name in feature.names}
    # of an element and the groups around it, the one that looks like a class
    written = next((name for name, near in close.items() if near), feature.names[0] if feature.names else "")
    near = close.get(written)
    return ContourError(
        path,
        feature.place,
        found=f"unknown class '{written}'" if written else "no classification",
        expected=f"one of {', '.join(CLASSES)}",
        hint=(f"did you mean '{near}'? " if near else "")
        + "say in contours.classes of the manifest what such names stand for, or map them to ignore"
        if written
        else UNCLASSIFIED.format("contours.classes"),
    )


def _nested(path: Path, polygons: dict[str, list[Polygon]]) -> list[CytomeshError]:
    """Find rings within another ring of their class: merged, the hole that is probably meant would vanish."""
    problems: list[CytomeshError] = []
    for name in (name for name in polygons if len(polygons[name]) > 1):
        inner = rings_within(polygons[name], path)
        # what is excluded, or a cut, may be so twice
        for i in inner if name not in ("exclude", CUT) else ():
            at = polygons[name][i].representative_point()
            found = f"ring around ({at.x:.1f}, {at.y:.1f}) px within another ring of the same class"
            hint = "make it a hole of the outer one (in QuPath, subtract it), or delete it if it is a copy"
            problems.append(ContourError(path, f"'{name}'", found=found, expected="holes as holes", hint=hint))
    return problems


def _white_outside(
    path: Path, side: str, pial: MultiPolygon, white: MultiPolygon, settings: ContourSettings
) -> ContourError | None:
    if white.is_empty:
        return None
    # slivers are cut like any other white matter outside, as long as all of it is little
    for part in () if settings.repair else white.geoms:
        if not part.intersects(pial):
            at = part.representative_point()
            return ContourError(
                path,
                f"'white_{side}'",
                found=f"ring around ({at.x:.1f}, {at.y:.1f}) px outside every pial ring",
                expected="white matter inside the pial boundary",
                hint=f"draw the pial ring around it, give it another class than white_{side}, or, if it is a sliver, "
                "set contours.repair: true",
            )
    outside = multi_polygon(white.difference(pial))
    share = outside.area / white.area
    if share <= settings.max_white_outside:
        return None
    at = max(outside.geoms, key=lambda part: part.area).representative_point()
    return ContourError(
        path,
        f"'white_{side}'",
        found=f"{100 * share:.1f} % of the white matter outside the pial boundary, around ({at.x:.1f}, {at.y:.1f}) px",
        expected=f"at most {100 * settings.max_white_outside:g} %",
        hint="check that the two classes are not swapped, correct the lines there, or raise contours.max_white_outside",
    )


def _shift(polygons: MultiPolygon, by: float) -> MultiPolygon:
    return polygons if polygons.is_empty else translate(polygons, by, by)
