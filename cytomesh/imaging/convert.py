"""Images of any size to OME-Zarr: compressed, with levels of area averages, in bounded memory; sharded in 0.5."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from cytomesh.core.digests import content_digest
from cytomesh.core.errors import ImageError
from cytomesh.core.files import clear_partial, remove, replace_folder, settle_folder
from cytomesh.core.parallel import mapping
from cytomesh.core.progress import log, track
from cytomesh.core.remote import RemotePath
from cytomesh.core.run import lock
from cytomesh.imaging.halving import halve, halved_levels
from cytomesh.imaging.ome_zarr import CHUNK_PX, OmeVersion, image_attributes, multiscales
from cytomesh.imaging.pyramid import open_stored
from cytomesh.study.image_formats.ome_zarr import missing_chunks
from cytomesh.study.image_formats.part import THE_ONLY, ImagePart
from cytomesh.study.image_formats.reader import ImageHeader
from cytomesh.study.image_formats.registry import data_folder, read_header, reader_of
from cytomesh.study.units import PIXEL_SIZE_TOLERANCE

# One file for so many pixels a side: an image of 100,000 x 136,000 px has some 4,500, and a window reads chunks of one.
# Without shards, what a process writes at once.
SHARD_PX = 2048
# What is read at once, of RGB several shards.
WINDOW_BYTES = 3 * 2**25
ZSTD_LEVEL = 3
MADE_FROM = "made_from"


@dataclass(frozen=True, slots=True)
class _Conversion:
    """An image on its way: where it comes from, where and how it is written, and the size of each level."""

    source: Path
    work: Path
    shapes: tuple[tuple[int, int], ...]
    decodes_whole: bool
    part: ImagePart
    ome_version: OmeVersion


def convert_image(
    source: Path,
    target: Path,
    um_per_px: float | None = None,
    *,
    workers: int = 1,
    resume: bool = True,
    part: ImagePart = THE_ONLY,
    ome_version: OmeVersion = "0.5",
) -> bool:
    """Write an image as OME-Zarr: chunks of 512 px, in shards of 2048 px, zstd, halved until 256 px are left.

    OME-Zarr 0.4 has no shards, and Blosc's LZ4, as bioformats2raw writes it.

    Pixels are copied as they are stored, in their type and with all channels and their names: window and channels stay
    in the manifest. Only transparency is not: its pixels are white. Levels of the source other than its finest are
    not used: all are area averages of 2 x 2 pixels. In the end the
    finest level is read back and compared with the source, pixel by pixel. Where a conversion was stopped, the same
    call goes on.

    Parameters
    ----------
    source : Path
        What `open_image` reads.
    target : Path
        Folder to write, usually `*.ome.zarr`. A finished conversion of the same image is kept, as is one that is the
        source itself, which studies name once they are updated; one of another image under this name is replaced;
        nothing else is.
    um_per_px : float or None
        Pixel size; None: what the image states.
    workers : int
        Processes. PNG and JPEG can only be decoded as a whole, by one.
    resume : bool
        False: convert again whatever is there.
    part : ImagePart
        Which image of a file of several.
    ome_version : "0.5" or "0.4"
        That is written.

    Returns
    -------
    bool
        Whether it was converted, and not kept.

    Raises
    ------
    ImageError
        If the image cannot be read, its pixel size is not known or contradicts what it states, or the copy is not the
        image; if `target` is there and no conversion.
    """
    header = read_header(source, part)
    size = _pixel_size(source, header.um_per_px, um_per_px)
    made_from = {"name": source.name, "content": content_digest(source), "um_per_px": size}
    if folder := data_folder(source):
        made_from["data"] = content_digest(folder)
    made_from |= part.facts
    if ome_version != "0.5":  # which conversions that are there do not say
        made_from["ome_version"] = ome_version
    with lock(target.parent, target.name):
        settle_folder(target)
        before = _made_from(target)
        if target.exists() and before is None:
            hint = "choose another name, or remove it"
            raise ImageError(target, found="something that is no conversion", expected="a new name", hint=hint)
        is_itself = before is not None and not isinstance(source, RemotePath) and target.samefile(source)
        if is_itself or (resume and before == made_from):
            log(f"{target}: kept")
            return False
        if before is not None and resume:
            changed = ", ".join(
                f"{key} {before.get(key)} -> {made_from[key]}" for key in made_from if before.get(key) != made_from[key]
            )
            log(f"{target}: converted again: {changed}")
        _convert(source, target, header, made_from, workers, resume, ome_version)
        log(f"{target}: every pixel equals that of {source}")
    return True


def _convert(
    source: Path,
    target: Path,
    header: ImageHeader,
    made_from: dict[str, Any],
    workers: int,
    resume: bool,
    ome_version: OmeVersion,
) -> None:
    work = target.with_name(f".next-{target.name}")
    if not resume or _made_from(work) != made_from:
        remove(work)
    clear_partial(work)
    for path in work.rglob("*.partial"):  # zarr's own, of a process that was killed
        path.unlink()
    shapes = tuple(level.shape for level in halved_levels(header.shape))
    job = _Conversion(source, work, shapes, reader_of(source).decodes_whole, header.part, ome_version)
    if not work.exists():
        _create(job, target.name, header, made_from)
    with mapping(workers) as apply:
        for level in range(len(shapes)):
            title = f"{source.name}: level {level} of {len(shapes) - 1}"
            _each_row(job, level, partial(_write_row, job, level), title, apply)
        _each_row(job, 0, partial(_compare_row, job), f"{source.name}: compare", apply)
    replace_folder(work, target)


def _pixel_size(source: Path, stated: float | None, given: float | None) -> float:
    size = given or stated
    if size is None:
        hint = "say it (--um-per-px); the finest level's is meant"
        raise ImageError(source, found="no pixel size in the image", expected="um per pixel", hint=hint)
    if stated and given and abs(stated / given - 1) > PIXEL_SIZE_TOLERANCE:
        found = f"{stated:g} um/px in the image, {given:g} given"
        hint = "correct whichever is wrong: the section table, --um-per-px, or the image's metadata"
        raise ImageError(source, found=found, expected="the same", hint=hint)
    return size


def _made_from(folder: Path) -> Any:
    """Return what a folder was converted from; None if it is no conversion, not even a begun one."""
    try:
        return zarr.open_group(str(folder), mode="r").attrs[MADE_FROM]
    except (KeyError, OSError, ValueError):
        return None


def _create(job: _Conversion, name: str, header: ImageHeader, made_from: dict[str, Any]) -> None:
    """Write the metadata of all levels, and what they are made from last: without that, they are begun anew."""
    axes = "yx" if header.n_channels == 1 else "cyx"
    group = zarr.create_group(store=str(job.work), zarr_format=2 if job.ome_version == "0.4" else 3)
    channels = () if axes == "yx" else (header.n_channels,)
    for level, shape in enumerate(job.shapes):
        chunks = tuple(min(CHUNK_PX, n) for n in shape)
        how: dict[str, Any]
        if job.ome_version == "0.4":
            how = {
                "compressors": Blosc(cname="lz4", clevel=5),
                "chunk_key_encoding": {"name": "v2", "separator": "/"},
                "fill_value": 0,
            }
        else:
            how = {
                "shards": (*channels, *_blocks(chunks, shape)),
                "compressors": ZstdCodec(level=ZSTD_LEVEL, checksum=True),
                "dimension_names": list(axes),
            }
        one_each = tuple(1 for _ in channels)
        group.create_array(
            str(level), shape=(*channels, *shape), dtype=header.dtype, chunks=(*one_each, *chunks), **how
        )
    entries = [multiscales(name, axes, made_from["um_per_px"], len(job.shapes))]
    group.attrs.update(image_attributes(entries, header.channel_names, job.ome_version))
    group.attrs[MADE_FROM] = made_from


def _blocks(chunks: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the rows and columns that are written at once: whole chunks, and the shard where there are shards."""
    return tuple(min(SHARD_PX // own, -(-n // own)) * own for n, own in zip(shape[-2:], chunks[-2:], strict=True))


def _each_row(job: _Conversion, level: int, do: Any, title: str, apply: Any) -> None:
    """Do something for all rows of shards of a level; files that are decoded whole are opened once."""
    height = job.shapes[level][0]
    array = _array(job, level)
    step, _ = _blocks(array.chunks, array.shape)
    rows = [(top, min(top + step, height)) for top in range(0, height, step)]
    batches = [rows] if job.decodes_whole and level == 0 else [[row] for row in rows]
    # for a single one, no process has to begin
    done = apply(do, batches) if len(batches) > 1 else map(do, batches)
    for _ in track(done, title, len(batches), unit="rows of shards"):
        pass


def _write_row(job: _Conversion, level: int, rows: list[tuple[int, int]]) -> None:
    """Write rows of shards from the source, or as means of the level before; whole ones are kept."""
    array, whole = _array(job, level), (0, job.shapes[level][1])
    missing = [row for row in rows if missing_chunks(job.work / str(level), array, _window(array, row, whole))[0]]
    if not missing:
        return
    if level == 0:
        with open_stored(job.source, part=job.part) as image:
            for row, columns in _windows(job, level, missing):
                _put(array, row, columns, image.read(0, *row, *columns))
        return
    finer, (height, width) = _array(job, level - 1), job.shapes[level - 1]
    for row, columns in _windows(job, level, missing):
        above = 2 * row[0], min(2 * row[1], height)
        beside = 2 * columns[0], min(2 * columns[1], width)
        _put(array, row, columns, halve(_get(finer, above, beside)))


def _compare_row(job: _Conversion, rows: list[tuple[int, int]]) -> None:
    """Read rows of level 0 back: they must be those of the source."""
    array = _array(job, 0)
    with open_stored(job.source, part=job.part) as image:
        for row, columns in _windows(job, 0, rows):
            if not np.array_equal(_get(array, row, columns), image.read(0, *row, *columns)):
                found = f"other pixels in rows {row[0]} to {row[1]}, columns {columns[0]} to {columns[1]}"
                hint = "the disk, or the memory, of this machine may be faulty; convert again without resuming"
                raise ImageError(job.work, found=found, expected=f"those of {job.source}", hint=hint)


def _windows(
    job: _Conversion, level: int, rows: list[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield rows with columns: as many whole shards side by side as are read at once."""
    array, width = _array(job, level), job.shapes[level][1]
    block = _blocks(array.chunks, array.shape)
    finer = 1 if level == 0 else 4
    px_bytes = array.dtype.itemsize * math.prod(array.shape[:-2])
    step = max(1, WINDOW_BYTES // (max(3, px_bytes) * finer * block[0] * block[1])) * block[1]
    for row in rows:
        for left in range(0, width, step):
            yield row, (left, min(left + step, width))


def _array(job: _Conversion, level: int) -> Any:
    # chunks that are black throughout are stored, too: one that is not there has been lost
    with zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(str(job.work / str(level)), mode="r+")


def _window(array: Any, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[slice, ...]:
    return (*(slice(None),) * (array.ndim - 2), slice(*rows), slice(*columns))


def _get(array: Any, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
    """Read a window, (rows, columns, channels)."""
    values = np.asarray(array[_window(array, rows, columns)])
    return values[..., None] if values.ndim == 2 else np.moveaxis(values, 0, 2)


def _put(array: Any, rows: tuple[int, int], columns: tuple[int, int], pixels: NDArray[Any]) -> None:
    """Write whole shards."""
    values = pixels[..., 0] if array.ndim == 2 else np.moveaxis(pixels, 2, 0)
    array[_window(array, rows, columns)] = np.ascontiguousarray(values)
