"""Label images as OME-Zarr 0.5: pyramids whose coarser levels are labels again, with names and colours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.core.files import atomic_path
from cytomesh.core.labels import LabelTable
from cytomesh.imaging.halving import SMALLEST_PX
from cytomesh.imaging.ome_zarr import CHUNK_PX, multiscales


def write_ome_labels(path: Path, labels: Mapping[str, NDArray[np.uint8]], um_per_px: float, table: LabelTable) -> None:
    """Write label images of one section as `path/labels/<name>`, whole or not at all.

    Coarser levels take, of each 2 x 2 pixels, the label that most of them have, of equal ones the larger: a mean of
    labels would be another label.

    Parameters
    ----------
    path : Path
        Folder to write, usually `*.ome.zarr`; replaced if it exists.
    labels : dict of str to (h, w) uint8
        Level 0 of each.
    um_per_px : float
        Its pixel size, um; the corner of the image is that of its first pixel.
    table : LabelTable
        Names and colours, which go into the metadata.

    Raises
    ------
    ImageError
        If an image is not (h, w) uint8.
    """
    for name, array in labels.items():
        if array.ndim != 2 or array.dtype != np.uint8:
            raise ImageError(path, name, found=f"{array.dtype} of shape {array.shape}", expected="(h, w) uint8")
    with atomic_path(path) as temporary:
        root = zarr.create_group(store=str(temporary), zarr_format=3)
        group = root.create_group("labels")
        group.attrs["ome"] = {"version": "0.5", "labels": list(labels)}
        for name, array in labels.items():
            own, level, count = group.create_group(name), array, 0
            while True:
                chunks = tuple(min(CHUNK_PX, n) for n in level.shape)
                facts = {"chunks": chunks, "dimension_names": ["y", "x"], "config": {"write_empty_chunks": True}}
                own.create_array(str(count), data=np.ascontiguousarray(level), **facts)
                count += 1
                if max(level.shape) < 2 * SMALLEST_PX:
                    break
                level = halve_labels(level)
            scales = multiscales(name, "yx", um_per_px, count, "mode", "most frequent of 2 x 2")
            own.attrs["ome"] = {"version": "0.5", "multiscales": [scales], "image-label": _facts(table)}


def _facts(table: LabelTable) -> dict[str, Any]:
    rgba = np.rint(255 * table.colours).astype(int).tolist()
    return {
        "colors": [{"label-value": index, "rgba": own} for index, own in zip(table.indices, rgba, strict=True)],
        "properties": [
            {"label-value": index, "name": name} for index, name in zip(table.indices, table.names, strict=True)
        ],
    }


def halve_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take the most frequent label of blocks of 2 x 2 pixels; an odd last row or column is repeated.

    Examples
    --------
    >>> halve_labels(np.array([[1, 2, 3], [2, 0, 4]], np.uint8)).tolist()
    [[2, 4]]
    """
    padded = np.pad(labels, ((0, labels.shape[0] % 2), (0, labels.shape[1] % 2)), mode="edge")
    four = np.sort(np.stack([padded[0::2, 0::2], padded[1::2, 0::2], padded[0::2, 1::2], padded[1::2, 1::2]]), axis=0)
    # of four in order, a label that is there twice or more fills two neighbouring places
    is_middle, is_lowest = four[2] == four[1], (four[1] == four[0]) & (four[3] != four[2])
    return np.where(is_middle, four[1], np.where(is_lowest, four[0], four[3])).astype(np.uint8)
