"""Path data and transforms of SVG, flattened to points: https://www.w3.org/TR/SVG11/paths.html."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from cytomesh.study.contour_formats.features import Ring

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
SEGMENT = re.compile(r"([MmLlHhVvCcSsQqTtAaZz])([^MmLlHhVvCcSsQqTtAaZz]*)")
TRANSFORM = re.compile(r"(matrix|translate|scale|rotate|skewX|skewY)\s*\(([^()]*)\)")
N_NUMBERS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "Z": 0}
# Largest distance in image pixels between a curve and the line that replaces it.
TOLERANCE_PX = 0.05
MAX_PIECES = 1000


def numbers(text: str) -> list[float]:
    """Return the numbers of a list separated by blanks, commas or nothing ("1.5.5-2").

    Raises
    ------
    ValueError
        If there is anything else.
    """
    rest = re.search(r"[^\s,]", NUMBER.sub(" ", text))
    if rest:
        raise ValueError(f"'{rest[0]}' among numbers")
    return [float(match) for match in NUMBER.findall(text)]


def parse_transform(text: str) -> NDArray[np.float64]:
    """Return the (3, 3) matrix of a `transform` attribute; the first of several is applied last.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    matrix = np.eye(3)
    if re.search(r"[^\s,]", TRANSFORM.sub(" ", text)):
        raise ValueError(f"transform '{text[:60]}'")
    for kind, arguments in TRANSFORM.findall(text):
        matrix = matrix @ _matrix(kind, numbers(arguments))
    return matrix


def _matrix(kind: str, v: list[float]) -> NDArray[np.float64]:
    if kind == "matrix" and len(v) == 6:
        return np.array([[v[0], v[2], v[4]], [v[1], v[3], v[5]], [0, 0, 1.0]])
    if kind == "translate" and len(v) in (1, 2):
        return np.array([[1.0, 0, v[0]], [0, 1, v[1] if len(v) == 2 else 0], [0, 0, 1]])
    if kind == "scale" and len(v) in (1, 2):
        return np.diag([v[0], v[-1], 1.0])
    if kind == "rotate" and len(v) in (1, 3):
        c, s = np.cos(np.radians(v[0])), np.sin(np.radians(v[0]))
        x, y = v[1:] if len(v) == 3 else (0.0, 0.0)
        return np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y], [0, 0, 1]])
    if kind in ("skewX", "skewY") and len(v) == 1:
        matrix = np.eye(3)
        matrix[(0, 1) if kind == "skewX" else (1, 0)] = np.tan(np.radians(v[0]))
        return matrix
    raise ValueError(f"{kind} with {len(v)} numbers")


def flatten_path(data: str, matrix: NDArray[np.float64]) -> list[Ring]:
    """Return the subpaths of path data as (n, 2) points after the transform; closed ones end where they begin.

    M, L, H, V, C, S, Q, T and Z, absolute and relative; curves are divided until they are within `TOLERANCE_PX`.

    Raises
    ------
    ValueError
        If the data is malformed or has an arc.
    """
    if not re.match(r"\s*([Mm]|$)", data) or re.search(r"[^\s]", SEGMENT.sub(" ", data)):
        raise ValueError(f"path data '{data[:40]}...'")
    pen = _Pen(matrix)
    for command, text in SEGMENT.findall(data):
        if command in "Aa":
            raise ValueError("an arc; turn it into curves (in Inkscape: Path > Object to Path)")
        values = numbers(text)
        size = N_NUMBERS[command.upper()]
        if size == 0:
            if values:
                raise ValueError("numbers after Z")
            pen.close()
            continue
        if not values or len(values) % size:
            raise ValueError(f"{len(values)} numbers after {command}, expected a multiple of {size}")
        for start in range(0, len(values), size):
            # further pairs after M are lines
            pen.draw("L" if command in "Mm" and start else command.upper(), values[start : start + size], command)
    return pen.rings()


class _Pen:
    """The current point of a path, and the subpaths drawn so far (in image pixels)."""

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        self.linear, self.shift = matrix[:2, :2].tolist(), matrix[:2, 2].tolist()
        self.at = (0.0, 0.0)
        self.start = (0.0, 0.0)
        self.control: tuple[str, tuple[float, float]] = ("", (0.0, 0.0))
        self.subpaths: list[list[tuple[float, float]]] = []
        self.is_closed = True

    def draw(self, kind: str, values: list[float], command: str) -> None:
        x, y = self.at if command.islower() else (0.0, 0.0)
        if kind == "H":
            points = [(values[0] + x, self.at[1])]
        elif kind == "V":
            points = [(self.at[0], values[0] + y)]
        else:
            points = [(values[i] + x, values[i + 1] + y) for i in range(0, len(values), 2)]
        if kind == "M":
            self.subpaths.append([self.map(points[0])])
            self.at = self.start = points[0]
            self.is_closed = False
            self.control = ("", self.at)
            return
        if self.is_closed:
            self.subpaths.append([self.map(self.start)])
            self.is_closed = False
        if kind in "ST":
            family = "CS" if kind == "S" else "QT"
            last = self.control[1] if self.control[0] and self.control[0] in family else self.at
            points.insert(0, (2 * self.at[0] - last[0], 2 * self.at[1] - last[1]))
        if kind in "CSQT":
            self.subpaths[-1] += _curve([self.map(point) for point in (self.at, *points)])
            self.control = (kind, points[-2])
        else:
            self.subpaths[-1].append(self.map(points[-1]))
            self.control = ("", points[-1])
        self.at = points[-1]

    def close(self) -> None:
        if not self.is_closed:
            self.subpaths[-1].append(self.subpaths[-1][0])
        self.at, self.is_closed, self.control = self.start, True, ("", self.start)

    def map(self, point: tuple[float, float]) -> tuple[float, float]:
        (a, b), (c, d) = self.linear
        x, y = point
        return a * x + b * y + self.shift[0], c * x + d * y + self.shift[1]

    def rings(self) -> list[Ring]:
        rings = [np.array(subpath) for subpath in self.subpaths]
        # a repeated point (Z after a line back to the start) is no corner
        return [ring[np.append(True, (np.diff(ring, axis=0) != 0).any(axis=1))] for ring in rings]


def _curve(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a Bezier curve's points without the first; pieces by Wang's bound: sqrt(d (d - 1) max|p''| / (8 tol))."""
    control = np.array(points)
    degree = len(control) - 1
    bend = float(np.linalg.norm(np.diff(control, n=2, axis=0), axis=1).max())
    wanted = np.sqrt(degree * (degree - 1) * bend / (8 * TOLERANCE_PX)) if np.isfinite(bend) else 1.0
    n = int(np.clip(np.ceil(wanted), 1, MAX_PIECES))
    t = (np.arange(1, n + 1) / n)[:, None]
    if degree == 2:
        curve = (1 - t) ** 2 * control[0] + 2 * t * (1 - t) * control[1] + t**2 * control[2]
    else:
        curve = (
            (1 - t) ** 3 * control[0]
            + 3 * t * (1 - t) ** 2 * control[1]
            + 3 * t**2 * (1 - t) * control[2]
            + t**3 * control[3]
        )
    return [(float(x), float(y)) for x, y in curve]
