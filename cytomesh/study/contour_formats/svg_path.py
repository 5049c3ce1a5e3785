"""Path data and transforms of SVG, flattened to points: https://www.w3.org/TR/SVG11/paths.html."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from cytomesh.study.contour_formats.features import MAX_POINTS, Ring

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
SEGMENT = re.compile(r"([MmLlHhVvCcSsQqTtAaZz])([^MmLlHhVvCcSsQqTtAaZz]*)")
TRANSFORM = re.compile(r"(matrix|translate|scale|rotate|skewX|skewY)\s*\(([^()]*)\)")
N_NUMBERS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "Z": 0}
# Largest distance in image pixels between a curve and the line that replaces it.
TOLERANCE_PX = 0.05
MAX_PIECES = 1000

Point = tuple[float, float]


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


def flatten_path(data: str, matrix: NDArray[np.float64], max_points: int = MAX_POINTS) -> list[Ring]:
    """Return the subpaths of path data as (n, 2) points after the transform; closed ones end where they begin.

    M, L, H, V, C, S, Q, T and Z, absolute and relative; curves are divided until they are within `TOLERANCE_PX`.

    Raises
    ------
    ValueError
        If the data is malformed, has an arc, or makes more than `max_points` points.
    """
    if not re.match(r"\s*([Mm]|$)", data) or re.search(r"[^\s]", SEGMENT.sub(" ", data)):
        raise ValueError(f"path data '{data[:40]}...'")
    pen = _Pen()
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
    return pen.rings(matrix, max_points)


class _Pen:
    """The current point of a path, and the subpaths drawn so far: each a list of segments, in user units.

    A segment is the four control points of a cubic: a curve of lower degree is one, too, and a line is one whose
    inner points lie at its ends.
    """

    def __init__(self) -> None:
        self.at: Point = (0.0, 0.0)
        self.start: Point = (0.0, 0.0)
        self.control: tuple[str, Point] = ("", (0.0, 0.0))
        self.starts: list[Point] = []
        self.segments: list[list[tuple[Point, Point, Point, Point]]] = []
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
            self._begin(points[0])
            return
        if self.is_closed:
            self._begin(self.start)
        if kind in "ST":
            family = "CS" if kind == "S" else "QT"
            last = self.control[1] if self.control[0] and self.control[0] in family else self.at
            points.insert(0, (2 * self.at[0] - last[0], 2 * self.at[1] - last[1]))
        self.segments[-1].append(_cubic(self.at, points))
        self.control = (kind, points[-2]) if kind in "CSQT" else ("", points[-1])
        self.at = points[-1]

    def close(self) -> None:
        if not self.is_closed:
            self.segments[-1].append(_cubic(self.at, [self.start]))
        self.at, self.is_closed, self.control = self.start, True, ("", self.start)

    def rings(self, matrix: NDArray[np.float64], max_points: int) -> list[Ring]:
        sizes = np.array([len(segments) for segments in self.segments], np.int64)
        control = np.array([segment for segments in self.segments for segment in segments], np.float64)
        points, counts = flatten_curves(_mapped(control.reshape(-1, 4, 2), matrix), max_points)
        ends = np.append(0, np.cumsum(counts))[np.append(0, np.cumsum(sizes))].tolist()
        starts = _mapped(np.array(self.starts, np.float64).reshape(-1, 2), matrix)
        rings = [
            np.concatenate([start[None], points[first:last]])
            for start, first, last in zip(starts, ends[:-1], ends[1:], strict=True)
        ]
        # a repeated point (Z after a line back to the start) is no corner
        return [ring[np.append(True, (np.diff(ring, axis=0) != 0).any(axis=1))] for ring in rings]

    def _begin(self, point: Point) -> None:
        self.starts.append(point)
        self.segments.append([])
        self.at = self.start = point
        self.is_closed, self.control = False, ("", point)


def flatten_curves(
    control: NDArray[np.float64], max_points: int = MAX_POINTS
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Divide cubic Bezier curves until the lines between points are within `TOLERANCE_PX` of them.

    Parameters
    ----------
    control : (k, 4, 2) float64
        Control points of each curve, image pixels.
    max_points : int
        More than that are refused before they are made.

    Returns
    -------
    points : (sum of counts, 2) float64
        Points of each curve without its first, the last one exact.
    counts : (k,) int64
        Points of each curve; by Wang's bound: sqrt(d (d - 1) max|second difference| / (8 tolerance)), d = 3.

    Raises
    ------
    ValueError
        If there would be more than `max_points`.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        bend = np.linalg.norm(np.diff(control, n=2, axis=1), axis=2).max(axis=1, initial=0.0)
    # a curve whose inner points lie at its ends is a line; what is not finite is reported where rings are checked
    at_end = [(control[:, 1:3] == control[:, [j]]).all(axis=2) for j in (0, 3)]
    is_curve = ~(at_end[0] | at_end[1]).all(axis=1) & np.isfinite(bend)
    wanted = np.sqrt(6 * np.where(is_curve, bend, 0.0) / (8 * TOLERANCE_PX))
    counts = np.clip(np.ceil(wanted), 1, MAX_PIECES).astype(np.int64)
    total = int(counts.sum())
    if total > max_points:
        raise ValueError(f"curves of {total:,} points, more than {max_points:,} (limit MAX_POINTS)")
    # by far the most segments are lines, or curves of few pieces: only what bends is computed
    owner = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    points = control[owner, 3]
    inner = np.flatnonzero(step < counts[owner])
    owner, t = owner[inner], (step[inner] / counts[owner[inner]])[:, None]
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    points[inner] = sum(weight * control[owner, j] for j, weight in enumerate(weights))
    return points, counts


def _cubic(start: Point, points: list[Point]) -> tuple[Point, Point, Point, Point]:
    """Return a line, a quadratic or a cubic curve from `start` as a cubic (the degree elevated)."""
    if len(points) == 3:
        return (start, points[0], points[1], points[2])
    if len(points) == 1:
        return (start, start, points[0], points[0])
    (x, y), (end_x, end_y) = points
    first = (start[0] + 2 / 3 * (x - start[0]), start[1] + 2 / 3 * (y - start[1]))
    return (start, first, (end_x + 2 / 3 * (x - end_x), end_y + 2 / 3 * (y - end_y)), points[1])


def _mapped(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    # numbers beyond all bounds are reported where rings are checked
    with np.errstate(invalid="ignore"):
        return points @ matrix[:2, :2].T + matrix[:2, 2]
