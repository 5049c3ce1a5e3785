"""SVG drawings: paths and polygons, read by a parser that takes no entities and fetches nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
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
    read_bytes,
    too_deep,
    too_many_features,
    too_many_points,
    without_number,
)
from cytomesh.study.contour_formats.nesting import even_odd
from cytomesh.study.contour_formats.reader import ContourReader, Drawing
from cytomesh.study.contour_formats.svg_path import flatten_path, numbers, parse_transform
from cytomesh.study.contour_formats.svg_style import Rule, parse_rules, style_of
from cytomesh.study.contour_formats.svg_view import is_image, length, nested_view, page

DRAWN = ("path", "polygon", "polyline")
# Shapes without a ring that could be read exactly: reported only where they carry a class.
OTHER_SHAPES = ("rect", "circle", "ellipse", "line", "use", "text", "image")
# What is within these is not drawn where it stands.
NOT_DRAWN = ("defs", "clipPath", "mask", "symbol", "pattern", "marker")
# What programs call elements that nobody has named.
GENERATED = re.compile(r"(path|polygon|polyline|svg|g|layer|cls-|st)\d+(-\d+)*")
CHUNK = 1 << 20
# How a file in UTF-16 begins, with or without a mark of the order of bytes.
UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
# Each element is held against each style rule that matters.
MAX_STYLED = 5_000_000


class SvgReader(ContourReader):
    """SVG, plain or gzipped."""

    suffixes = (".svg", ".svgz")

    def read(self, drawing: Drawing) -> list[ContourFeature]:
        """Return the shapes."""
        px_per_unit = drawing.section.contour_settings.svg_px_per_unit
        return read_svg(drawing.path, px_per_unit, drawing.known, drawing.image_shape)


def read_svg(
    path: Path, px_per_unit: float, known: frozenset[str], image_shape: tuple[int, int] | None = None
) -> list[ContourFeature]:
    """Read paths, polygons and polylines; holes by the even-odd rule.

    The class is the first known name among inkscape:label, data-name, class and id ("pial_L-2" counts as pial_L, and so
    does Illustrator's "pial_x5F_L") of the element, then of the groups around it; without a known one, the first that
    no program has made up ("path1001"). Transforms and the views of svg elements within others are honoured; what is
    hidden (display, visibility), by attribute, style or style sheet, is left out. User units times `px_per_unit` are
    pixels counted from the corner: the page, or an image placed on it, has to be the section's image then.

    Parameters
    ----------
    px_per_unit : float
        Image pixels per SVG user unit.
    known : frozenset of str
        Class names that the study knows.
    image_shape : (int, int) or None
        Rows and columns of the section's image.

    Raises
    ------
    ContourError
        If the file is missing, not XML, declares entities, exceeds a limit, has a style or view that cannot be applied,
        or is not of the image's size.
    """
    data = _as_utf8(path, read_bytes(path))
    count = _count_numbers(data)
    # a file has other numbers, too, and horizontal lines need but one: the points themselves are counted below
    if count > 3 * MAX_POINTS:
        raise too_many_points(path, count // 2)
    rules = _style_rules(path, data) if re.search(rb"<(\w+:)?style\b", data) else ()
    n_elements = data.count(b"<")
    if n_elements * (1 + len(rules)) > MAX_STYLED:
        found = f"about {n_elements:,} elements, and {len(rules):,} style rules that hide or move some"
        hint = "delete what is not needed, or save as Plain SVG"
        raise ContourError(path, found=found, expected=f"{MAX_STYLED:,} of both, multiplied (MAX_STYLED)", hint=hint)
    reader = _Reader(path, px_per_unit, known, rules)
    _parse(path, data, reader.start, reader.end)
    if not reader.is_svg:
        raise ContourError(path, found="XML without an svg element", expected="SVG")
    if image_shape is not None:
        _check_page(path, reader, px_per_unit, image_shape)
    return reader.features


def _as_utf8(path: Path, data: bytes) -> bytes:
    """Return UTF-16 as UTF-8, without the declaration that says otherwise; other encodings keep ASCII as it is."""
    if not data.startswith(UTF_16):
        return data
    order = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}.get(data[:2], "utf-16")
    try:
        text = data.decode(order)
    except UnicodeDecodeError as cause:
        raise ContourError(path, found=f"a file that cannot be read ({cause})", expected="SVG") from cause
    return re.sub(r"\A<\?xml\b[^>]*\?>", "", text).encode()


def _parse(
    path: Path,
    data: bytes,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None],
    text: Callable[[str], None] | None = None,
) -> None:
    """Run the handlers over the file; entities are refused, and nothing is fetched."""

    def refuse(found: str) -> None:
        hint = "save as plain SVG (in Inkscape: Plain SVG)"
        raise ContourError(path, found=found, expected="SVG without entities", hint=hint)

    def doctype(_name: str, _system: str | None, _public: str | None, has_internal_subset: int) -> None:
        # The bare DOCTYPE that drawing programs write declares nothing, and is never fetched.
        if has_internal_subset:
            refuse("a document type with declarations")

    def entity(name: str, *_: object) -> None:
        refuse(f"entity '{name}'")

    def instruction(target: str, text: str) -> None:
        if target == "xml-stylesheet":
            hint = "put the style sheet into the file, or save as Plain SVG"
            found = f"a style sheet in another file ({text[:60]})"
            raise ContourError(path, found=found, expected="one file", hint=hint)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = entity
    parser.ProcessingInstructionHandler = instruction
    try:
        for begin in range(0, len(data), CHUNK):
            parser.Parse(data[begin : begin + CHUNK], False)
        parser.Parse(b"", True)
    except expat.ExpatError as cause:
        raise ContourError(path, found=f"a file that cannot be read ({cause})", expected="SVG") from cause


def _style_rules(path: Path, data: bytes) -> tuple[Rule, ...]:
    """Return the rules of all style elements; they hold for what comes before them, too, and are read first."""
    within: list[str] = []
    sheets: list[str] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        within.append(name.rpartition(" ")[2])
        if len(within) > MAX_DEPTH:
            raise too_deep(path)

    def end(_name: str) -> None:
        within.pop()

    def text(part: str) -> None:
        if within[-1] == "style":
            sheets.append(part)

    _parse(path, data, start, end, text)
    try:
        return parse_rules("".join(sheets))
    except ValueError as cause:
        hint = "save with presentation attributes or inline styles, or delete what is hidden"
        raise ContourError(path, "style", found=str(cause), expected="rules by class or id", hint=hint) from cause


def _check_page(path: Path, reader: _Reader, px_per_unit: float, image_shape: tuple[int, int]) -> None:
    """Raise if neither the page nor an image placed on it is the section's image."""
    box = reader.page
    if box is None or is_image(box * px_per_unit, image_shape):
        return
    if any(is_image(placed, image_shape) for placed in reader.images):
        return
    height, width = image_shape
    fit = np.array([width, height]) / box[2:]
    hint = "make the page as large as the image, which begins at its corner (in Inkscape: Edit > Resize Page)"
    if abs(fit[0] / fit[1] - 1) < 0.01 and not box[:2].any():
        hint = f"set contours.svg_px_per_unit: {fit.mean():.6g} in the manifest"
    left, top, columns, rows = box * px_per_unit
    raise ContourError(
        path,
        "viewBox",
        found=f"a page of {columns:.6g} x {rows:.6g} px at ({left:.6g}, {top:.6g}), by {px_per_unit:g} px per unit",
        expected=f"the section's image, {width} x {height} px at (0, 0)",
        hint=hint,
    )


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

    def __init__(self, path: Path, px_per_unit: float, known: frozenset[str], rules: tuple[Rule, ...]) -> None:
        self.path = path
        self.known = known
        self.rules = rules
        self.features: list[ContourFeature] = []
        self.page: NDArray[np.float64] | None = None
        self.images: list[NDArray[np.float64]] = []
        self.n_points = 0
        self.is_svg = False
        self.elements: list[str] = []
        self.hidden = 0
        self.matrices: list[NDArray[np.float64]] = [np.diag([px_per_unit, px_per_unit, 1.0])]
        self.names: list[tuple[str, ...]] = []
        self.visibilities: list[str] = ["visible"]

    def start(self, full_name: str, attributes: dict[str, str]) -> None:
        name = full_name.rpartition(" ")[2]
        if len(self.elements) >= MAX_DEPTH:
            raise too_deep(self.path)
        is_root = not self.elements
        self.is_svg = self.is_svg or (is_root and name == "svg")
        style = style_of(name, attributes, self.rules)
        self.elements.append(name)
        if self.hidden or style.get("display", "").lower() == "none" or name in NOT_DRAWN:
            self.hidden += 1
            return
        self.names.append(_names(attributes))
        visibility = style.get("visibility", "inherit").lower()
        self.visibilities.append(self.visibilities[-1] if visibility == "inherit" else visibility)
        try:
            if is_root:
                self.page = page(attributes)
            matrix = self.matrices[-1] @ _transform(style)
            if name == "svg" and not is_root:
                matrix = matrix @ nested_view(attributes)
        except ValueError as cause:
            hint = "in Inkscape: Edit > Select All, Object > Ungroup, then save as Plain SVG"
            place, expected = self._place(name), "an SVG transform or view"
            raise ContourError(self.path, place, found=f"{cause}", expected=expected, hint=hint) from cause
        self.matrices.append(matrix)
        if self.visibilities[-1] != "visible":
            return
        if name == "image":
            self._add_image(attributes, matrix)
        if name in DRAWN or (name in OTHER_SHAPES and self._known_names()):
            self._add(name, attributes, matrix)

    def end(self, _name: str) -> None:
        self.elements.pop()
        if self.hidden:
            self.hidden -= 1
        else:
            self.names.pop()
            self.matrices.pop()
            self.visibilities.pop()

    def _add(self, kind: str, attributes: dict[str, str], matrix: NDArray[np.float64]) -> None:
        if len(self.features) >= MAX_FEATURES:
            raise too_many_features(self.path, len(self.features) + 1)
        place, names = self._place(kind), self._known_names() or self._given_names()
        if kind in OTHER_SHAPES:
            self.features.append(ContourFeature(place, names, fault=f"a {kind} element"))
            return
        text = attributes.get("d" if kind == "path" else "points", "")
        try:
            rings = (
                flatten_path(text, matrix, MAX_POINTS - self.n_points)
                if kind == "path"
                else [_points(text, kind, matrix)]
            )
        except ValueError as cause:
            self.features.append(ContourFeature(place, names, fault=str(cause)))
            return
        self.n_points += sum(map(len, rings))
        if self.n_points > MAX_POINTS:
            raise too_many_points(self.path, self.n_points)
        self.features.append(ContourFeature(place, names, even_odd(rings, self.path)))

    def _add_image(self, attributes: dict[str, str], matrix: NDArray[np.float64]) -> None:
        """Keep the box in pixels of an image that is placed without rotation."""
        try:
            x, y, width, height = (length(attributes.get(key, "0")) for key in ("x", "y", "width", "height"))
        except ValueError:
            return
        if not matrix[0, 1] and not matrix[1, 0]:
            corner, size = np.array([x, y]), np.array([width, height])
            scale = np.diag(matrix)[:2]
            self.images.append(np.concatenate([scale * corner + matrix[:2, 2], scale * size]))

    def _all_names(self) -> tuple[str, ...]:
        # programs number the outermost element; it may be the only layer, but is not worth a message
        return tuple(name for names in reversed(self.names[1:]) for name in names)

    def _given_names(self) -> tuple[str, ...]:
        return tuple(name for name in self._all_names() if not GENERATED.fullmatch(name))

    def _known_names(self) -> tuple[str, ...]:
        return tuple(name for names in reversed(self.names) for name in names if name in self.known)

    def _place(self, kind: str) -> str:
        name = next(iter(self._all_names()), f"number {len(self.features)}")
        return f"{kind} '{name}'"


def _names(attributes: dict[str, str]) -> tuple[str, ...]:
    label = next((value for key, value in attributes.items() if key.endswith("inkscape label")), "")
    # a clone has no class of its own: that of what it shows
    shown = next((value for key, value in attributes.items() if key.rpartition(" ")[2] == "href"), "")
    written = [label, attributes.get("data-name", ""), *attributes.get("class", "").split(), attributes.get("id", "")]
    written.append(shown[1:] if shown.startswith("#") else "")
    return tuple(name for text in written if text for name in without_number(_decoded(text)))


def _decoded(name: str) -> str:
    """Undo how Illustrator writes what an id may not have, "_" among them: _x5F_."""
    return re.sub(r"_x([0-9A-Fa-f]{2,4})_", lambda match: chr(int(match[1], 16)), name)


def _transform(style: dict[str, str]) -> NDArray[np.float64]:
    """Return the (3, 3) matrix of a transform, an attribute or (with units) a property of the style."""
    text = style.get("transform", "")
    if text in ("", "none"):
        return np.eye(3)
    origin = style.get("transform-origin", "")
    if re.search(r"[^0px\s,.]", origin):
        raise ValueError(f"transform-origin '{origin[:30]}'")
    return parse_transform(re.sub(r"(?<=[\d.])(px|deg)\b", "", text))


def _points(text: str, kind: str, matrix: NDArray[np.float64]) -> Ring:
    values = numbers(text)
    if len(values) % 2:
        raise ValueError(f"{len(values)} numbers in points, expected pairs")
    points = np.array(values).reshape(-1, 2)
    if kind == "polygon" and len(points):
        points = np.concatenate([points, points[:1]])
    return points @ matrix[:2, :2].T + matrix[:2, 2]
