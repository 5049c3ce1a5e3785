"""Areas drawn on a section as polygons: QuPath's annotations, named by their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from cytomesh.core.errors import ContourError, CytomeshError, did_you_mean
from cytomesh.core.labels import LabelTable
from cytomesh.study.contour_formats.features import CORNER, IGNORE, UNCLASSIFIED, ContourFeature, meaning
from cytomesh.study.contour_formats.json_file import JsonReader
from cytomesh.study.contour_formats.registry import read_features
from cytomesh.study.contour_polygons import polygons_of, several_planes
from cytomesh.study.contour_repair import Mender
from cytomesh.study.contour_rings import check_sizes, clipped
from cytomesh.study.contours import CLASSES, TISSUE
from cytomesh.study.image_formats.registry import header_if_readable
from cytomesh.study.problems import attempt, raise_problems
from cytomesh.study.sections import Section

DRAWINGS = JsonReader.suffixes
# Of the smaller of two areas: lines drawn by hand along one border cross a little.
MAX_OVERLAP = 0.02
# Pairs of polygons of different areas in one another's boxes that are compared.
MAX_PAIRS = 20_000


@dataclass(frozen=True, slots=True)
class DrawnAreas:
    """Areas drawn on one section as polygons.

    Where polygons lie over one another, the last one counts: QuPath writes objects within others, and those drawn
    later, after the others.

    Parameters
    ----------
    labels : (n,) int32
        Label of each polygon.
    polygons : tuple of n shapely Polygon
        In the order of the file, in pixels of the section's full-resolution image (centres at integers).
    extent : (2,) float64 or None
        Columns and rows of that image; None if there is none.
    overlap : ContourError or None
        Which polygons cross, other than by lying within one before them: what is to be said of it.
    crossing : shapely geometry
        Where they do.
    """

    labels: NDArray[np.int32]
    polygons: tuple[Polygon, ...]
    extent: NDArray[np.float64] | None
    overlap: ContourError | None = None
    crossing: BaseGeometry = field(default_factory=Polygon)

    def sample(self, pixels: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the labels (n,) at (n, 2) (column, row) pixels of the section's image; 0 outside."""
        pixels = np.asarray(pixels, np.float64)
        result = np.zeros(len(pixels), np.int32)
        for label, polygon in zip(self.labels, self.polygons, strict=True):
            bounds = np.array(polygon.bounds)
            near = np.flatnonzero(((pixels >= bounds[:2]) & (pixels <= bounds[2:])).all(axis=1))
            if near.size:
                shapely.prepare(polygon)
                result[near[shapely.intersects_xy(polygon, *pixels[near].T)]] = label
        return result

    def labelled(self, limit: int) -> NDArray[np.float64]:
        """Return about `limit` places of labels on a lattice: (n, 2) pixels of the image."""
        if not self.polygons:
            return np.empty((0, 2))
        left, top, right, bottom = shapely.total_bounds(self.polygons)
        area = sum(polygon.area for polygon in self.polygons)
        step = np.sqrt(area / limit)
        # thin polygons in a wide box: no more places than that many
        step = max(step, np.sqrt((right - left) * (bottom - top) / (10 * limit)))
        columns, rows = (np.arange(low + step / 2, high, step) for low, high in ((left, right), (top, bottom)))
        places = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        return places[self.sample(places) > 0]


def read_drawn_areas(section: Section, labels: LabelTable) -> DrawnAreas:
    """Read a section's annotation where it is QuPath GeoJSON: classes are areas of the label table.

    Raises
    ------
    ContourError
        If the file cannot be read, a class is unknown, or a ring cannot be used; every problem of the file is named.
    """
    path = section.annotation
    if path is None:
        raise ContourError(section.name, found="no annotation", hint="declare it in the section table")
    problems: list[CytomeshError] = []
    if section.annotation_um_per_px not in (None, section.um_per_px):
        found = f"a pixel size of {section.annotation_um_per_px:g} um for polygons"
        expected = "pixels of the full-resolution image"
        hint = "export them at full resolution, and write n/a for annotation_um_per_px"
        problems.append(ContourError(path, section.name, found=found, expected=expected, hint=hint))
    meant = section.contour_settings.classes
    known = dict.fromkeys({*CLASSES, *meant, TISSUE} - {"*"}, IGNORE) | {name: name for name in labels.names}
    # of a file for both, what the study calls a ring is none of the areas, though the label table may have its name
    known |= {name: IGNORE for name, ring in meant.items() if name != "*" and ring != IGNORE}
    known |= section.annotation_settings.classes
    drawn = replace(section, contours=path)
    features = attempt(problems, lambda: read_features(drawn, frozenset(known))) or []
    named = [(feature, meaning(feature, known)) for feature in features]
    used = [(feature, area) for feature, area in named if area != IGNORE]
    mender = Mender(path)
    polygons: dict[str, list[Polygon]] = {}
    areas: dict[str, str] = {}
    for feature, area in used:
        if area is None:
            problems.append(_unknown(path, feature, list(known), labels))
            continue
        areas[feature.place] = area
        polygons[feature.place] = polygons_of(feature, mender, problems, section.contour_settings.repair)
    if section.contour_settings.repair:
        polygons = clipped(drawn, polygons)
    problems += check_sizes(drawn, polygons)
    problems += several_planes(path, [feature for feature, _ in used])
    raise_problems(problems)
    parts = [(areas[place], polygon) for place, group in polygons.items() for polygon in group]
    header = header_if_readable(section.image, section.image_part)
    parts = [(area, translate(polygon, -CORNER, -CORNER)) for area, polygon in parts]
    return DrawnAreas(
        np.array([labels.index(area) for area, _ in parts], np.int32),
        tuple(polygon for _, polygon in parts),
        None if header is None else np.array(header.shape[::-1], np.float64),
        *_overlap(section, path, parts),
    )


def _unknown(path: Path, feature: ContourFeature, known: list[str], labels: LabelTable) -> ContourError:
    written = feature.names[0] if feature.names else ""
    way_out = did_you_mean(written, known)
    hint = (
        "add such areas to the label table, or map them to areas, or to ignore, in annotations.classes of the manifest"
    )
    names = ", ".join(labels.names[:8]) + (", ..." if len(labels) > 8 else "")
    return ContourError(
        path,
        feature.place,
        found=f"unknown class '{written}'" if written else "no classification",
        expected=f"an area of the label table ({names})",
        hint=f"{way_out} {hint}".strip() if written else UNCLASSIFIED.format("annotations.classes"),
    )


def _overlap(
    section: Section, path: Path, drawn: Sequence[tuple[str, Polygon]]
) -> tuple[ContourError | None, BaseGeometry]:
    """Return which areas lie over one another, other than one drawn within another one before it, and where."""
    polygons = np.array([polygon for _, polygon in drawn], object)
    names = np.array([name for name, _ in drawn], object)
    first, last = shapely.STRtree(polygons).query(polygons)
    is_pair = (first < last) & (names[first] != names[last])
    first, last = first[is_pair][:MAX_PAIRS], last[is_pair][:MAX_PAIRS]
    sizes = shapely.area(polygons)
    shared = shapely.intersection(polygons[first], polygons[last])
    common = shapely.area(shared)
    hidden, covering = common / sizes[first], common / sizes[last]
    is_within = (covering > 1 - MAX_OVERLAP) & (hidden < 1 - MAX_OVERLAP)
    crossing = np.flatnonzero((np.maximum(hidden, covering) > MAX_OVERLAP) & ~is_within)
    if not crossing.size:
        return None, Polygon()
    worst = crossing[np.argsort(-common[crossing])][:3]
    texts = [f"'{names[last[i]]}' over {hidden[i]:.0%} of '{names[first[i]]}'" for i in worst]
    more = f" and {crossing.size - 3} more" if crossing.size > 3 else ""
    problem = ContourError(
        path,
        section.name,
        found=f"areas that overlap: {', '.join(texts)}{more}",
        expected="areas side by side, or one within another",
        hint="where they overlap, the one that comes later in the file counts; draw one border for both",
    )
    return problem, shapely.union_all(shared[crossing])
