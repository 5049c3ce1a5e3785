"""The study's areas: label tables, and probability maps sampled in the reference space."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.errors import AtlasError
from cytomesh.core.files import atomic_path, write_text
from cytomesh.core.labels import LabelTable
from cytomesh.study.contour_formats.features import composed
from cytomesh.study.manifest import AtlasConfig
from cytomesh.study.nifti import Nifti, open_nifti
from cytomesh.study.tables import read_cells, table_text

COLUMNS = ("index", "name", "r", "g", "b", "a")
# Resampling overshoots 0 and 1 a little; values beyond this are no probabilities.
OVERSHOOT = 1e-3
# Areas that were averaged and smoothed one by one add up to more than 1 in places: Julich-Brain's two most probable
# ones to more than 1.5 in 0.3 % of the voxels. Ten times that is no accident.
MAX_SUM, MAX_OVER = 1.5, 0.03
BLOCK_BYTES = 1 << 28
PROBABLE, SAMPLED = 0.5, 20_000


def read_labels(path: Path) -> LabelTable:
    """Read a label table (TSV: index, name, r, g, b, a; colours 0-255); one without rows names no area.

    Raises
    ------
    AtlasError
        If the file is missing, a column is missing, or an index or name is wrong or listed twice.
    """
    try:
        header, *lines = read_cells(path) or [[]]
    except FileNotFoundError as cause:
        raise AtlasError(path, found="no such label table", hint="correct atlas.labels in the manifest") from cause
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise AtlasError(path, found=f"a table that cannot be read ({cause})", expected="UTF-8 TSV") from cause
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise AtlasError(
            path, "line 1", found=f"no column {', '.join(missing)}", expected=f"columns {', '.join(COLUMNS)}"
        )
    indices: list[int] = []
    names: list[str] = []
    colours: list[list[float]] = []
    for line, cells in enumerate(lines, start=2):
        if not cells:
            continue
        row = dict(zip(header, [*cells, *[""] * len(header)], strict=False))
        try:
            indices.append(int(row["index"]))
            names.append(row["name"])
            colours.append([int(row[channel]) / 255 for channel in COLUMNS[2:]])
        except (TypeError, ValueError, OverflowError) as cause:
            raise AtlasError(
                path, f"line {line}", found=str(cause), expected="whole numbers in index, r, g, b, a"
            ) from cause
        if not all(0 <= value <= 1 for value in colours[-1]) or not row["name"]:
            raise AtlasError(
                path, f"line {line}", found=f"colour or name out of range: {row}", expected="a name and 0-255"
            )
    try:
        return LabelTable(tuple(indices), tuple(names), np.array(colours).reshape(-1, 4))
    except AtlasError as cause:
        raise AtlasError(path, found=cause.found, expected=cause.expected, hint=cause.hint) from cause


def write_labels(path: Path, table: LabelTable) -> None:
    """Write a label table as TSV."""
    write_text(path, labels_text(table))


def labels_text(table: LabelTable) -> str:
    """Return a label table as TSV."""
    rows = [map(str, (index, name, *np.round(255 * colour).astype(int))) for index, name, colour in table.rows()]
    return table_text([COLUMNS, *rows])


@dataclass(frozen=True, slots=True)
class Atlas:
    """Probability maps of areas in the reference space; volumes are read one at a time when sampled.

    Parameters
    ----------
    labels : LabelTable
        Areas; column j of what `sample` returns is row j of the table.
    maps : Path or dict of str to Path
        One 4D NIfTI with a volume per row of the table, or a 3D NIfTI by area name (areas without one: zero).
    space : str
        Name of the space the maps are in.

    Raises
    ------
    AtlasError
        If a map is given for an area that the table doesn't have.
    """

    labels: LabelTable
    maps: Path | Mapping[str, Path]
    space: str

    def __post_init__(self) -> None:
        if not isinstance(self.maps, Path):
            for name in self.maps:
                _area(self.labels, name, "atlas.probability_maps")

    def sample(self, positions: NDArray[np.float64]) -> sp.csr_matrix:
        """Return (n, n_areas) float32 probabilities at (n, 3) reference positions in mm, trilinear, 0 outside the maps.

        Raises
        ------
        AtlasError
            If a map is missing, unreadable or no probability, or if most positions lie outside it, as they do
            when it is in another space.
        """
        positions = np.asarray(positions, np.float64)
        if isinstance(self.maps, Path):
            image = self._open_stack(self.maps)
            sampler = _Sampler(self.maps, image.affine, image.shape[:3], positions)
            columns = [sampler(volume, name) for volume, name in zip(_volumes(image), self.labels.names, strict=True)]
        else:
            samplers: dict[bytes, _Sampler] = {}
            columns = [self._sample_area(name, positions, samplers) for name in self.labels.names]
        return sp.csr_matrix(sp.hstack(columns, format="csr", dtype=np.float32))

    @property
    def source(self) -> Path:
        """The file of the maps, or the first of them."""
        return self.maps if isinstance(self.maps, Path) else next(iter(self.maps.values()), Path())

    def check(self) -> NDArray[np.float64]:
        """Read all maps, and return (n, 3) positions of voxels, mm, where areas are probable: a sample of them.

        Raises
        ------
        AtlasError
            If a map is missing, of the wrong shape, zero throughout, or no probability, nor their sum.
        """
        sums: dict[tuple[int, ...], NDArray[np.float32]] = {}  # by grid: maps of one shape are taken to share it
        affines: dict[tuple[int, ...], NDArray[np.float64]] = {}

        def add(path: Path, name: str, volume: Any, affine: NDArray[np.float64]) -> None:
            values = _probabilities(path, name, volume)
            values = values.reshape(values.shape[:3])
            affines.setdefault(values.shape, affine)
            sums[values.shape] = sums.get(values.shape, np.float32(0)) + values

        source = self.source
        if isinstance(self.maps, Path):
            image = self._open_stack(source)
            for volume, name in zip(_volumes(image), self.labels.names, strict=True):
                add(source, name, volume, image.affine)
            if not any(total.any() for total in sums.values()):
                raise _empty(source)
        else:
            for name, path in self.maps.items():
                image = _open_volume(path)
                values = image.read(np.float32)
                if not values.any():
                    raise _empty(path)
                add(path, name, values, image.affine)
        for total in sums.values():
            n_over, n_any = int((total > MAX_SUM).sum()), int((total > OVERSHOOT).sum())
            if n_over > MAX_OVER * n_any:
                found = f"{n_over} voxels ({n_over / n_any:.0%}) where probabilities add up, to {total.max():.2f}"
                hint = "is an area there twice, or in a map that holds several?"
                raise AtlasError(source, found=found, expected="at most 1 over all areas", hint=hint)
        return np.concatenate([np.empty((0, 3)), *(_probable(sums[shape], affines[shape]) for shape in sums)])

    def _open_stack(self, path: Path) -> Nifti:
        image = _open_nifti(path)
        if len(image.shape) != 4 or image.shape[3] != len(self.labels):
            hint = "volume j must be row j of the label table; or give one 3D file an area"
            expected = f"a 4D map with {len(self.labels)} volumes, one per label"
            raise AtlasError(path, found=f"shape {image.shape}", expected=expected, hint=hint)
        return image

    def _sample_area(self, name: str, positions: NDArray[np.float64], samplers: dict[bytes, _Sampler]) -> sp.csc_matrix:
        if isinstance(self.maps, Path) or name not in self.maps:
            return sp.csc_matrix((len(positions), 1), dtype=np.float32)
        path = self.maps[name]
        image = _open_volume(path)
        key = image.affine.tobytes() + str(image.shape[:3]).encode()  # most maps share one grid
        if key not in samplers:
            samplers[key] = _Sampler(path, image.affine, image.shape[:3], positions)
        return samplers[key](image.read(np.float32).reshape(image.shape[:3]), name)


def load_atlas(settings: AtlasConfig, labels: LabelTable, space: str, manifest: Path) -> Atlas | None:
    """Make the study's atlas; None if it has labels only.

    Raises
    ------
    AtlasError
        If the maps are in another space than the study, or name an unknown area.
    """
    if settings.space != space:
        hint = "resample the maps into the study's space (or correct the name, if they are in it)"
        raise AtlasError(
            manifest, "atlas.space", found=f"'{settings.space}'", expected=f"the study's space '{space}'", hint=hint
        )
    maps = settings.probability_maps
    if maps is None:
        return None
    if isinstance(maps, Path):
        return Atlas(labels, manifest.parent / maps, space)
    return Atlas(labels, {composed(name): manifest.parent / path for name, path in maps.items()}, space)


def write_probability_maps(path: Path, values: NDArray[np.floating], affine: NDArray[np.float64]) -> None:
    """Write (i, j, k, n_areas) probabilities as 4D NIfTI, float32, mm, whole or not at all."""
    image = nib.Nifti1Image(np.asarray(values, np.float32), affine)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


class _Sampler:
    """Trilinear weights of positions in one grid, computed once and applied to one volume after the other."""

    def __init__(
        self, path: Path, affine: NDArray[np.float64], shape: tuple[int, ...], positions: NDArray[np.float64]
    ) -> None:
        self.path, self.n, size = path, len(positions), np.array(shape)
        inverse = np.linalg.inv(affine)
        grid = positions @ inverse[:3, :3].T + inverse[:3, 3]
        inside = ((grid > -1) & (grid < size)).all(axis=1)
        if self.n and inside.mean() < 0.5:
            raise AtlasError(
                path,
                found=f"{100 * (1 - inside.mean()):.0f} % of the positions outside the map's grid",
                expected="a map in the study's reference space",
                hint="check to_reference of the brain and the affine of the map (RAS, mm)",
            )
        self.rows = np.flatnonzero(inside)
        floor = np.floor(grid[inside]).astype(np.int64)
        part = grid[inside] - floor
        corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(8, 3)
        at = floor[:, None] + corners  # (m, 8, 3)
        weights = np.where(corners, part[:, None], 1 - part[:, None]).prod(axis=2)
        self.weights = (weights * ((at >= 0) & (at < size)).all(axis=2)).astype(np.float32)
        self.indices = np.ravel_multi_index(np.moveaxis(np.clip(at, 0, size - 1), 2, 0), shape)

    def __call__(self, volume: Any, area: str) -> sp.csc_matrix:
        values = _probabilities(self.path, area, volume)
        sampled = np.clip((values.ravel()[self.indices] * self.weights).sum(axis=1), 0, 1)
        kept = sampled > 0
        entries = (sampled[kept], (self.rows[kept], np.zeros(int(kept.sum()), np.int64)))
        return sp.csc_matrix(entries, shape=(self.n, 1), dtype=np.float32)


def _probabilities(path: Path, area: str, volume: Any) -> NDArray[np.float32]:
    values = np.asarray(volume, np.float32)
    low, high = float(values.min()), float(values.max())
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):  # false for NaN, too
        hint = "divide by 100 or 255 if the map is in percent or 8-bit; set NaN to 0"
        found = f"values from {low:g} to {high:g}"
        raise AtlasError(path, f"area '{area}'", found=found, expected="probabilities, 0 to 1", hint=hint)
    return values


def _probable(total: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 3) positions of voxels where areas are as probable as half of what they are at most, a sample."""
    flat = np.flatnonzero(total >= PROBABLE * total.max())
    grid = np.column_stack(np.unravel_index(flat[:: max(1, flat.size // SAMPLED)], total.shape))
    return np.asarray(grid @ affine[:3, :3].T + affine[:3, 3], np.float64)


def _empty(path: Path) -> AtlasError:
    return AtlasError(path, found="zero throughout", expected="probabilities of areas", hint="export the map again")


def _volumes(image: Nifti) -> Iterator[NDArray[np.float32]]:
    """Iterate over the volumes of a 4D map, a block at a time: a compressed file is read from its start for each."""
    n = image.shape[3]
    size = max(1, BLOCK_BYTES // (4 * int(np.prod(image.shape[:3]))))
    for start in range(0, n, size):
        block = image.read(np.float32, (..., slice(start, min(start + size, n))))
        yield from np.moveaxis(block, 3, 0)


def _area(labels: LabelTable, name: str, place: str) -> int:
    try:
        return labels.index(name)
    except AtlasError as cause:
        hint = "correct the name, or add the area to the label table"
        raise AtlasError(place, found=cause.found, expected=cause.expected, hint=hint) from cause


def _open_volume(path: Path) -> Nifti:
    image = _open_nifti(path)
    if len(image.shape) < 3 or any(n != 1 for n in image.shape[3:]):
        raise AtlasError(path, found=f"shape {image.shape}", expected="a 3D map")
    return image


def _open_nifti(path: Path) -> Nifti:
    return open_nifti(path, AtlasError, missing="no such probability map", hint="correct atlas.probability_maps")
