"""Cells as files have them: positions in some unit, counted from some corner, and what else is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.core.errors import CellError

Values = NDArray[np.float64]
Unit = Literal["px", "um"]
MEASURES = ("area", "perimeter", "circularity", "eccentricity")


@dataclass(frozen=True, slots=True)
class CellTable:
    """The cells of one file.

    Parameters
    ----------
    places : (n, 2) float64
        Column and row of each centroid, from the left and from the top.
    unit : {"px", "um"}
        Of the places.
    is_corner : bool
        Whether they count from the corner of the first pixel; else from its centre.
    measures : dict of str to (n,) float64
        Those of `MEASURES` that the file has; NaN where a cell lacks one.
    size_unit : {"px", "um"}
        Of the perimeter; the square of it is that of the area.
    layer : (n,) int8 or None
        1 to 6, 0 where it is none of these.
    section : (n,) int64 or None
        Number of each cell's section.
    brain, image : (n,) str or None
        Each cell's brain, and the name of the image that it was found in.
    um_per_px : float or None
        Pixel size that the file states.
    """

    places: Values
    unit: Unit
    is_corner: bool
    measures: Mapping[str, Values] = field(default_factory=dict)
    size_unit: Unit = "px"
    layer: NDArray[np.int8] | None = None
    section: NDArray[np.int64] | None = None
    brain: NDArray[np.str_] | None = None
    image: NDArray[np.str_] | None = None
    um_per_px: float | None = None

    def __len__(self) -> int:
        return len(self.places)

    def of(self, kept: NDArray[np.bool_]) -> CellTable:
        """Return some of the cells, (n,) bool."""

        def some(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[kept]

        measures = {name: values[kept] for name, values in self.measures.items()}
        rest = (some(self.layer), some(self.section), some(self.brain), some(self.image), self.um_per_px)
        return CellTable(self.places[kept], self.unit, self.is_corner, measures, self.size_unit, *rest)


def outline_polygons(path: Path, outlines: Sequence[Any], numbers: Sequence[int] = ()) -> NDArray[Any]:
    """Return closed outlines as shapely polygons, (n,).

    Parameters
    ----------
    path : Path
        Their file, for messages.
    outlines : sequence of (k, 2) array
        Points (column, row) in pixels; the first need not be repeated.
    numbers : sequence of int
        By which the file knows them, from 1; by default one after the other.

    Raises
    ------
    CellError
        If an outline has fewer than three points, or is not finite.
    """
    if not outlines:
        return np.empty(0, object)
    numbers = numbers or range(1, len(outlines) + 1)
    rings = [np.asarray(outline, np.float64) for outline in outlines]
    short = next((i for i, ring in enumerate(rings) if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3), None)
    if short is not None:
        found = "an outline of fewer than three points"
        raise CellError(path, f"cell {numbers[short]}", found=found, expected="a polygon")
    points = np.concatenate(rings)
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    if not np.isfinite(points).all():
        place = f"cell {numbers[int(owner[np.argmin(np.isfinite(points).all(axis=1))])]}"
        raise CellError(path, place, found="an outline that is not finite", hint="export the cells again")
    return np.asarray(shapely.polygons(shapely.linearrings(points, indices=owner)))


def from_polygons(polygons: NDArray[Any], *, is_corner: bool) -> CellTable:
    """Return the cells of (n,) shapely polygons in pixels: centroid, area and perimeter (points have no size)."""
    centres = shapely.centroid(polygons)
    places = np.column_stack([shapely.get_x(centres), shapely.get_y(centres)])
    is_point = shapely.get_dimensions(polygons) == 0
    sizes = {"area": shapely.area(polygons), "perimeter": shapely.length(polygons)}
    measures = {name: np.where(is_point, np.nan, values) for name, values in sizes.items()}
    return CellTable(places, "px", is_corner, measures)


def circularity(area: Values, perimeter: Values) -> Values:
    """Return 4 pi A / P^2, (n,): 1 for a disc (Cox, Journal of Paleontology 1, 1927; ImageJ's circularity).

    As ImageJ's it is never more: around a few pixels, perimeters are estimated too short.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.minimum(np.where(perimeter > 0, 4 * np.pi * area / perimeter**2, np.nan), 1.0)
