"""Outer tissue boundary of raw sections against hand drawings, beside Otsu's threshold and the largest component.

Five real sections: Nissl, four species (mammal_nissl), and a human cell-body stain (BigBrain). Outlines are compared
without holes, as the drawings have none. Claim: a higher mean Dice, and boundary points several times nearer to the
drawing. The drawings go down into closed sulci whose banks touch: no threshold finds those, so distances from the
drawing are much larger for both.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image
from shapely.geometry import MultiPolygon, Polygon

from benchmarks.common import MissingDataError, Options, Result, interleave, main
from cytomesh.imaging.pyramid import open_image
from cytomesh.imaging.tissue import TissueConfig, extract_tissue
from cytomesh.study.contour_formats.features import CORNER
from cytomesh.study.contour_formats.masks import mask_rings
from cytomesh.study.contour_formats.nesting import even_odd
from cytomesh.study.contour_formats.svg import read_svg

# The drawings are figures in points at 100 dpi: image pixels are points / 0.72.
PX_PER_POINT = 1 / 0.72
STEP_PX = 4.0


@dataclass(frozen=True)
class Case:
    """One section: paths within the data folder."""

    name: str
    image: str
    drawing: str


def _mammal(name: str, stem: str) -> Case:
    start = f"mammal_nissl/{stem}_cor_cell.json"
    return Case(name, f"{start}.ctx-50%.png", f"{start}.svg")


CASES = (
    _mammal("badger", "badger"),
    _mammal("cat", "cat"),
    _mammal("chimpanzee", "chimp"),
    _mammal("macaque", "pigmacaque"),
    Case(
        "human (BigBrain A)",
        "bigbrain/sections/bigbrain_coronal_A.png",
        "bigbrain/sections/bigbrain_coronal_A_annotation_cortex.svg",
    ),
)


@dataclass(frozen=True)
class Score:
    """Dice, and mean distance of one outline's points from the other outline, pixels."""

    dice: float
    to_drawing_px: float
    from_drawing_px: float


def drawn_outline(path: Path) -> Polygon | MultiPolygon:
    """Return the outer outline of a drawing in image pixels."""
    features = read_svg(path, PX_PER_POINT, frozenset({"axes_1"}))
    rings = [rings[0] - CORNER for item in features if "axes_1" in item.names for rings in item.polygons]
    return _outer([shapely.make_valid(Polygon(ring)) for ring in rings if len(ring) > 3])


def score(region: MultiPolygon, drawing: Polygon | MultiPolygon) -> Score:
    """Compare the outer outline of a region with a drawing."""
    found = _outer(list(region.geoms))
    dice = 2 * found.intersection(drawing).area / (found.area + drawing.area)
    return Score(dice, _mean_distance(found, drawing), _mean_distance(drawing, found))


def otsu(path: Path) -> MultiPolygon:
    """Return the peer: Otsu's threshold on grey values, the largest component, holes filled."""
    from scipy.ndimage import binary_fill_holes
    from skimage.filters import threshold_otsu
    from skimage.measure import label

    grey = np.asarray(Image.open(path).convert("L"))
    pieces = label(grey < threshold_otsu(grey))
    largest = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return MultiPolygon([Polygon(rings[0]) for rings in even_odd(mask_rings(binary_fill_holes(largest)), "mask")])


def cytomesh(path: Path) -> MultiPolygon:
    """Open the image and extract its tissue, as the command does."""
    with open_image(path) as image:
        return extract_tissue(image, TissueConfig())


def _outer(parts: list[Any]) -> Polygon | MultiPolygon:
    polygons = [part for geometry in parts for part in shapely.get_parts(geometry) if isinstance(part, Polygon)]
    return shapely.union_all([Polygon(polygon.exterior) for polygon in polygons])


def _mean_distance(first: Any, second: Any) -> float:
    points = shapely.points(shapely.get_coordinates(first.boundary.segmentize(STEP_PX)))
    boundary = second.boundary
    shapely.prepare(boundary)
    return float(shapely.distance(points, boundary).mean())


def measure(options: Options) -> Result:
    """Compare both on all sections; the quick form leaves out the large human one."""
    if not (options.data / "mammal_nissl").is_dir():
        raise MissingDataError(f"no mammal_nissl in {options.data}: give --data or set CYTOMESH_REAL_DATA")
    rows: list[list[Any]] = []
    scores: dict[str, list[Score]] = {"cytomesh": [], "Otsu": []}
    for case in CASES[:4] if options.quick else CASES:
        image, drawing = options.data / case.image, drawn_outline(options.data / case.drawing)
        functions = {"cytomesh": lambda image=image: cytomesh(image), "Otsu": lambda image=image: otsu(image)}
        timing = interleave(functions, 1 if options.quick else 3)
        for name, function in functions.items():
            scores[name].append(score(function(), drawing))
            rows.append([f"{case.name}, {name}", *astuple(scores[name][-1]), timing[name].median])
    ours, theirs = (np.mean([astuple(item) for item in scores[name]], axis=0) for name in ("cytomesh", "Otsu"))
    claim = (
        f"mean Dice {ours[0]:.4f} against {theirs[0]:.4f}; to the drawing {ours[1]:.2f} against {theirs[1]:.2f} px"
        f" ({theirs[1] / ours[1]:.1f} times nearer), from the drawing {ours[2]:.1f} against {theirs[2]:.1f} px"
    )
    columns = ("section", "Dice", "to drawing px", "from drawing px", "seconds")
    return Result("Tissue boundary of raw sections", columns, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
