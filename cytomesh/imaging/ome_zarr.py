"""Writing OME-Zarr: pyramids of images in memory (0.5), and the metadata of all that are written (0.4, 0.5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.core.files import atomic_path
from cytomesh.imaging.halving import SMALLEST_PX, halve

CHUNK_PX = 512
OmeVersion = Literal["0.5", "0.4"]
"""0.5 lies on Zarr v3, with shards; 0.4 on Zarr v2, which Bio-Formats, and QuPath with it, reads."""


def write_ome_zarr(path: Path, array: NDArray[np.uint8], um_per_px: float, n_levels: int | None = None) -> None:
    """Write an OME-Zarr 0.5 pyramid, whole or not at all.

    Levels are area averages of 2 x 2 pixels. The centre of a coarse pixel lies half a fine pixel off that of its
    first fine one, which the translations in the metadata say.

    Parameters
    ----------
    path : Path
        Folder to write, usually `*.ome.zarr`; replaced if it exists.
    array : (h, w) or (h, w, c) uint8
        Level 0.
    um_per_px : float
        Pixel size of level 0, um.
    n_levels : int or None
        Number of levels; None: until the larger side is below 256 px.
    """
    planes = array[..., None] if array.ndim == 2 else array
    if planes.dtype != np.uint8 or planes.ndim != 3 or planes.shape[2] not in (1, 3):
        raise ImageError(
            path, found=f"{array.dtype} array of shape {array.shape}", expected="uint8, (h, w) or (h, w, 3)"
        )
    axes = "yx" if planes.shape[2] == 1 else "cyx"
    count = n_levels or 1 + max(0, int(np.ceil(np.log2(max(planes.shape[:2]) / (2 * SMALLEST_PX) + 1e-9))))
    with atomic_path(path) as temporary:
        group = zarr.create_group(store=str(temporary), zarr_format=3)
        for level in range(count):
            stored = planes[..., 0] if axes == "yx" else np.moveaxis(planes, 2, 0)
            chunks = tuple(min(CHUNK_PX, n) if axis in "yx" else 1 for axis, n in zip(axes, stored.shape, strict=True))
            # black chunks are stored, too: a chunk that is not there has been lost
            facts = {"chunks": chunks, "dimension_names": list(axes), "config": {"write_empty_chunks": True}}
            group.create_array(str(level), data=np.ascontiguousarray(stored), **facts)
            planes = halve(planes)
        group.attrs.update(image_attributes([multiscales(path.name, axes, um_per_px, count)]))


def image_attributes(
    entries: list[dict[str, Any]], channel_names: Sequence[str] = (), version: OmeVersion = "0.5"
) -> dict[str, Any]:
    """Return what the group of an image says of it, where a version of OME-Zarr has it."""
    facts: dict[str, Any] = {"multiscales": entries}
    if version == "0.4":
        facts["multiscales"] = [{**entry, "version": version} for entry in entries]
    if channel_names:
        facts["omero"] = {"channels": [{"label": label} for label in channel_names]}
    return facts if version == "0.4" else {"ome": {"version": version, **facts}}


def multiscales(
    name: str, axes: str, um_per_px: float, count: int, kind: str = "area", how: str = "2 x 2 means"
) -> dict[str, Any]:
    """Return the entry of NGFF's `multiscales` for levels that are halved so many times."""

    def transforms(level: int) -> list[dict[str, Any]]:
        size, shift = um_per_px * 2**level, um_per_px * (2**level - 1) / 2
        channels = len(axes) - 2
        scale = {"type": "scale", "scale": [1.0] * channels + [size, size]}
        return [scale, {"type": "translation", "translation": [0.0] * channels + [shift, shift]}]

    kinds = {"c": {"name": "c", "type": "channel"}}
    spatial = {axis: {"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"}
    return {
        "name": name.split(".")[0],
        "axes": [(kinds | spatial)[axis] for axis in axes],
        "datasets": [{"path": str(i), "coordinateTransformations": transforms(i)} for i in range(count)],
        "type": kind,
        "metadata": {"description": how},
    }
