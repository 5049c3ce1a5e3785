"""CSL: contours of all sections in one text file, as tools for reconstruction from cross-sections exchange them.

Supported, and nothing else (blank lines are skipped, numbers are separated by blanks)::

    CSLC                                    header (CSL is taken, too)
    n_planes n_labels                       labels are 0 ... n_labels - 1
    index n_vertices n_components A B C D   a plane A x + B y + C z + D = 0, planes numbered from 1 in order
    x y z                                   n_vertices lines, on the plane, mm in the brain's world space
    n label i j k ...                       n_components lines: n vertex numbers from 0, a ring without its end repeated
    nhP label i j k ...                     a hole in component P of the same plane

A component's label is what lies inside; which labels make up a class is said by `contours.labels` of the manifest.
Holes and nested rings of one class follow the even-odd rule. A section takes the plane all of whose vertices lie
within `PLANE_TOLERANCE_MM` of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.features import (
    CORNER,
    MAX_POINTS,
    ContourFeature,
    Ring,
    close,
    read_bytes,
    too_many_points,
)
from cytomesh.study.contour_formats.nesting import even_odd
from cytomesh.study.contour_formats.reader import ContourReader, Drawing
from cytomesh.study.manifest import ContourLabels
from cytomesh.study.planes import SectionPlane

PLANE_TOLERANCE_MM = 0.05


class CslReader(ContourReader):
    """Contour Stack Library: planes of labelled regions, in world coordinates."""

    suffixes = (".csl",)
    is_labelled = True

    def read(self, drawing: Drawing) -> list[ContourFeature]:
        """Return the regions of the section's plane."""
        section = drawing.section
        return read_csl(drawing.path, section.plane, section.name, drawing.labels)


@dataclass(frozen=True, slots=True)
class CslPlane:
    """One plane: its number in the file, vertices (n, 3) in mm, and (label, vertex numbers) of each component."""

    index: int
    vertices: NDArray[np.float64]
    components: tuple[tuple[int, NDArray[np.int64]], ...]


def read_csl(path: Path, plane: SectionPlane, name: str, labels: ContourLabels) -> list[ContourFeature]:
    """Return the contours of one section: a feature for each class that `labels` names, in pixels of its plane.

    Raises
    ------
    ContourError
        If the file is malformed or too large, has a label that no class takes, or not exactly one plane where the
        section is.
    """
    stat = path.stat() if path.is_file() else None
    planes = _planes(path, stat.st_mtime_ns if stat else 0)
    filled = [item for item in planes if len(item.vertices)]
    distances = np.array([np.abs(plane.distance(item.vertices)).max() for item in filled])
    hits = np.flatnonzero(distances <= PLANE_TOLERANCE_MM)
    if len(hits) > 1:
        found = f"planes {', '.join(str(filled[i].index) for i in hits)} all at the place of {name}"
        raise ContourError(path, found=found, expected="one plane a section", hint="remove the copies")
    if len(hits) == 0:
        nearest = (
            f"; the nearest, {filled[distances.argmin()].index}, is {distances.min():.3f} mm off" if filled else ""
        )
        raise ContourError(
            path,
            found=f"no plane at the place of {name}{nearest}",
            expected=f"vertices within {PLANE_TOLERANCE_MM:g} mm of the section's plane, in mm of the brain's space",
            hint="correct to_world, or write n/a for the contours of this section",
        )
    return _features(path, filled[hits[0]], plane, labels)


def _features(path: Path, item: CslPlane, plane: SectionPlane, labels: ContourLabels) -> list[ContourFeature]:
    taken = {value for values in labels.values() for value in values}
    unknown = sorted({label for label, _ in item.components} - taken)
    if unknown:
        raise ContourError(
            path,
            f"plane {item.index}",
            found=f"labels {unknown} that no class takes",
            expected="every label in contours.labels of the manifest",
            hint="such as contours: {labels: {pial_L: [0, 1], white_L: [1]}}, or ignore: [2]",
        )
    pixels = plane.pixels(item.vertices) + CORNER
    features = []
    for name, values in labels.items():
        if name == "ignore":
            continue
        parts = [
            even_odd([close(pixels[ring]) for label, ring in item.components if label == value], path)
            for value in values
        ]
        chosen = [part for part in parts if part]
        if not chosen:
            continue
        # one label's rings as they are drawn; several labels of a class become one region
        polygons = chosen[0] if len(chosen) == 1 else _union(chosen)
        features.append(ContourFeature(f"plane {item.index}, '{name}'", (name,), polygons))
    return features


def _union(regions: list[tuple[tuple[Ring, ...], ...]]) -> tuple[tuple[Ring, ...], ...]:
    polygons = [shapely.Polygon(rings[0], rings[1:]) for region in regions for rings in region]
    if not all(polygon.is_valid for polygon in polygons):
        # merged, a bad ring would be mended in silence: leave it to the checks
        return tuple(rings for region in regions for rings in region)
    parts = shapely.get_parts(shapely.union_all(polygons))
    return tuple(
        tuple(np.asarray(ring.coords)[:, :2] for ring in (part.exterior, *part.interiors))
        for part in parts
        if isinstance(part, shapely.Polygon)
    )


@lru_cache(maxsize=2)
def _planes(path: Path, _modified: int) -> tuple[CslPlane, ...]:
    """Parse a file; kept, since every section of a brain reads the same one."""
    data = read_bytes(path)
    try:
        lines = [line.split() for line in data.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as cause:
        raise ContourError(path, found=f"a file that cannot be read ({cause})", expected="CSL, a text file") from cause
    if len(lines) > MAX_POINTS:
        raise too_many_points(path, len(lines))
    rows = iter(lines)
    try:
        if next(rows) not in (["CSLC"], ["CSL"]):
            raise ContourError(path, "line 1", found=" ".join(lines[0])[:40], expected="the header CSLC")
        n_planes, _ = map(int, next(rows))
        return tuple(_plane(path, rows, number) for number in range(1, n_planes + 1))
    except StopIteration as cause:
        raise ContourError(path, found="a file that ends early", hint="export or copy it again") from cause
    except ContourError:
        raise
    except ValueError as cause:
        raise ContourError(path, found=f"a line that cannot be read ({cause})", expected="CSL") from cause


def _plane(path: Path, rows: Iterator[list[str]], number: int) -> CslPlane:
    try:
        head = next(rows)
        if len(head) != 7:
            raise ContourError(path, f"plane {number}", found=f"'{' '.join(head)[:60]}'", expected="7 numbers")
        n_vertices, n_components = int(head[1]), int(head[2])
        vertices = np.array([next(rows) for _ in range(n_vertices)], np.float64).reshape(n_vertices, 3)
        components = [_component(path, number, next(rows), n_vertices) for _ in range(n_components)]
    except StopIteration as cause:
        raise ContourError(path, f"plane {number}", found="a file that ends early", hint="copy it again") from cause
    return CslPlane(number, vertices, tuple(components))


def _component(path: Path, number: int, row: list[str], n_vertices: int) -> tuple[int, NDArray[np.int64]]:
    size, label, *rest = row
    ring = np.array(rest, np.int64)
    count = int(size.partition("h")[0])
    if len(ring) != count or (ring < 0).any() or (ring >= n_vertices).any():
        raise ContourError(
            path,
            f"plane {number}",
            found=f"component of {len(ring)} vertex numbers, declared {count}",
            expected=f"as many as declared, each from 0 to {n_vertices - 1}",
        )
    return int(label), ring
