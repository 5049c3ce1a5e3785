"""SVG drawings: paths and polygons, read by a parser that takes no entities and fetches nothing."""

from __future__ import annotations

import re
from pathlib import Path
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.features import (
    MAX_DEPTH,
    MAX_FEATURES,
    MAX_POINTS,
    ContourFeature,
    Ring,
    even_odd,
    read_bytes,
    too_deep,
    too_many_features,
    too_many_points,
    without_number,
)
from cytomesh.study.contour_formats.svg_path import flatten_path, numbers, parse_transform

DRAWN = ("path", "polygon", "polyline")
# Shapes without a ring that could be read exactly: reported only where they carry a class.
OTHER_SHAPES = ("rect", "circle", "ellipse", "line", "use", "text", "image")
# What is within these is not drawn where it stands.
NOT_DRAWN = ("defs", "clipPath", "mask", "symbol", "pattern", "marker")
CHUNK = 1 << 20


def read_svg(path: Path, px_per_unit: float, known: frozenset[str]) -> list[ContourFeature]:
    """Read paths, polygons and polylines; holes by the even-odd rule.

    The class is the first known name among inkscape:label, class and id ("pial_L-2" counts as pial_L) of the element,
    then of the groups around it. `transform` is honoured; hidden elements (display: none) are left out. User units
    times `px_per_unit` are pixels counted from the corner; width, height and viewBox are not looked at.

    Parameters
    ----------
    px_per_unit : float
        Image pixels per SVG user unit.
    known : frozenset of str
        Class names that the study knows.

    Raises
    ------
    ContourError
        If the file is missing, not XML, declares entities, or exceeds a limit.
    """
    data = read_bytes(path)
    count = _count_numbers(data)
    # a file has other numbers, too, and horizontal lines need but one: the points themselves are counted below
    if count > 3 * MAX_POINTS:
        raise too_many_points(path, count // 2)
    reader = _Reader(path, px_per_unit, known)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.entity
    try:
        for start in range(0, len(data), CHUNK):
            parser.Parse(data[start : start + CHUNK], False)
        parser.Parse(b"", True)
    except expat.ExpatError as cause:
        raise ContourError(path, found=f"a file that cannot be read ({cause})", expected="SVG") from cause
    if not reader.is_svg:
        raise ContourError(path, found="XML without an svg element", expected="SVG")
    return reader.features


def _count_numbers(data: bytes) -> int:
    """Count numbers by their first digits, or their points where there are more (".5.5.5")."""
    count, before = 0, False
    for start in range(0, len(data), CHUNK):
        block = np.frombuffer(data[start : start + CHUNK], np.uint8)
        is_part = ((block >= ord("0")) & (block <= ord("9"))) | (block == ord("."))
        count += int((is_part & ~np.append(before, is_part[:-1])).sum())
        before = bool(is_part[-1])
    return max(count, data.count(b"."))


class _Reader:
    """Handlers of the parser: the groups around the current element, and the features found."""

    def __init__(self, path: Path, px_per_unit: float, known: frozenset[str]) -> None:
        self.path = path
        self.known = known
        self.features: list[ContourFeature] = []
        self.n_points = 0
        self.is_svg = False
        self.elements: list[str] = []
        self.hidden = 0
        self.matrices: list[NDArray[np.float64]] = [np.diag([px_per_unit, px_per_unit, 1.0])]
        self.names: list[tuple[str, ...]] = []

    def doctype(self, _name: str, _system: str | None, _public: str | None, has_internal_subset: int) -> None:
        # The bare DOCTYPE that drawing programs write declares nothing, and is never fetched.
        if has_internal_subset:
            self.entity("DOCTYPE with declarations")

    def entity(self, name: str, *_: object) -> None:
        found = "a document type with declarations" if name.startswith("DOCTYPE") else f"entity '{name}'"
        raise ContourError(
            self.path, found=found, expected="SVG without entities", hint="save as plain SVG (in Inkscape: Plain SVG)"
        )

    def start(self, full_name: str, attributes: dict[str, str]) -> None:
        name = full_name.rpartition(" ")[2]
        if len(self.elements) >= MAX_DEPTH:
            raise too_deep(self.path)
        self.is_svg = self.is_svg or (not self.elements and name == "svg")
        style = attributes.get("style", "")
        is_hidden = attributes.get("display") == "none" or re.search(r"display\s*:\s*none", style) is not None
        self.elements.append(name)
        if self.hidden or is_hidden or name in NOT_DRAWN:
            self.hidden += 1
            return
        self.names.append(_names(attributes))
        try:
            matrix = self.matrices[-1] @ parse_transform(attributes.get("transform", ""))
        except ValueError as cause:
            raise ContourError(self.path, self._place(name), found=f"{cause}", expected="an SVG transform") from cause
        self.matrices.append(matrix)
        if name in DRAWN or (name in OTHER_SHAPES and self._known_names()):
            self._add(name, attributes, matrix)

    def end(self, _name: str) -> None:
        self.elements.pop()
        if self.hidden:
            self.hidden -= 1
        else:
            self.names.pop()
            self.matrices.pop()

    def _add(self, kind: str, attributes: dict[str, str], matrix: NDArray[np.float64]) -> None:
        if len(self.features) >= MAX_FEATURES:
            raise too_many_features(self.path, len(self.features) + 1)
        place, names = self._place(kind), self._known_names() or self.names[-1]
        if kind in OTHER_SHAPES:
            self.features.append(ContourFeature(place, names, fault=f"a {kind} element"))
            return
        text = attributes.get("d" if kind == "path" else "points", "")
        try:
            rings = flatten_path(text, matrix) if kind == "path" else [_points(text, kind, matrix)]
        except ValueError as cause:
            self.features.append(ContourFeature(place, names, fault=str(cause)))
            return
        self.n_points += sum(map(len, rings))
        if self.n_points > MAX_POINTS:
            raise too_many_points(self.path, self.n_points)
        self.features.append(ContourFeature(place, names, even_odd(rings)))

    def _known_names(self) -> tuple[str, ...]:
        return tuple(name for names in reversed(self.names) for name in names if name in self.known)

    def _place(self, kind: str) -> str:
        name = self.names[-1][0] if self.names and self.names[-1] else f"number {len(self.features)}"
        return f"{kind} '{name}'"


def _names(attributes: dict[str, str]) -> tuple[str, ...]:
    label = next((value for key, value in attributes.items() if key.endswith("inkscape label")), "")
    written = [label, *attributes.get("class", "").split(), attributes.get("id", "")]
    return tuple(name for text in written if text for name in without_number(text))


def _points(text: str, kind: str, matrix: NDArray[np.float64]) -> Ring:
    values = numbers(text)
    if len(values) % 2:
        raise ValueError(f"{len(values)} numbers in points, expected pairs")
    points = np.array(values).reshape(-1, 2)
    if kind == "polygon" and len(points):
        points = np.concatenate([points, points[:1]])
    return points @ matrix[:2, :2].T + matrix[:2, 2]
