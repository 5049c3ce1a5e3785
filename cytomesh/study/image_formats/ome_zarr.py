"""OME-Zarr 0.4 and 0.5."""

from __future__ import annotations

import itertools
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.core.reading import regular_size
from cytomesh.core.remote import RemotePath
from cytomesh.study.image_formats.arrays import ArrayReader, channel_names, count_channels, plane_shape, planes_of
from cytomesh.study.image_formats.part import THE_ONLY, ImagePart
from cytomesh.study.image_formats.reader import (
    HINT_AGAIN,
    HINT_FORMATS,
    ImageHeader,
    ImageLevel,
    known_dtype,
    pyramid_level,
    refuse_size,
)
from cytomesh.study.image_formats.remote_store import open_remote_array
from cytomesh.study.image_formats.zarr_chunks import ZarrChunks, open_array
from cytomesh.study.units import micrometres, square_um

MAX_JSON_BYTES = 2**24
N_NAMED = 3
# Fewer are looked for one by one, without counting files first.
FEW_CHUNKS = 10_000
Stored = Mapping[str, Mapping[str, Any]]


class OmeZarrReader(ArrayReader):
    """A folder that is a group of arrays, one per level; chunks that are not stored are missing, never black."""

    suffixes = ("",)  # whatever a folder is called
    is_folder = True
    reads_addresses = True

    @classmethod
    def read_header(cls, path: Path) -> ImageHeader:
        """Read axes, levels and pixel size of the group's first image."""
        return cls.read_part(path, THE_ONLY)

    @classmethod
    def read_part(cls, path: Path, part: ImagePart) -> ImageHeader:
        """Read the same of one of several planes."""
        part.refuse_scene(path)
        attributes = _attributes(path)
        multiscales = _multiscales(path, attributes)
        names = [axis["name"].lower() for axis in multiscales["axes"]]
        axes = "".join(names)
        levels: list[ImageLevel] = []
        um_per_px, n_channels, dtype = None, 1, "uint8"
        base = (np.ones(len(axes)), np.zeros(len(axes)))
        common = multiscales.get("coordinateTransformations", [])
        for dataset in multiscales["datasets"]:
            array_shape, stored, chunk = _array_facts(path / dataset["path"])
            dtype = _same_dtype(path, dataset["path"], known_dtype(path, stored), dtype if levels else None)
            planes_of(path, axes, array_shape, part)
            refuse_size(path, array_shape, math.prod(chunk), "write it in smaller chunks")
            own = dataset.get("coordinateTransformations", [])
            scale, shift = _transform(path, own, len(axes))
            shape = plane_shape(axes, array_shape)
            rows, columns = names.index("y"), names.index("x")
            if not levels:
                base, n_channels = (scale, shift), count_channels(axes, array_shape)
                steps = _transform(path, [*own, *common], len(axes))[0]
                units = [micrometres(multiscales["axes"][i].get("unit")) for i in (columns, rows)]
                if units[0] and units[1]:
                    um_per_px = square_um(path, float(steps[columns] * units[0]), float(steps[rows] * units[1]))
                levels.append(ImageLevel(dataset["path"], shape))
                continue
            factor, offset = scale / base[0], (shift - base[1]) / base[0]
            level = pyramid_level(dataset["path"], shape, levels[0].shape)
            if shift.any() or base[1].any():
                pair = (float(factor[rows]), float(factor[columns]))
                level = ImageLevel(dataset["path"], shape, pair, (float(offset[rows]), float(offset[columns])))
            levels.append(level)
        labels = [channel.get("label") for channel in attributes.get("omero", {}).get("channels", [])]
        labelled = channel_names(labels, n_channels)
        return ImageHeader(path, n_channels, tuple(levels), um_per_px, axes, dtype, labelled, part=part)

    def open_level(self, level: int) -> Any:
        """Open the array of a level; at addresses zarr's own, which asks for the chunks of a window all at once."""
        path, name = self.header.path, self.header.levels[level].name
        return open_remote_array(path, name) if isinstance(path, RemotePath) else open_array(path / name)

    def load(self, level: int, window: tuple[slice, ...]) -> NDArray[Any]:
        """Decode what an array holds in a window, all of whose chunks must be stored."""
        if isinstance(self.header.path, RemotePath):  # its store refuses what is not there when it is asked for it
            return super().load(level, window)
        if not isinstance(self.array(level), ZarrChunks):  # zarr itself would go on with its fill value
            self._refuse_missing(level, window)
        try:
            return super().load(level, window)
        except Exception:  # whatever a chunk that is not there makes a codec say: first, whether one is missing
            self._refuse_missing(level, window)
            raise

    def check(self) -> None:
        """Look for every chunk, except on web servers, which list none, and decode the last pixel of each level."""
        path = self.header.path
        stored = path.listing() if isinstance(path, RemotePath) else None
        for level in range(len(self.header.levels)):
            if stored is not None or not isinstance(path, RemotePath):
                self._refuse_missing(level, self.window(slice(None), slice(None)), stored)
        super().check()

    def _refuse_missing(self, level: int, window: tuple[slice, ...], stored: Stored | None = None) -> None:
        """Raise ImageError if chunks of a window are not stored: Zarr reads them as its fill value, mostly black."""
        name, array = self.header.levels[level].name, self.array(level)
        if stored is not None:
            stored = {
                key.removeprefix(f"{name}/"): facts for key, facts in stored.items() if key.startswith(f"{name}/")
            }
        lacking, some, n = missing_chunks(self.header.path / name, array, window, stored)
        if lacking:
            names = ", ".join(some) + (", ..." if lacking > len(some) else "")
            found = f"{lacking:,} of {n:,} chunks not stored at level {level} ({names})"
            hint = (
                f"copy the image again; if these chunks are meant to be {array.fill_value} throughout, store them, too "
                "(zarr: write_empty_chunks=True)"
            )
            raise ImageError(self.header.path, found=found, expected="all chunks", hint=hint)


def missing_chunks(
    folder: Path, array: Any, window: tuple[slice, ...], stored: Stored | None = None
) -> tuple[int, list[str], int]:
    """Return how many chunks (shards) of a window of a Zarr array have no file, the first of them, and all there are.

    An empty file is none: Zarr reads an empty shard as its fill value.
    A damaged header may declare any number. Where there are fewer files than chunks, the number is a difference (at
    least), and only as many chunks are looked for as it takes to name a few. `stored` are the files of a folder, and
    what is known of them, if it has been listed.
    """
    spans = []
    for part, n, size in zip(window, array.shape, array.shards or array.chunks, strict=True):
        start, stop, _ = part.indices(n)
        spans.append(range(start // size, -(-stop // size) if stop > start else start // size))
    n_chunks = math.prod(map(len, spans))
    lacking = (
        key
        for place in _product(spans)
        for key in [array.metadata.encode_chunk_key(place)]
        if not (_is_stored(folder / key) if stored is None else stored.get(key, {}).get("size"))
    )
    n_files = n_chunks if n_chunks <= FEW_CHUNKS else _count_files(folder, n_chunks) if stored is None else len(stored)
    least = n_chunks - n_files
    named = list(itertools.islice(lacking, N_NAMED))
    return (least if least > 0 else len(named) + sum(1 for _ in lacking)), named, n_chunks


def _is_stored(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def _product(spans: Sequence[range]) -> Iterator[tuple[int, ...]]:
    """Yield all places; `itertools.product` would list each span first."""
    if not spans:
        yield ()
        return
    for first in spans[0]:
        for rest in _product(spans[1:]):
            yield first, *rest


def _count_files(folder: Path, enough: int) -> int:
    """Return how many files are in a folder and below, counted no further than `enough`."""
    n = 0
    for _, _, names in os.walk(folder):
        n += len(names)
        if n >= enough:
            break
    return n


def _same_dtype(path: Path, level: str, dtype: str, first: str | None) -> str:
    if first not in (None, dtype):
        raise ImageError(path, f"level {level}", found=dtype, expected=f"{first}, as the first level", hint=HINT_AGAIN)
    return dtype


def _attributes(path: Path) -> Any:
    """Read OME-Zarr metadata: 0.5 keeps it in zarr.json under "ome", 0.4 in .zattrs."""
    if (path / "zarr.json").is_file():
        return _json(path / "zarr.json").get("attributes", {}).get("ome", {})
    if (path / ".zattrs").is_file():
        return _json(path / ".zattrs")
    raise ImageError(
        path, found="a folder without zarr.json or .zattrs", expected="an OME-Zarr image", hint=HINT_FORMATS
    )


def _multiscales(path: Path, attributes: Any) -> Any:
    """Return axes and levels of the group's first image."""
    if not attributes.get("multiscales"):
        raise ImageError(
            path,
            found="no 'multiscales' metadata",
            expected="OME-Zarr 0.4 or 0.5",
            hint="point to the image group itself",
        )
    multiscales = attributes["multiscales"][0]
    if not all(isinstance(axis, dict) for axis in multiscales.get("axes", [""])):
        found = f"OME-Zarr {multiscales.get('version', 'before 0.4')}"
        hint = "write it as OME-Zarr 0.4 or 0.5, whose axes have names and units"
        raise ImageError(path, found=found, expected="OME-Zarr 0.4 or 0.5", hint=hint)
    return multiscales


def _array_facts(path: Path) -> tuple[tuple[int, ...], str, tuple[int, ...]]:
    """Return shape, type and chunk of an array; of a sharded one the shard."""
    if (path / "zarr.json").is_file():
        facts = _json(path / "zarr.json")
        return tuple(facts["shape"]), facts["data_type"], tuple(facts["chunk_grid"]["configuration"]["chunk_shape"])
    if (path / ".zarray").is_file():
        facts = _json(path / ".zarray")
        return tuple(facts["shape"]), facts["dtype"], tuple(facts["chunks"])
    raise ImageError(
        path, found="no array", expected="the level that the image's metadata names", hint="copy the image again"
    )


def _transform(
    path: Path, transforms: list[dict[str, Any]], n: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return scale and shift, (n,), of transforms that follow one another: a dataset's, then those of all levels."""
    scale, shift = np.ones(n), np.zeros(n)
    for transform in transforms:
        if transform["type"] == "scale":
            step = np.asarray(transform["scale"], float)
            if not (np.isfinite(step) & (step > 0)).all():
                hint = "turn the pixels themselves, and write positive scales"
                raise ImageError(path, found=f"scale {step.tolist()}", expected="positive numbers", hint=hint)
            scale, shift = scale * step, shift * step
        elif transform["type"] == "translation":
            shift = shift + np.asarray(transform["translation"], float)
    return scale, shift


def _json(path: Path) -> Any:
    regular_size(path, MAX_JSON_BYTES)
    return json.loads(path.read_text(encoding="utf-8"))
