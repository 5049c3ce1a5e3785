"""Contours of a section: QuPath GeoJSON to pial and white polygons in pixels, with their checks."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, mapping, shape
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity, make_valid

from cytomesh.core.errors import ContourError, CytomeshError
from cytomesh.core.files import write_text
from cytomesh.study.headers import read_header
from cytomesh.study.manifest import ContourClass, ContourSettings
from cytomesh.study.problems import attempt, raise_problems
from cytomesh.study.sections import Section

CLASSES: tuple[str, ...] = get_args(ContourClass)
# QuPath counts from the corner of pixel (0, 0), cytomesh from its centre.
CORNER = 0.5
# Rings may touch the border of the image, and a stroke may go over it by a pixel.
BORDER_PX = 1.0


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
    """Contours of one section by hemisphere ("L", "R"); `exclude` is tissue not to be used."""

    hemispheres: dict[str, HemisphereContours]
    exclude: MultiPolygon = field(default_factory=MultiPolygon)

    def __getitem__(self, hemisphere: str) -> HemisphereContours:
        return self.hemispheres[hemisphere]

    def __iter__(self) -> Iterator[str]:
        return iter(self.hemispheres)

    def __len__(self) -> int:
        return len(self.hemispheres)


def read_contours(section: Section) -> SectionContours:
    """Read and check a section's contours.

    Raises
    ------
    ContourError
        If the file is missing or malformed, a class is unknown, a ring crosses itself or lies outside the image,
        or white matter lies outside the pial boundary; every problem of the file is named.
    """
    contours, problems = parse_contours(section)
    raise_problems(problems)
    return contours


def parse_contours(section: Section) -> tuple[SectionContours, list[CytomeshError]]:
    """Read a section's contours; return what can be used and every problem found."""
    problems: list[CytomeshError] = []
    path = section.contours
    if path is None:
        return SectionContours({}), [
            ContourError(section.name, found="no contours", hint="declare them in the section table")
        ]
    features = attempt(problems, lambda: _read_features(path))
    polygons: dict[str, list[Polygon]] = {name: [] for name in CLASSES}
    for number, feature in enumerate(features or []):
        _read_feature(path, number, feature, section.contour_settings, polygons, problems)
    if section.image is not None:
        problems += _outside_image(path, section.image, polygons)
    problems += _nested(path, polygons)
    merged = {name: _multi(shapely.union_all(parts)) for name, parts in polygons.items()}
    hemispheres = {}
    for side in ("L", "R"):
        pial, white = merged[f"pial_{side}"], merged[f"white_{side}"]
        if pial.is_empty and white.is_empty:
            continue
        outside = _white_outside(path, side, pial, white, section.contour_settings)
        if outside is not None:
            problems.append(outside)
        elif section.contour_settings.repair:
            white = _multi(white.intersection(pial))
        hemispheres[side] = HemisphereContours(_shift(pial, -CORNER), _shift(white, -CORNER))
    return SectionContours(hemispheres, _shift(merged["exclude"], -CORNER)), problems


def write_contours(path: Path, contours: SectionContours) -> None:
    """Write contours as QuPath GeoJSON, one annotation a polygon, whole or not at all."""
    named = {"exclude": contours.exclude}
    for side, hemisphere in contours.items():
        named |= {f"pial_{side}": hemisphere.pial, f"white_{side}": hemisphere.white}
    features = [
        {
            "type": "Feature",
            "geometry": mapping(translate(polygon, CORNER, CORNER)),
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for name, polygons in named.items()
        for polygon in polygons.geoms
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}))


def _read_features(path: Path) -> list[dict[str, Any]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        hint = "correct the path in the section table, or write n/a"
        raise ContourError(path, found="no such file", hint=hint) from cause
    except (OSError, ValueError) as cause:
        raise ContourError(path, found=f"a file that cannot be read ({cause})", expected="QuPath GeoJSON") from cause
    features = data.get("features") if isinstance(data, dict) else data
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise ContourError(
            path,
            found="no list of features",
            expected="a GeoJSON FeatureCollection",
            hint="in QuPath: File > Export objects as GeoJSON",
        )
    return features


def _read_feature(
    path: Path,
    number: int,
    feature: dict[str, Any],
    settings: ContourSettings,
    polygons: dict[str, list[Polygon]],
    problems: list[CytomeshError],
) -> None:
    """Add the feature's polygons, in the file's coordinates, to those of its class; complain to `problems`."""
    classification = (feature.get("properties") or {}).get("classification") or {}
    written = str(classification.get("name", ""))
    place = f"feature {number} ('{written}')" if written else f"feature {number}"
    name = settings.classes.get(written, written)
    if name == "ignore":
        return
    if name not in CLASSES:
        near = difflib.get_close_matches(name, CLASSES, n=1, cutoff=0.75)
        problems.append(
            ContourError(
                path,
                place,
                found=f"unknown class '{written}'" if written else "no classification",
                expected=f"one of {', '.join(CLASSES)}",
                hint=(f"did you mean '{near[0]}'? " if near else "")
                + "rename it in contours.classes of the manifest, or map it to ignore",
            )
        )
        return
    geometry = feature.get("geometry") or {}
    if geometry.get("type") not in ("Polygon", "MultiPolygon"):
        found = f"a {geometry.get('type', 'feature without geometry')}"
        problems.append(ContourError(path, place, found=found, expected="a closed ring (Polygon or MultiPolygon)"))
        return
    try:
        with np.errstate(invalid="ignore"):
            parts = list(_multi(shape(geometry)).geoms)
        is_finite = all(_is_finite(part) for part in parts)
    except (ValueError, TypeError, KeyError, IndexError, shapely.errors.ShapelyError) as cause:
        problems.append(
            ContourError(path, place, found=f"a ring that cannot be read ({cause})", expected="4 or more points")
        )
        return
    if not is_finite:
        problems.append(ContourError(path, place, found="coordinates that are not finite", expected="pixels"))
        return
    for part in parts:
        if part.is_valid:
            polygons[name].append(part)
        elif settings.repair:
            polygons[name].extend(_multi(make_valid(part)).geoms)
        else:
            problems.append(_invalid(path, place, part))


def _invalid(path: Path, place: str, polygon: Polygon) -> ContourError:
    reason = explain_validity(polygon)
    match = re.fullmatch(r"(.*)\[(\S+) (\S+)\]", reason)
    words = {"Self-intersection": "ring crosses itself", "Ring Self-intersection": "ring touches itself"}
    text = (
        reason
        if match is None
        else f"{words.get(match[1], match[1])} at ({float(match[2]):.1f}, {float(match[3]):.1f}) px"
    )
    hint = "fix it in QuPath (Objects > Annotations > Fix geometry), or set contours.repair: true"
    return ContourError(path, place, found=text, expected="simple closed rings", hint=hint)


def _outside_image(path: Path, image: Path, polygons: dict[str, list[Polygon]]) -> list[CytomeshError]:
    """Find rings beyond the image's border; without a readable image there is nothing to compare with."""
    problems: list[CytomeshError] = []
    header = attempt([], lambda: read_header(image))
    if header is None:
        return problems
    height, width = header.shape
    for name, parts in polygons.items():
        for part in parts:
            left, top, right, bottom = part.bounds
            if min(left, top) < -BORDER_PX or right > width + BORDER_PX or bottom > height + BORDER_PX:
                found = f"ring over columns {left:.1f} to {right:.1f}, rows {top:.1f} to {bottom:.1f} px"
                expected = f"rings within the image ({width} x {height} px, {image.name})"
                hint = "contours belong to another image or another pyramid level: export them at full resolution"
                problems.append(ContourError(path, f"'{name}'", found=found, expected=expected, hint=hint))
    return problems


def _nested(path: Path, polygons: dict[str, list[Polygon]]) -> list[CytomeshError]:
    """Find rings within another ring of their class: merged, the hole that is probably meant would vanish."""
    problems: list[CytomeshError] = []
    for name in (name for name in CLASSES if name != "exclude"):
        if len(polygons[name]) < 2:
            continue
        inner, outer = shapely.STRtree(polygons[name]).query(polygons[name], predicate="within")
        for i in np.unique(inner[inner != outer]):
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
    outside = _multi(white.difference(pial))
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


def _multi(geometry: BaseGeometry) -> MultiPolygon:
    """Return the polygons of any geometry; points and lines (left over by overlays) are dropped."""
    parts = getattr(geometry, "geoms", [geometry])
    polygons: list[Polygon] = []
    for part in parts:
        if isinstance(part, Polygon):
            if not part.is_empty:
                polygons.append(part)
        elif hasattr(part, "geoms"):
            polygons.extend(_multi(part).geoms)
    return MultiPolygon(polygons)


def _shift(polygons: MultiPolygon, by: float) -> MultiPolygon:
    return polygons if polygons.is_empty else translate(polygons, by, by)


def _is_finite(geometry: BaseGeometry) -> bool:
    return bool(shapely.get_coordinates(geometry).size and (abs(shapely.get_coordinates(geometry)) < 1e9).all())
