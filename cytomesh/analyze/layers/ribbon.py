"""The cortex of a section as depth per pixel and as columns from pial to white, by its contours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from shapely.geometry import MultiPolygon
from skimage.measure import find_contours

from cytomesh.study.contours import HemisphereContours
from cytomesh.surface.compiled import kernel
from cytomesh.surface.distance import signed_distance

OUTSIDE, INSIDE = -0.5, 1.5
THICKEST_MM = 8.0
"""No cortex is thicker: what is further from pial and white together has no white matter beneath."""
ROUNDS = 2
"""Newton steps to each depth of a column."""
TOLERANCE = 0.03
SPACING_PX = 2.0
"""Between columns along the middle of the ribbon, in pixels of the grid."""
SHORTEST_MM = 1.0
"""Shorter lines through the ribbon are specks."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixels of a segmentation; its corner is that of the section's image.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    scale : float
        Size of a pixel in pixels of the image.
    """

    shape: tuple[int, int]
    scale: float

    @classmethod
    def of(cls, image_shape: tuple[int, int], image_um: float, um_per_px: float) -> Grid:
        """Return the grid of a pixel size that covers an image."""
        scale = um_per_px / image_um
        rows, columns = (max(1, int(np.ceil(n / scale - 1e-6))) for n in image_shape)
        return cls((rows, columns), scale)

    def image_pixels(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map (..., 2) (column, row) of the grid to those of the image."""
        return (np.asarray(pixels, np.float64) + 0.5) * self.scale - 0.5

    def pixels(self, image_pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map (..., 2) (column, row) of the image to those of the grid."""
        return (np.asarray(image_pixels, np.float64) + 0.5) / self.scale - 0.5


@dataclass(frozen=True, slots=True)
class Columns:
    """Lines through the cortex along the gradient of depth.

    Parameters
    ----------
    points : (n, k, 2) float32
        (column, row) in the section's image at k depths, (i + 0.5) / k.
    line : (n,) int64
        Which line through the ribbon a column stands on; neighbours follow one another.
    is_closed : (n,) bool
        Whether that line ends where it began.
    length_um : (n,) float64
        From pial to white within the section; an oblique cut makes it longer than the cortex is thick.
    """

    points: NDArray[np.float32]
    line: NDArray[np.int64]
    is_closed: NDArray[np.bool_]
    length_um: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def feet(self) -> NDArray[np.float64]:
        """The middle of each column, (n, 2) pixels of the image."""
        k = self.points.shape[1]
        return 0.5 * (self.points[:, (k - 1) // 2].astype(np.float64) + self.points[:, k // 2])

    @property
    def angles_deg(self) -> NDArray[np.float64]:
        """Direction of the pial end, (n,) degrees counter-clockwise in (column, row up)."""
        up = self.points[:, 0].astype(np.float64) - self.points[:, -1]
        return np.degrees(np.arctan2(-up[:, 1], up[:, 0]))

    def at(self, depths: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the points at (n, b) depths, 0 to 1, of each column, (n, b, 2); the ends are those of `points`."""
        k = self.points.shape[1]
        place = np.clip(depths * k - 0.5, 0, k - 1)
        low = np.minimum(place.astype(int), k - 2)
        share = (place - low)[..., None]
        row = np.arange(len(self))[:, None]
        return (1 - share) * self.points[row, low] + share * self.points[row, low + 1]


@dataclass(frozen=True)
class SectionRibbon:
    """The cortex of one hemisphere in one section.

    Parameters
    ----------
    grid : Grid
    field : (h, w) float32
        See `depth_field`.
    depth : (h, w) float32
        The same; NaN outside cortex, and where there is no white matter beneath.
    inside_white : (h, w) bool
        White matter.
    columns : Columns
    """

    grid: Grid
    field: NDArray[np.float32]
    depth: NDArray[np.float32]
    inside_white: NDArray[np.bool_]
    columns: Columns

    def paint(self, boundaries: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return the segmentation, (h, w): each pixel's layer by its depth and the boundaries of the column next to it.

        Parameters
        ----------
        boundaries : (n, 5) float64
            See `boundary_depths`.
        """
        painted = np.zeros(self.grid.shape, np.uint8)
        rows, columns, nearest = self.nearest_columns
        if len(rows):
            depth = self.depth[rows, columns]
            painted[rows, columns] = 1 + (depth[:, None] > boundaries[nearest]).sum(axis=1)
        painted[self.inside_white] = boundaries.shape[1] + 2
        return painted

    @cached_property
    def nearest_columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the pixels with a depth, and the column next to each, to a pixel, (m,) int64 each."""
        rows, columns = np.nonzero(np.isfinite(self.depth))
        if not len(self.columns) or not len(rows):
            return rows[:0], columns[:0], rows[:0]
        corner = np.array([rows.min(), columns.min()])
        at = np.rint(self.grid.pixels(self.columns.points)[..., ::-1]).astype(np.int64) - corner
        box = np.array([rows.max(), columns.max()]) - corner
        owner = np.full(box + 1, -1)
        at = at.clip(0, box)
        owner[at[..., 0], at[..., 1]] = np.arange(len(self.columns))[:, None]
        near = distance_transform_edt(owner < 0, return_distances=False, return_indices=True)
        nearest = owner[tuple(near[:, rows - corner[0], columns - corner[1]])]
        return rows, columns, nearest


def signed_distance_px(shape: MultiPolygon, grid: Grid) -> NDArray[np.float32]:
    """Return the distance of each pixel's centre to polygons given in pixels of the image, (h, w), positive inside."""
    rings = [ring for polygon in shape.geoms for ring in (polygon.exterior, *polygon.interiors)]
    corners = [grid.pixels(np.asarray(ring.coords)[:, :2])[:, ::-1] for ring in rings]
    segments = [np.concatenate([ring[:-1], ring[1:]], axis=1) for ring in corners]
    if not segments:
        return np.full(grid.shape, -np.inf, np.float32)
    return signed_distance(np.concatenate(segments), *grid.shape)


def section_ribbon(contours: HemisphereContours, grid: Grid, image_um: float, n_depths: int) -> SectionRibbon:
    """Measure depth in a section's cortex and draw its columns, two pixels of the grid apart along the middle.

    Depth is the ratio of distances to both contours, within the section. Columns follow its gradient from the middle
    to both sides; those that do not arrive, as in the crease of a narrow sulcus, are left out.
    """
    um = grid.scale * image_um
    field, is_cortex, is_white = depth_field(contours, grid, image_um)
    lines = [line for line in find_contours(field, 0.5) if _length(line)[-1] * um >= SHORTEST_MM * 1000]
    depth = np.where(is_cortex, field, np.float32(np.nan))
    return SectionRibbon(grid, field, depth, is_white, _columns(field, lines, grid, image_um, n_depths))


def depth_field(
    contours: HemisphereContours, grid: Grid, image_um: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return depth at all pixels, (h, w), where that is cortex with white matter beneath, and where white matter is.

    Distance from pial over the sum of the distances from pial and white, carried on beyond both contours to -0.5 and
    1.5, so that they lie at 0 and 1.
    """
    um = grid.scale * image_um
    to_pial, to_white = signed_distance_px(contours.pial, grid), -signed_distance_px(contours.white, grid)
    is_white, is_cortex = (to_white <= 0) & (to_pial > 0), (to_white > 0) & (to_pial > 0)
    with np.errstate(invalid="ignore"):  # a hemisphere may have no white matter here
        is_thin = to_pial + to_white <= THICKEST_MM * 1000 / um
        ratio = np.clip(to_pial / np.maximum(to_pial + to_white, 1e-6), OUTSIDE, INSIDE)
    return np.where(is_thin, ratio, OUTSIDE).astype(np.float32), is_cortex & is_thin, is_white


def _length(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length of a line up to each of its points, (n,)."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def _columns(
    field: NDArray[np.float32], lines: list[NDArray[np.float64]], grid: Grid, image_um: float, n_depths: int
) -> Columns:
    middles, numbers, closed = [np.zeros((0, 2))], [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    for number, line in enumerate(lines):
        travelled = _length(line)
        is_closed = bool((line[0] == line[-1]).all())
        n = max(2, round(travelled[-1] / SPACING_PX))
        wanted = np.linspace(0, travelled[-1], n, endpoint=not is_closed)
        middles.append(np.stack([np.interp(wanted, travelled, line[:, axis]) for axis in (0, 1)], axis=1))
        numbers.append(np.full(n, number))
        closed.append(np.full(n, is_closed))
    depths = np.concatenate([[0.0], (np.arange(n_depths) + 0.5) / n_depths, [1.0]])
    points, errors = _trace(field, np.concatenate(middles), depths)
    # a column that leaps is one that was lost between two banks
    steps_px = np.linalg.norm(np.diff(points, axis=1), axis=2)
    length_px = steps_px.sum(axis=1)
    arrives = (errors < TOLERANCE) & (length_px * grid.scale * image_um < THICKEST_MM * 1000)
    arrives &= steps_px.max(axis=1, initial=0) < 8 * np.maximum(length_px / len(depths), 0.25)
    inner = grid.image_pixels(points[arrives, 1:-1, ::-1]).astype(np.float32)
    length_um = length_px[arrives] * grid.scale * image_um
    return Columns(inner, np.concatenate(numbers)[arrives], np.concatenate(closed)[arrives], length_um)


@kernel
def _trace(field, start, depths):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Follow the gradient of depth from (n, 2) (row, column) points at 0.5 to (d,) depths, by Newton's method.

    Returns the points, (n, d, 2), and how far from its depth the worst of each column is, (n,).
    """
    points, errors = np.empty((len(start), len(depths), 2)), np.zeros(len(start))
    middle = np.searchsorted(depths, 0.5)
    for n in range(len(start)):
        for way in range(2):
            row, column = start[n]
            for level in range(middle - 1, -1, -1) if way == 0 else range(middle, len(depths)):
                for _ in range(ROUNDS):
                    off = depths[level] - _bilinear(field, row, column)
                    down = 0.5 * (_bilinear(field, row + 1, column) - _bilinear(field, row - 1, column))
                    right = 0.5 * (_bilinear(field, row, column + 1) - _bilinear(field, row, column - 1))
                    steepness = max(down * down + right * right, 1e-6)
                    length = abs(off) / steepness * math.hypot(down, right)
                    step = off / steepness * min(1.0, 2.0 / max(length, 1e-9))
                    row, column = row + step * down, column + step * right
                points[n, level] = row, column
                errors[n] = max(errors[n], abs(_bilinear(field, row, column) - depths[level]))
    return points, errors


@kernel
def _bilinear(field, row, column):  # type: ignore[no-untyped-def]  # pragma: no cover
    row, column = min(max(row, 0.0), field.shape[0] - 1.0), min(max(column, 0.0), field.shape[1] - 1.0)
    r0, c0 = int(row), int(column)
    r1, c1 = min(r0 + 1, field.shape[0] - 1), min(c0 + 1, field.shape[1] - 1)
    y, x = row - r0, column - c0
    north = field[r0, c0] + x * (field[r0, c1] - field[r0, c0])
    south = field[r1, c0] + x * (field[r1, c1] - field[r1, c0])
    return north + y * (south - north)
