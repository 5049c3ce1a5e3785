"""The cells of one section: found among the tables, brought to its pixels, and checked against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.analyze.cells.config import TablesConfig
from cytomesh.analyze.cells.formats.registry import read_cells
from cytomesh.analyze.cells.table import CellTable, Values, circularity
from cytomesh.core.errors import CellError
from cytomesh.core.progress import warn
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain, Study

CELL_UM = (0.5, 300.0)
"""Median diameters of cells lie between these: others are in another unit."""
SAME_UM = 0.01
"""Centroids on the same point of such a grid are of one cell, given twice."""
MOST_OUTSIDE = 0.5
"""Tables of another section, or another pixel size, have more of their cells outside the image."""


@dataclass(frozen=True, slots=True)
class SectionCells:
    """The cells of one section.

    Parameters
    ----------
    pixels : (n, 2) float64
        Column and row in the section's image, pixel centres at integers.
    measures : dict of str to (n,) float64
        `area_um2`, `diameter_um` (of the disc of the same area), `circularity`, `eccentricity`, `nearest_um` (distance
        to the nearest other centroid of the section), as far as the table has them; NaN where a cell lacks one.
    layer : (n,) int8 or None
        As the table says.
    n_read, n_twice, n_outside : int
        Cells in the table, of which were given twice or lay outside the image.
    """

    pixels: Values
    measures: Mapping[str, Values]
    layer: NDArray[np.int8] | None
    n_read: int
    n_twice: int
    n_outside: int

    def __len__(self) -> int:
        return len(self.pixels)

    def of(self, kept: NDArray[np.bool_]) -> SectionCells:
        """Return some of the cells, (n,) bool."""
        measures = {name: values[kept] for name, values in self.measures.items()}
        layer = None if self.layer is None else self.layer[kept]
        return SectionCells(self.pixels[kept], measures, layer, self.n_read, self.n_twice, self.n_outside)


def section_files(study: Study, brain: Brain, settings: TablesConfig) -> dict[int, Path]:
    """Return the file that holds the cells of each section, by section number; sections without one are left out.

    Raises
    ------
    CellError
        If none is there.
    """
    folder = study.path.parent
    named = {s.index: folder / settings.files.format(brain=brain.id, section=s.index) for s in brain.sections}
    found = {index: path for index, path in named.items() if path.exists()}
    if not found:
        example = next(iter(named.values()), folder / settings.files)
        hint = "correct tables.files: a path from the study's folder"
        raise CellError(example, found=f"no table of cells of {brain.id}", expected="at least one", hint=hint)
    return found


def cells_of_sections(study: Study, brain: Brain, settings: TablesConfig) -> Iterator[tuple[Section, SectionCells]]:
    """Yield each section that has cells, with them; a table of all sections is read once.

    Raises
    ------
    CellError
        If a table cannot be read, or does not fit its section.
    """
    files = section_files(study, brain, settings)
    shared = None if settings.is_per_section else read_cells(next(iter(files.values())))
    if shared is not None and len(study.brains) > 1:
        _check_brain(shared, next(iter(files.values())), settings)
    n_found = n_cells = 0
    for section in brain.sections:
        if section.index not in files:
            continue
        path = files[section.index]
        own = read_cells(path) if shared is None else shared
        table = rows_of(own, path, section, brain, is_shared=shared is not None)
        if len(table):
            n_found, n_cells = n_found + 1, n_cells + len(table)
            yield section, section_cells(table, path, section, settings)
    if not n_found:
        hint = "segment the sections first, or correct tables.files or the tables' names of sections and images"
        raise CellError(next(iter(files.values())), found=f"no cell of {brain.id}", expected="cells", hint=hint)
    if shared is not None and (shared.brain is not None or len(study.brains) == 1):
        of_brain = len(shared) if shared.brain is None else int((shared.brain == brain.id).sum())
        if n_cells < of_brain:
            warn(f"cells: {path.name}: {of_brain - n_cells:,} of {of_brain:,} cells belong to no section of {brain.id}")


def _check_brain(table: CellTable, path: Path, settings: TablesConfig) -> None:
    """Refuse cells that the sections of several brains would take alike."""
    if table.brain is None and table.section is not None and "{brain}" not in settings.files:
        hint = "add a column brain, or name a file for each: tables.files=cells/{brain}.csv"
        raise CellError(path, found="cells of sections of no brain", expected="a column brain", hint=hint)


def rows_of(table: CellTable, path: Path, section: Section, brain: Brain, *, is_shared: bool) -> CellTable:
    """Return the rows that belong to a section; of a table of its own, all of them must.

    Raises
    ------
    CellError
        If the rows say that they are of other sections, or do not say of which.
    """
    if is_shared:
        if table.section is not None:
            mine = table.section == section.index
        elif table.image is not None and section.scene is None:
            mine = _of_image(table.image, section)
        else:
            hint = "add a column section, or name a file for each: tables.files=cells/{brain}_{section}.csv"
            raise CellError(path, found="cells of no section", expected="a column section or image", hint=hint)
        return table.of(mine if table.brain is None else mine & (table.brain == brain.id))
    others = set() if table.section is None else set(table.section.tolist()) - {section.index}
    if others:
        found = f"cells of section {min(others)}"
        raise CellError(path, "column section", found=found, expected=f"those of {section.name}", hint=ANOTHER)
    images = np.empty(0, str) if table.image is None else np.unique(table.image)
    for other in (other for other in brain.sections if other.index != section.index):
        foreign = images[_of_image(images, other) & ~_of_image(images, section)]
        if foreign.size:
            found = f"cells of {foreign[0]}, the image of section {other.index}"
            raise CellError(path, "column image", found=found, expected=f"those of {section.name}", hint=ANOTHER)
    return table


ANOTHER = "correct the file's name or tables.files"


def _of_image(images: NDArray[np.str_], section: Section) -> NDArray[np.bool_]:
    """Return which of (n,) names are of a section's image; QuPath appends the series: `scan.vsi - 20x`."""
    if section.image is None:
        return np.zeros(len(images), bool)
    named, index = np.unique(images, return_inverse=True)
    is_own = [name.partition(" - ")[0] in (section.image.name, section.image.stem) for name in named.tolist()]
    return np.array(is_own, bool)[index]


def section_cells(table: CellTable, path: Path, section: Section, settings: TablesConfig) -> SectionCells:
    """Bring a table's cells to a section's pixels, and measure what follows from them.

    Raises
    ------
    CellError
        If centroids are not finite, the pixel size is not known, or most of the cells lie outside the image.
    """
    wrong = ~np.isfinite(table.places).all(axis=1)
    if wrong.any():
        place, found = f"row {int(wrong.argmax()) + 1}", f"{int(wrong.sum())} centroids that are not finite"
        raise CellError(path, place, found=found, expected="numbers", hint="leave these rows out, or export again")
    um = _um_per_px(table, path, settings)
    corner_px = table.places / (um if table.unit == "um" else 1.0) + (0.0 if table.is_corner else 0.5)
    pixels = (corner_px + np.array(settings.offset_px)) * (um / section.um_per_px) - 0.5
    shape = None if section.image is None else read_header(section.image, section.image_part).shape
    is_within = np.ones(len(pixels), bool)
    if shape is not None:
        is_within = ((pixels >= -0.5) & (pixels <= np.array([shape[1], shape[0]]) - 0.5)).all(axis=1)
        if is_within.mean() < 1 - MOST_OUTSIDE:
            raise _outside(path, section, pixels, shape, um)
    is_first = _first_of_each(pixels * section.um_per_px)
    kept = is_first & is_within
    measures = {name: values[kept] for name, values in _sizes(table, um).items()}
    _check_size(path, measures)
    areas = table.measures["area"][kept] if "area" in table.measures else np.empty(0)
    n_without = int((~_is_usable(areas)).sum())
    if n_without:
        warn(f"{path}: {n_without:,} of {len(areas):,} cells without an area above 0: they count, but have no size")
    if kept.sum() > 1:
        own_um = pixels[kept] * section.um_per_px
        measures["nearest_um"] = cKDTree(own_um).query(own_um, k=2)[0][:, 1]
    layer = None if table.layer is None else table.layer[kept]
    return SectionCells(
        pixels[kept], measures, layer, len(table), int((~is_first).sum()), int((is_first & ~is_within).sum())
    )


def _um_per_px(table: CellTable, path: Path, settings: TablesConfig) -> float:
    """Return the pixel size of the image that was segmented; of one that is in um throughout, any serves."""
    given, stated = settings.um_per_px, table.um_per_px
    if given and stated and abs(given / stated - 1) > 0.02:
        hint = "leave tables.um_per_px out, or correct it"
        raise CellError(path, found=f"{stated:g} um/px", expected=f"{given:g}, as tables.um_per_px says", hint=hint)
    um = given or stated
    if um is None and table.unit == "um" and not any(settings.offset_px) and _in_um(table):
        return 1.0  # divided out again: QuPath's tables are in um
    if um is None:
        hint = "set tables.um_per_px: of the image in which the cells were found, not of the study's"
        raise CellError(path, found="cells in pixels of unknown size", expected="the um/px", hint=hint)
    return um


def _in_um(table: CellTable) -> bool:
    return table.size_unit == "um" or not {"area", "perimeter"} & table.measures.keys()


def _sizes(table: CellTable, um: float) -> dict[str, Values]:
    """Return size and shape of each cell; what is not positive, or infinite, is none."""
    scale = um if table.size_unit == "px" else 1.0
    given = {name: np.where(_is_usable(values), values, np.nan) for name, values in table.measures.items()}
    found: dict[str, Values] = {}
    if "area" in given:
        found["area_um2"] = given["area"] * scale**2
        found["diameter_um"] = np.sqrt(4 / np.pi * found["area_um2"])
    if "circularity" in given:
        found["circularity"] = given["circularity"]
    elif {"area", "perimeter"} <= given.keys():
        found["circularity"] = circularity(given["area"], given["perimeter"])
    if "eccentricity" in table.measures:
        found["eccentricity"] = table.measures["eccentricity"]  # 0 is a disc's
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def _is_usable(values: Values) -> NDArray[np.bool_]:
    is_usable: NDArray[np.bool_] = (values > 0) & np.isfinite(values)
    return is_usable


def _check_size(path: Path, measures: Mapping[str, Values]) -> None:
    diameter = measures.get("diameter_um", np.empty(0))
    median = float(np.nanmedian(diameter)) if np.isfinite(diameter).any() else None
    if median is not None and not CELL_UM[0] <= median <= CELL_UM[1]:
        found, (low, high) = f"cells of {median:.3g} um (median diameter)", CELL_UM
        hint = "correct the unit of the areas (um2 or px), or tables.um_per_px"
        raise CellError(path, "areas", found=found, expected=f"{low:g} to {high:g} um", hint=hint)


def _first_of_each(places_um: Values) -> NDArray[np.bool_]:
    _, first = np.unique(np.round(places_um / SAME_UM).astype(np.int64), axis=0, return_index=True)
    is_first = np.zeros(len(places_um), bool)
    is_first[first] = True
    return is_first


def _outside(path: Path, section: Section, pixels: Values, shape: tuple[int, int], um: float) -> CellError:
    (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
    found = f"cells at columns {left:.6g} to {right:.6g}, rows {top:.6g} to {bottom:.6g} of the section's pixels"
    expected = f"most of them within its image of {shape[1]:,} x {shape[0]:,} px"
    hint = (
        f"is it of another section than {section.index}? Cells are taken to be in pixels of {um:g} um, the section's "
        f"are of {section.um_per_px:g} um (tables.um_per_px, tables.offset_px)"
    )
    return CellError(path, section.name, found=found, expected=expected, hint=hint)
