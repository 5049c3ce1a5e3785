"""Which reader an image goes to; other packages add theirs (see `Registry`)."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from functools import lru_cache, partial
from pathlib import Path

from cytomesh.core.errors import CytomeshError, ImageError
from cytomesh.core.registry import Registry, by_suffix
from cytomesh.core.remote import RemotePath
from cytomesh.study.image_formats.part import THE_ONLY, ImagePart
from cytomesh.study.image_formats.reader import HINT_FORMATS, ImageHeader, ImageReader, check_header, named
from cytomesh.study.problems import attempt

# Of addresses, so many are remembered.
MOST_HEADERS = 2**14

IMAGE_READERS: Registry[ImageReader] = Registry(
    "cytomesh.image_readers",
    ImageReader,
    {
        "ome_zarr": "cytomesh.study.image_formats.ome_zarr:OmeZarrReader",
        "tiff": "cytomesh.study.image_formats.tiff:TiffReader",
        "plain": "cytomesh.study.image_formats.plain:PlainReader",
        "slide": "cytomesh.study.image_formats.slide:SlideReader",
        "czi": "cytomesh.study.image_formats.czi:CziReader",
        "nifti": "cytomesh.study.image_formats.nifti_slices:NiftiReader",
    },
)


def read_header(path: Path, part: ImagePart = THE_ONLY) -> ImageHeader:
    """Read an image's header; of a file that holds several, that of the one that is meant.

    Raises
    ------
    ImageError
        If the image is missing, unreadable, of an unknown format or pixel type, or its values are not what they would
        be taken for: intensities of square pixels, stored upright.
    PackageError
        If its format needs a package that is not installed.
    """
    if isinstance(path, RemotePath):
        status = refuse_no_file(path)
        return _remote_header(path, part, (status.st_ino, status.st_size, status.st_mtime_ns))
    return _read_header(path, part)


def header_if_readable(path: Path | None, part: ImagePart) -> ImageHeader | None:
    """Return an image's header; None without an image, or if it cannot be read, which those say who check images."""
    return None if path is None else attempt([], partial(read_header, path, part))


def _read_header(path: Path, part: ImagePart) -> ImageHeader:
    kind = reader_of(path)
    with named(path, "an image that cannot be read", "export or copy the image again; " + HINT_FORMATS):
        return check_header(path, kind.read_part(path, part))


@lru_cache(MOST_HEADERS)
def _remote_header(path: RemotePath, part: ImagePart, _state: tuple[int, int, int]) -> ImageHeader:
    """Read a header once for as long as the server says that the image is the same: a dozen answers are one."""
    return _read_header(path, part)


def open_reader(header: ImageHeader) -> ImageReader:
    """Open an image whose header has been read.

    Raises
    ------
    ImageError
        If it cannot be opened.
    """
    with named(header.path, "an image that cannot be read"):
        return _reader_kind(header.path, is_folder=header.path.is_dir())(header)


def reader_of(path: Path) -> type[ImageReader]:
    """Return the reader that an image goes to, by its name.

    Raises
    ------
    ImageError
        If the image is missing, or of an unknown format.
    """
    return _reader_kind(path, is_folder=stat.S_ISDIR(refuse_no_file(path).st_mode))


def data_folder(path: Path) -> Path | None:
    """Return where the pixels of an image are that is named by another file, as MIRAX does; None for all others."""
    if path.suffix.lower() != ".mrxs":
        return None
    folder = path.with_suffix("")
    return folder if folder.is_dir() else None


def check_pixels(header: ImageHeader) -> None:
    """Check that an image is whole, without decoding all of it where its format allows that.

    A PNG's checksums are compared, a JPEG is decoded at an eighth of its size; of a TIFF every tile must lie within
    the file, of an OME-Zarr every chunk be there; of every stored level the last tile is decoded.

    Raises
    ------
    ImageError
        If something is missing or cannot be decoded.
    """
    with named(header.path, "an image that is damaged or cut off"), closing(open_reader(header)) as reader:
        reader.check()


def decode_all(header: ImageHeader) -> None:
    """Decode every stored pixel of an image, after `check_pixels`.

    Raises
    ------
    ImageError
        If something is missing or cannot be decoded.
    """
    check_pixels(header)
    with named(header.path, "pixels that cannot be decoded"), closing(open_reader(header)) as reader:
        reader.decode_all()


def _reader_kind(path: Path, *, is_folder: bool) -> type[ImageReader]:
    """Return the reader with the longest suffix that a name ends with."""
    kind = by_suffix({name: kind for name, kind in IMAGE_READERS.items() if kind.is_folder == is_folder}, path)
    if kind is None:
        added = [end for name in IMAGE_READERS if name not in IMAGE_READERS.own for end in IMAGE_READERS[name].suffixes]
        hint = HINT_FORMATS + (f", or what installed packages read ({', '.join(added)})" if added else "")
        raise ImageError(path, found=f"unknown image format '{path.suffix}'", hint=hint)
    if isinstance(path, RemotePath) and not kind.reads_addresses:
        expected = "OME-Zarr, TIFF, PNG or JPEG; others are read from disks"
        hint = "copy it, convert the copy (cytomesh images convert), and put that there"
        raise ImageError(path, found=f"a {path.suffix} image at an address", expected=expected, hint=hint)
    return kind


def refuse_no_file(path: Path) -> os.stat_result:
    """Return the status of a file or folder; raise ImageError for anything else: a pipe would be waited for."""
    try:
        status = path.stat()
    except CytomeshError:
        raise
    except (OSError, ValueError) as cause:  # ValueError: a NUL in the name
        reason = "" if isinstance(cause, FileNotFoundError) else f" ({getattr(cause, 'strerror', None) or cause})"
        hint = "correct the path in the section table, or declare the section missing"
        raise ImageError(path, found=f"no such image{reason}", hint=hint) from cause
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ImageError(path, found="a pipe, socket or device", expected="a file or folder", hint=HINT_FORMATS)
    return status
