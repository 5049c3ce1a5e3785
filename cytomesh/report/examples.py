"""Pictures of `cytomesh inspect`: patches beside their neighbours in other brains, and what the encoder looks at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from cytomesh.analyze.inspect.saliency import STRENGTH, overlay, read_saliency
from cytomesh.core.files import open_npy
from cytomesh.core.reading import reading
from cytomesh.core.tables import Table, read_table
from cytomesh.imaging.pictures import data_uri, displayable, round_length, scale_bar
from cytomesh.page.colours import OKABE_ITO
from cytomesh.page.html import Html, join, tag

SHOWN_PX = 192
COLOUR = np.array([*bytes.fromhex(OKABE_ITO["vermilion"][1:])], np.float64)


def neighbour_pictures(folder: Path, record: Mapping[str, Any]) -> Html:
    """Return a row per example: its patch, then the most similar ones of each other brain."""
    table, patches = _examples(folder), _array(folder / "patches.npy")
    pairs = read_table(folder / "neighbours.parquet", needs=("example", "neighbour", "similarity", "distance_mm"))
    rows = []
    for example in np.flatnonzero(table["is_example"]).tolist():
        mine = np.flatnonzero(pairs["example"] == example)
        figures = [_figure(patches[example], record, tag("strong", "example"), _place(table, example))]
        for pair in mine.tolist():
            other = int(pairs["neighbour"][pair])
            fact = f"cosine {pairs['similarity'][pair]:.3f}, {pairs['distance_mm'][pair]:.0f} mm away"
            figures.append(
                _figure(patches[other], record, tag("strong", _area(table, other)), fact, _place(table, other))
            )
        rows.append(join([tag("h3", _area(table, example)), tag("div", *figures, class_="patches")]))
    return join(rows)


def saliency_pictures(folder: Path, record: Mapping[str, Any]) -> Html:
    """Return a row per example: its patch, and each map laid over it."""
    table, patches, maps = _examples(folder), _array(folder / "patches.npy"), read_saliency(folder / "saliency.parquet")
    rows = []
    for example, own in enumerate(maps):
        opacity = overlay(own, SHOWN_PX, record["gamma"])
        figures = [_figure(patches[example], record, tag("strong", "patch"), _place(table, example))]
        for panel, some in zip(record["panels"], opacity, strict=True):
            figures.append(_figure(patches[example], record, panel, opacity=some))
        rows.append(join([tag("h3", _area(table, example)), tag("div", *figures, class_="patches")]))
    return join(rows)


def _examples(folder: Path) -> Table:
    return read_table(folder / "examples.parquet", needs=("graph", "node", "area", "is_example"))


def _array(path: Path) -> NDArray[Any]:
    with reading(path, expected="an array (.npy)"):
        return open_npy(path)


def _area(table: Table, row: int) -> str:
    area = str(table["area"][row])
    return "not annotated" if area == "none" else area


def _place(table: Table, row: int) -> str:
    return f"{table['graph'][row]}, node {int(table['node'][row])}"


def _figure(
    patch: NDArray[np.uint8], record: Mapping[str, Any], *words: str, opacity: NDArray[np.float64] | None = None
) -> Html:
    """Return a patch with its scale bar, coloured where `opacity`, (SHOWN_PX, SHOWN_PX), says so."""
    picture = displayable(np.ascontiguousarray(patch).transpose(1, 2, 0))
    shape = (SHOWN_PX, SHOWN_PX, *picture.shape[2:])
    large = resize(picture, shape, order=1, preserve_range=True, anti_aliasing=picture.shape[0] > SHOWN_PX)
    if opacity is not None:
        share = STRENGTH * opacity[..., None]
        large = (1 - share) * large.reshape(SHOWN_PX, SHOWN_PX, -1) + share * COLOUR
    field_mm = record["size_px"] * record["um_per_px"] / 1000
    bar_mm = round_length(field_mm, 0.35)
    drawing = tag(
        "svg",
        tag("image", href=data_uri(large.round().astype(np.uint8)), width=100, height=100),
        scale_bar(95, 94, 100 * bar_mm / field_mm, f"{bar_mm:g} mm", 8),
        viewBox="0 0 100 100",
        role="img",
        aria_label=", ".join(str(word) for word in words[-1:]),
    )
    lines = [part for word in words for part in (word, tag("br"))][:-1]
    return tag("figure", drawing, tag("figcaption", *lines))
