"""What an encoder looks at in a patch: attention where the network has it, else Grad-CAM; and its maps on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from cytomesh.analyze.inspect.attention import attention_maps
from cytomesh.analyze.inspect.grad_cam import grad_cam
from cytomesh.core.errors import ConfigError
from cytomesh.core.progress import log
from cytomesh.core.reading import reading
from cytomesh.core.tables import Table, read_table, write_table
from cytomesh.pretrain.encoder import PatchEncoder

ATTENTION, GRAD_CAM = "attention", "Grad-CAM"
STRENGTH = 0.65
"""Opacity of the colour where `overlay` is 1: the tissue below is still seen."""


@dataclass(frozen=True, slots=True)
class Saliency:
    """Maps over some patches.

    Parameters
    ----------
    maps : (n, l, h, r, c) float32
        By layer and head; of Grad-CAM one of each.
    method : str
        "attention" or "Grad-CAM".
    panels : tuple of str
        What each of the l x h maps is.
    query : str
        Whose attention it is; empty for Grad-CAM.
    """

    maps: NDArray[np.float32]
    method: str
    panels: tuple[str, ...]
    query: str


def saliency(encoder: PatchEncoder, patches: NDArray[np.uint8]) -> Saliency:
    """Return attention of the first and the last layer by head, or Grad-CAM of a network without attention.

    Raises
    ------
    ConfigError
        If the network has neither.
    """
    try:
        found = attention_maps(encoder, patches)
    except ConfigError as error:
        try:
            maps = grad_cam(encoder, patches)[:, None, None]
        except ConfigError as other:
            lacks = "neither attention over a grid of tokens nor feature maps"
            raise ConfigError(encoder.config.name, found=lacks, expected="a ViT or a CNN") from other
        log(f"inspect: Grad-CAM, as {encoder.config.name} has no attention to show ({error.found})")
        return Saliency(maps, GRAD_CAM, ("what adds to the feature",), "")
    heads = range(1, found.maps.shape[2] + 1)
    panels = tuple(f"layer {layer} of {found.n_layers}, head {head}" for layer in found.layers for head in heads)
    return Saliency(found.maps, ATTENTION, panels, found.query)


def write_saliency(path: Path, found: Saliency) -> None:
    """Write maps as a table, one row per place: example (row of `examples.parquet`), panel, row, column, value."""
    n, shape = len(found.maps), found.maps.shape[-2:]
    index = np.indices((n, len(found.panels), *shape)).reshape(4, -1).astype(np.int32)
    columns = dict(zip(("example", "panel", "row", "column"), index, strict=True))
    columns["panel"] = np.array(found.panels)[columns["panel"]]
    write_table(path, Table({**columns, "value": found.maps.ravel()}))


def read_saliency(path: Path) -> NDArray[np.float32]:
    """Read the maps of `write_saliency`, (n, panels, r, c) float32, panels in the order they were written in."""
    table = read_table(path, needs=("example", "panel", "row", "column", "value"))
    with reading(path):
        n, rows, columns = (int(table[name].max()) + 1 for name in ("example", "row", "column"))
        return np.asarray(table["value"], np.float32).reshape(n, -1, rows, columns)


def overlay(maps: NDArray[np.float32], size_px: int, gamma: float) -> NDArray[np.float64]:
    """Return maps at the size of their patch, as opacities: 0 where nothing is, 1 at the maximum of each map.

    Parameters
    ----------
    maps : (..., r, c) float
        0 or more.
    size_px : int
        Side of the result; bilinear between the centres of tokens.
    gamma : float
        Exponent; below 1 lifts what is weak.

    Returns
    -------
    (..., size_px, size_px) float64
    """
    flat = maps.reshape(-1, *maps.shape[-2:]).astype(np.float64)
    large = np.stack([resize(item, (size_px, size_px), order=1, mode="edge", anti_aliasing=False) for item in flat])
    most = large.max(axis=(1, 2), keepdims=True)
    shares = np.divide(large, most, out=np.zeros_like(large), where=most > 0)
    return np.clip(shares, 0.0, 1.0).reshape(*maps.shape[:-2], size_px, size_px) ** gamma
