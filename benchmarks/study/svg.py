"""Rings of SVG drawings beside svgelements: `python -m benchmarks.study.svg`.

Small drawings of what programs write and of what cannot be drawn, each with the area that a browser shows; then a
large one. "wrong" is silent: an area that is not the right one, without a word. svgelements is read with the care that
a user would take: errors raised, hidden shapes left out by the visibility that it hands on, classes by id or group.
Claim: cytomesh gives no wrong ring, refuses by name what it does not know, and reads large drawings faster.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from benchmarks.common import Options, Result, interleave, main
from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.svg import read_svg

CLASS = "pial_L"
COLUMNS = ("drawing", "cytomesh", "svgelements")
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
PAGE = 'viewBox="0 0 80 60"'
SMALL = "M1 1h5v5h-5z"
RING = f'<path id="{CLASS}" d="M10 10H70V50H10Z"/>'
SECOND = f'<path id="{CLASS}-2" class="a" d="{SMALL}"/>'
INNER = f'<path id="{CLASS}" d="{SMALL}"/>'
BOX = shapely.box(10, 10, 70, 50)
BOTH = shapely.union(BOX, shapely.box(1, 1, 6, 6))
LEANING = shapely.Polygon([(10.5, 0.5), (20.5, 0.5), (20.5, -9.5)])
REFUSED = shapely.Polygon()
"""Drawings that no reader can give rings of."""
TOLERANCE = 0.003
"""Of the area: curves are made of lines."""


@dataclass(frozen=True)
class Drawing:
    """A drawing and the area of its rings.

    Parameters
    ----------
    title : str
        What is drawn.
    body : str
        Within the svg element.
    truth : geometry
        Pixels counted from the corner; `REFUSED` where there is nothing right.
    root : str
        Attributes of the svg element.
    before : str
        What comes before the svg element.
    encoding : str
        Of the file.
    """

    title: str
    body: str
    truth: Any
    root: str = PAGE
    before: str = ""
    encoding: str = "utf-8"

    def data(self) -> bytes:
        """Return the file."""
        return f"{self.before}{HEAD} {self.root}>{self.body}</svg>".encode(self.encoding)


def curve() -> Any:
    """Return the area beside a quadratic curve from (0, 0) and its mirrored continuation to (40, 40)."""
    t = np.linspace(0, 1, 1000)[:, None]
    pieces = np.array([[(0, 0), (0, 20), (20, 20)], [(20, 20), (40, 20), (40, 40)]], float)
    points = [(1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end for start, middle, end in pieces]
    return shapely.Polygon(np.concatenate([*points, [(0, 40)]]))


def hidden(title: str, body: str) -> Drawing:
    """Return a drawing whose second ring is hidden."""
    return Drawing(title, RING + body, BOX)


def around(title: str, element: str, *bounds: float) -> Drawing:
    """Return a drawing of a small square within an element that moves it to these bounds; none: not to be read."""
    body = f"<{element}>{INNER}</{element.split()[0]}>"
    return Drawing(title, body, shapely.box(*bounds) if bounds else REFUSED)


BOMB = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
DRAWINGS = (
    Drawing("hole", RING.replace('Z"', 'Z M20 20h5v5h-5z"'), BOX.difference(shapely.box(20, 20, 25, 25))),
    Drawing("polygon", f'<polygon id="{CLASS}" points="10,10 70,10 70,50 10,50"/>', BOX),
    Drawing(
        "on after Z",
        f'<path id="{CLASS}" d="m5 5h2v2h-2zm9 0h1v1h-1z"/>',
        shapely.union(shapely.box(5, 5, 7, 7), shapely.box(14, 5, 15, 6)),
    ),
    Drawing("numbers without blanks", f'<path id="{CLASS}" d="M10.5.5L20.5.5 20.5-9.5z"/>', LEANING),
    Drawing("curves", f'<path id="{CLASS}" d="M0 0q0 20 20 20t20 20H0z"/>', curve()),
    Drawing("Illustrator's names", RING.replace("_", "_x5F_"), BOX),
    Drawing("UTF-16, style sheet", f"<style>.a{{display:none}}</style>{RING}{SECOND}", BOX, encoding="utf-16"),
    Drawing("bare document type", RING, BOX, before='<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "a.dtd">'),
    around("transforms of groups", 'g transform="translate(10 0) scale(2)"', 12, 2, 22, 12),
    around("transform in a style", 'g style="transform:translate(10px, 4px) scale(2)"', 12, 6, 22, 16),
    around("transform: none in a style", 'g transform="scale(9)" style="transform: none"', 1, 1, 6, 6),
    around("matrix", 'g transform="matrix(0 1 -1 0 20 3)"', 14, 4, 19, 9),
    around("transform-origin", 'g transform="scale(2)" transform-origin="5 5"', -3, -3, 7, 7),
    hidden("display of a group", f'<g style="fill:red; display : none">{SECOND}</g>'),
    hidden("visibility of a group", f'<g visibility="hidden">{SECOND}</g>'),
    Drawing(
        "visible in a hidden group", f'{RING}<g visibility="hidden"><g visibility="visible">{SECOND}</g></g>', BOTH
    ),
    hidden("style sheet, class", f"<style>.a{{display:none}}</style>{SECOND}"),
    hidden("style sheet, element and class", f"<style>path.a, #b{{visibility:hidden}}</style>{SECOND}"),
    hidden("style sheet after the shape", f"{SECOND}<style><![CDATA[ .a{{display:none}} ]]></style>"),
    hidden(
        "style sheet, id before element", f"<style>#{CLASS}-2{{display:none}} path{{display:inline}}</style>{SECOND}"
    ),
    hidden("style sheet, id over class", f"<style>#{CLASS}-2{{display:none}} .a{{display:inline}}</style>{SECOND}"),
    hidden("style sheet, !important", f"<style>.a{{display:none!important}}</style>{SECOND}"),
    hidden("style sheet, child of", f"<style>g > .a{{display:none}}</style><g>{SECOND}</g>"),
    Drawing(
        "style sheet, class over element",
        f"<style>path{{display:none}} .a{{display:inline}}</style>{SECOND}",
        shapely.box(1, 1, 6, 6),
    ),
    Drawing("style sheet for print", f"<style>@media print{{.a{{display:none}}}}</style>{RING}{SECOND}", BOTH),
    Drawing("style sheet elsewhere", f"<style>@import url(a.css);</style>{RING}", REFUSED),
    Drawing("style sheet elsewhere, by XML", RING, REFUSED, before='<?xml-stylesheet href="a.css"?>'),
    around("svg in svg", 'svg x="20" y="10"', 21, 11, 26, 16),
    around("svg in svg, inches", 'svg x="1in"', 97, 1, 102, 6),
    around("svg in svg, per cent", 'svg x="5%"', 5, 1, 10, 6),
    around("svg in svg, viewBox", 'svg width="40" height="20" viewBox="0 0 10 10"', 12, 2, 22, 12),
    around("svg in svg, viewBox alone", 'svg viewBox="0 0 40 30"', 2, 2, 12, 12),
    around(
        "svg in svg, aligned",
        'svg width="40" height="20" viewBox="1 1 10 10" preserveAspectRatio="xMinYMax"',
        0,
        0,
        10,
        10,
    ),
    around(
        "svg in svg, slice",
        'svg width="40" height="20" viewBox="0 0 10 10" preserveAspectRatio="xMaxYMin slice"',
        4,
        4,
        24,
        24,
    ),
    around(
        "svg in svg, stretched",
        'svg width="40" height="20" viewBox="0 0 10 10" preserveAspectRatio="none"',
        4,
        2,
        24,
        12,
    ),
    *(
        hidden(f"within {name}", f"<{name}>{SECOND}</{name}>")
        for name in ("defs", "clipPath", "mask", "symbol", "marker")
    ),
    Drawing(
        "page in mm",
        INNER,
        shapely.box(*np.array([1, 1, 6, 6]) * 96 / 25.4),
        'width="20mm" height="15mm" viewBox="0 0 20 15"',
    ),
    Drawing(
        "page from another corner", INNER, shapely.box(-9, 1, -4, 6), 'width="80" height="60" viewBox="10 0 80 60"'
    ),
    Drawing("rect", f'<rect id="{CLASS}" x="10" y="10" width="60" height="40"/>', BOX),
    Drawing("circle", f'<circle id="{CLASS}" cx="30" cy="30" r="20"/>', shapely.Point(30, 30).buffer(20, 64)),
    Drawing(
        "arc",
        f'<path id="{CLASS}" d="M10 30a20 20 0 0 1 40 0a20 20 0 0 1-40 0z"/>',
        shapely.Point(30, 30).buffer(20, 64),
    ),
    Drawing(
        "use",
        f'<defs><path id="s" d="{SMALL}"/></defs><use id="{CLASS}" xlink:href="#s" x="9"/>',
        shapely.box(10, 1, 15, 6),
    ),
    Drawing("use of itself", f'<g id="{CLASS}"><use xlink:href="#{CLASS}"/></g>', REFUSED),
    Drawing("path that cannot be read", f'<path id="{CLASS}" d="M0 0L9 0 9 x 0 9z"/>', REFUSED),
    Drawing("path, numbers missing", f'<path id="{CLASS}" d="M0 0L9 0 9 9 0z"/>', REFUSED),
    Drawing("points, a number missing", f'<polygon id="{CLASS}" points="0 0 9 0 9 9 0"/>', REFUSED),
    around("unknown transform", 'g transform="rotate3d(1,1,1,45deg)"'),
    around("transform, a number missing", 'g transform="matrix(1 0 0 1 5)"'),
    Drawing(
        "entities of entities", "<text>&l9;</text>" + RING, REFUSED, before=f'<!DOCTYPE svg [<!ENTITY l0 "ha">{BOMB}]>'
    ),
    Drawing(
        "entity from a file",
        "<text>&x;</text>" + RING,
        REFUSED,
        before='<!DOCTYPE svg [<!ENTITY x SYSTEM "/etc/hosts">]>',
    ),
)


def measure(options: Options) -> Result:
    """Read all drawings, then one of 2,000 paths (quick: 200) of 500 points."""
    readers = {"cytomesh": by_cytomesh}
    if importlib.util.find_spec("svgelements"):
        readers["svgelements"] = by_svgelements
    n_paths = 200 if options.quick else 2000
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "drawing.svg"
        verdicts = {reader: [verdict(read, path, drawing) for drawing in DRAWINGS] for reader, read in readers.items()}
        path.write_bytes(large(n_paths).data())
        timings = interleave(
            {reader: lambda read=read: read(path) for reader, read in readers.items()}, 3, time.process_time
        )
    facts = [
        *([drawing.title, *found] for drawing, *found in zip(DRAWINGS, *verdicts.values(), strict=True)),
        *(
            [f"all: {kind}", *(found.count(kind) for found in verdicts.values())]
            for kind in ("right", "refused", "wrong")
        ),
        [f"{n_paths:,} paths of 500 points", *map(str, timings.values())],
    ]
    claim = "svgelements is not installed"
    if len(readers) > 1:
        own, peer = (timing.median for timing in timings.values())
        n_wrong = verdicts["svgelements"].count("wrong")
        claim = f"svgelements takes {peer / own:.1f} times as long, and gives {n_wrong} wrong areas"
    rows = [[*row, *["not installed"] * (len(COLUMNS) - len(row))] for row in facts]
    return Result(f"{len(DRAWINGS)} SVG drawings, CPU seconds", COLUMNS, rows, claim)


def verdict(read: Callable[[Path], Any], path: Path, drawing: Drawing) -> str:
    """Return whether the area that is read is right, wrong, or refused; what cannot be read is right if refused."""
    path.write_bytes(drawing.data())
    try:
        shapes = read(path)
    except Exception:  # whatever a library raises is a refusal
        return "right" if drawing.truth is REFUSED else "refused"
    is_right = shapely.symmetric_difference(area(shapes), drawing.truth).area <= TOLERANCE * drawing.truth.area
    return "right" if is_right and drawing.truth is not REFUSED else "wrong"


def area(shapes: Sequence[Sequence[Any]]) -> Any:
    """Return the area of shapes, their rings by the even-odd rule."""
    return shapely.union_all([reduce(shapely.symmetric_difference, rings, shapely.Polygon()) for rings in shapes])


def by_cytomesh(path: Path) -> list[list[Any]]:
    """Return the polygons of each shape of the class."""
    features = [feature for feature in read_svg(path, 1.0, frozenset({CLASS}), (60, 80)) if CLASS in feature.names]
    for feature in features:
        if feature.fault:
            raise ContourError(path, feature.place, found=feature.fault)
    return [[shapely.Polygon(outer, holes) for outer, *holes in feature.polygons] for feature in features]


def by_svgelements(path: Path) -> list[list[Any]]:
    """Return the rings of each shape of the class as polygons; lines as they are, curves by 64 points each."""
    import svgelements as svg

    def shapes(group: Any, has_class: bool) -> Iterator[Any]:
        for element in group:
            is_named = has_class or (getattr(element, "id", None) or "").replace("_x5F_", "_").startswith(CLASS)
            if isinstance(element, svg.Group | svg.Use):
                yield from shapes(element, is_named)
            elif (
                isinstance(element, svg.Shape) and is_named and element.values.get("visibility", "visible") == "visible"
            ):
                yield element

    def points(segment: Any) -> list[Any]:
        if isinstance(segment, svg.Move | svg.Line | svg.Close):
            return [segment.end] if segment.end is not None else []
        return [segment.point(t) for t in np.linspace(0, 1, 65)[1:]]

    def rings(shape: Any) -> list[Any]:
        parts = ([(at.x, at.y) for segment in part for at in points(segment)] for part in svg.Path(shape).as_subpaths())
        return [shapely.Polygon(part) for part in parts if len(part) >= 3]

    return [rings(shape) for shape in shapes(svg.SVG.parse(str(path), on_error="raise"), has_class=False)]


def large(n_paths: int) -> Drawing:
    """Return a drawing of many circles, of 500 points each."""
    turn = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    circles = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    random = np.random.default_rng(0)
    texts = (
        "L".join(f"{x:.3f},{y:.3f}" for x, y in random.uniform(5, 50, 2) + circles * random.uniform(0.01, 2))
        for _ in range(n_paths)
    )
    return Drawing("large", "".join(f'<path id="{CLASS}-{i}" d="M{text}z"/>' for i, text in enumerate(texts)), BOX)


if __name__ == "__main__":
    main(measure, __doc__)
