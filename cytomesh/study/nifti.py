"""NIfTI files of other programs: one reader, that checks where a volume lies and what it holds before it is used."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import DTypeLike, NDArray

from cytomesh.core.errors import CytomeshError
from cytomesh.core.progress import warn
from cytomesh.core.reading import regular_size, why_not

MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
# Deflate makes data at most 1,032 times smaller: what would be larger cannot be in the file.
GZIP_RATIO = 1032
# sform and qform are 32-bit numbers; beyond this share of a voxel, at any corner, they are different places.
SAME_PLACE_VOXELS = 0.5
MAX_CONDITION = 1e8
# What is read at once: 2 GiB of single precision.
MAX_VALUES = 2**29
CHUNK = 2**22
# What is packed, in small pieces: each of thousands of members would copy the rest of a large one.
PACKED = 2**16
GZIP = b"\x1f\x8b"
# Some programs write a little beyond the last voxel.
MAX_REST = 2**16


@dataclass(frozen=True, slots=True)
class Nifti:
    """The header of a NIfTI file, checked; values are read on demand.

    Parameters
    ----------
    path : Path
    error : subclass of CytomeshError
        What is raised if the values turn out to be damaged.
    image : nibabel image
    affine : (4, 4) float64
        Grid indices to world: RAS, mm whatever the unit in the header.
    unit : {"unknown", "mm", "meter", "micron"}
        Unit of length in the header.
    is_oriented : bool
        Whether the header says where the volume lies (sform or qform).
    intent : int
        Intent code, such as 1007 for vectors.
    """

    path: Path
    error: type[CytomeshError]
    image: Any
    affine: NDArray[np.float64]
    unit: str
    is_oriented: bool
    intent: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the grid."""
        return tuple(map(int, self.image.shape))

    def read(self, dtype: DTypeLike | None = None, part: Any = ...) -> NDArray[Any]:
        """Return the values, or a part of them (an index), scaled as the header says; `dtype` None: as stored."""
        wanted = math.prod(self.shape) if part is ... else 0
        if wanted > MAX_VALUES:
            expected = f"at most {MAX_VALUES:,} values, which are read at once"
            raise self.error(self.path, found=f"shape {self.shape}", expected=expected, hint="crop or resample it")
        try:
            return np.asarray(self.image.dataobj[part], dtype)
        except Exception as cause:  # gzip, zlib and nibabel raise many kinds; all mean a damaged file
            found = f"values that cannot be read ({why_not(cause, self.path)})"
            raise self.error(self.path, found=found, hint="write or download it again") from cause


def open_nifti(
    path: Path, error: type[CytomeshError], *, missing: str, hint: str = "", needs_place: bool = True
) -> Nifti:
    """Open a NIfTI file (`.nii`, `.nii.gz`).

    Parameters
    ----------
    error : subclass of CytomeshError
        What is raised.
    missing, hint : str
        What is said to be found, and the way out, if there is no such file.
    needs_place : bool
        Whether the volume is of use only where its header says where it lies.

    Raises
    ------
    CytomeshError
        Of the kind `error`: if the file is missing, damaged, larger than can be in it, in colours, or if its
        orientation is absent, singular or said in two ways.
    """
    try:
        regular_size(path)
        image = nib.load(path, keep_file_open=False)
    except FileNotFoundError as cause:
        raise error(path, found=missing, hint=hint) from cause
    except Exception as cause:  # nibabel's readers raise what they like on damaged headers
        found = f"a file that cannot be read ({why_not(cause, path)})"
        raise error(path, found=found, expected="NIfTI", hint="write or download it again") from cause
    if not isinstance(image, nib.Nifti1Pair):
        raise error(path, found=type(image).__name__, expected="NIfTI", hint="convert it, e.g. by mri_convert")
    header = image.header
    _check_values(path, error, image)
    try:
        unit = str(header.get_xyzt_units()[0])
        factor = MM_PER_UNIT[unit]
    except KeyError as cause:
        known = ", ".join(MM_PER_UNIT)
        raise error(path, found=f"xyzt_units {int(header['xyzt_units'])}", expected=f"one of {known}") from cause
    is_oriented = bool(header["sform_code"] or header["qform_code"])
    if needs_place:
        _check_place(path, error, image)
    affine = np.diag([factor, factor, factor, 1.0]) @ np.asarray(image.affine, np.float64)
    return Nifti(path, error, image, affine, unit, is_oriented, int(header["intent_code"]))


def _check_values(path: Path, error: type[CytomeshError], image: Any) -> None:
    """Refuse colours, and grids that have no values or more than the file can hold."""
    kind = image.get_data_dtype()
    if kind.kind not in "iuf":
        hint = "write one number a voxel: labels or probabilities, not colours"
        raise error(path, found=f"values of type {_type_name(kind)}", expected="whole or real numbers", hint=hint)
    shape = tuple(map(int, image.shape))
    if not shape or min(shape) < 1:
        raise error(path, found=f"shape {shape}", expected="one voxel or more along each axis")
    n_bytes = math.prod(shape) * kind.itemsize
    values = Path(image.file_map["image"].filename)
    ratio = {".gz": GZIP_RATIO, ".nii": 1, ".img": 1}.get(values.suffix.lower())
    if ratio is not None and n_bytes > ratio * values.stat().st_size:
        found = f"shape {shape}, {n_bytes:,} bytes, in a file of {values.stat().st_size:,} bytes"
        raise error(path, found=found, expected="a whole file", hint="write or download it again")
    if values.suffix.lower() == ".gz":
        _check_packed(path, error, values, int(image.dataobj.offset) + n_bytes)


def _check_packed(path: Path, error: type[CytomeshError], packed: Path, n_bytes: int) -> None:
    """Compare the checksum of a packed file, which is at its end: nibabel reads no further than the last voxel.

    Nothing is kept of what is unpacked, so that a bomb costs the time of the size that it declares.
    """
    left = n_bytes
    try:
        for n in _unpacked_sizes(packed):
            left -= n
            if left < -MAX_REST:
                break
    except (OSError, EOFError, zlib.error) as cause:
        found = f"a packed file that is damaged or cut off ({cause})"
        raise error(path, found=found, hint="write or download it again") from cause
    if not -MAX_REST <= left <= 0:
        found = f"{n_bytes - left:,} bytes or more, unpacked"
        raise error(path, found=found, expected=f"the {n_bytes:,} of its header", hint="write or download it again")


def _unpacked_sizes(path: Path) -> Iterator[int]:
    """Unpack a gzip file piece by piece; what stands behind it and is no gzip is left alone, as gzip itself does."""
    with path.open("rb") as stream:
        unpacker, packed = zlib.decompressobj(wbits=31), stream.read(PACKED)
        while packed:
            yield len(unpacker.decompress(packed, CHUNK))
            if unpacker.eof:
                packed = unpacker.unused_data
                packed += stream.read(PACKED) if len(packed) < len(GZIP) else b""
                if not packed.startswith(GZIP):
                    return
                unpacker = zlib.decompressobj(wbits=31)
            else:
                packed = unpacker.unconsumed_tail or stream.read(PACKED)
        raise EOFError("it ends early")


def _check_place(path: Path, error: type[CytomeshError], image: Any) -> None:
    """Refuse a volume without a place in space, or with two."""
    header = image.header
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    if not (sform_code or qform_code):
        hint = "set the sform: without it the place of the volume is unknown"
        raise error(path, found="no orientation (sform_code and qform_code are 0)", hint=hint)
    affine = np.asarray(image.affine, np.float64)
    if not (np.isfinite(affine).all() and np.linalg.cond(affine[:3, :3]) < MAX_CONDITION):
        found = f"an affine that is not invertible: {affine[:3].tolist()}"
        raise error(path, found=found, expected="three independent axes", hint="correct the sform of the header")
    if not (sform_code and qform_code):
        return
    sizes = (*image.shape, 1, 1, 1)[:3]
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in sizes], [1.0], indexing="ij")).reshape(4, -1)
    apart = np.abs(affine @ corners - np.asarray(image.get_qform(coded=False), np.float64) @ corners).max()
    voxel = np.linalg.norm(affine[:3, :3], axis=0).min()
    if apart <= SAME_PLACE_VOXELS * voxel:
        return
    found = f"an sform and a qform that differ by up to {apart:g} (header units)"
    if sform_code == qform_code:
        hint = "set both alike, or the code of the wrong one to 0"
        raise error(path, found=f"{found}, both of code {sform_code}", expected="one place", hint=hint)
    warn(f"{path}: {found}: the sform (code {sform_code}) is used, as the NIfTI standard prefers")


def _type_name(kind: np.dtype[Any]) -> str:
    return "RGB (colours)" if kind.names else str(kind)
