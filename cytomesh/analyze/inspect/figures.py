"""The figures of an inspection for print; their numbers are those of the tables beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.inspect.latent_map import METHODS
from cytomesh.analyze.inspect.saliency import STRENGTH, overlay, read_saliency
from cytomesh.core.extras import optional
from cytomesh.core.files import open_npy
from cytomesh.core.tables import Table, read_table
from cytomesh.page.colours import CIVIDIS, LINES, OKABE_ITO, VIRIDIS, line_colour
from cytomesh.page.prints import GREY, MARKERS, figure, printed, save
from cytomesh.page.svg_charts import round_step

PAIRS = {"mean": "all pairs", "within_brains": "within brains", "between_brains": "between brains"}
NONE = "none"
MAP_INCH, CELL_INCH = 2.9, 0.85
MOST_EXAMPLES = 8
"""Rows that fit on a page; the page of the inspection has all."""
DRAWN_PX = 128
BAR_SHARE = 0.35


@printed("inspect")
def write_figures(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write `map`, `similarity` and `saliency`, as far as the analysis has the tables of these names."""
    save(folder, "map", _maps(read_table(folder / "map.parquet"), metrics["map"]))
    if metrics["similarity"]:
        table = read_table(folder / "similarity.parquet")
        save(folder, "similarity", _matrices(table, metrics["similarity"]["areas"]))
    looks = metrics["saliency"]
    if looks and looks["panels"]:
        save(folder, "saliency", _overlays(folder, looks))


def _maps(table: Table, record: Mapping[str, Any]) -> Any:
    names = record["colour_by"]
    n_columns = min(3, len(names))
    n_rows = -(-len(names) // n_columns)
    drawn = figure(MAP_INCH * n_columns + 0.6, MAP_INCH * n_rows)
    panels = drawn.subplots(n_rows, n_columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        values = np.asarray(table[name])
        if values.dtype.kind in "OU":
            _by_name(panel, table, values, record["colours"])
        else:
            _by_number(drawn, panel, table, values)
        unit = table.units.get(name, "")
        panel.set_title(f"{name} ({unit})" if unit and not name.endswith(f"_{unit}") else name)
        panel.set_aspect("equal", adjustable="datalim")
        method = METHODS[record["method"]]
        panel.set(xlabel=f"{method} 1", ylabel=f"{method} 2")
        if record["method"] != "pca":
            panel.set(xticks=[], yticks=[])  # lengths mean nothing there
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    return drawn


def _by_name(panel: Any, table: Table, values: NDArray[Any], colours: Mapping[str, str]) -> None:
    """Draw few names with markers and a legend, many in the colours of the label table with the name amid its dots."""
    names = [name for name in sorted(set(values.tolist())) if name != NONE]
    few = len(names) <= len(LINES)
    none = values == NONE
    panel.scatter(table["x"][none], table["y"][none], s=2, color=GREY, linewidths=0, rasterized=True)
    for order, name in enumerate(names):
        x, y = table["x"][values == name], table["y"][values == name]
        colour = line_colour(order) if few else colours.get(name, line_colour(order))
        marker = MARKERS[order % len(MARKERS)] if few else "o"
        panel.scatter(x, y, s=6, color=colour, marker=marker, linewidths=0, alpha=0.75, label=name, rasterized=True)
        if not few:
            panel.text(np.median(x), np.median(y), name, fontsize=5, ha="center", va="center")
    if few and names:
        panel.legend(frameon=False, markerscale=1.5, fontsize=6, loc="best")


def _by_number(drawn: Any, panel: Any, table: Table, values: NDArray[np.float64]) -> None:
    known = np.isfinite(values)
    low, high = np.percentile(values[known], [2, 98]) if known.any() else (0.0, 1.0)
    dots = panel.scatter(
        table["x"][known],
        table["y"][known],
        c=values[known],
        s=4,
        linewidths=0,
        cmap=_colour_map(VIRIDIS),
        vmin=low,
        vmax=high,
        rasterized=True,
    )
    drawn.colorbar(dots, ax=panel, shrink=0.8, extend="both")


def _matrices(table: Table, areas: list[Mapping[str, Any]]) -> Any:
    n = len(areas)
    matrices = {part: np.asarray(table[part]).reshape(n, n) for part in PAIRS}
    shown = [part for part in PAIRS if np.isfinite(matrices[part]).any()]
    every = np.concatenate([matrices[part][np.isfinite(matrices[part])] for part in shown])
    low, high = np.percentile(every, [1, 99])
    side = max(2.4, 0.11 * n)
    drawn = figure(side * len(shown) + 1.4, side + 0.9)
    panels = drawn.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    names = [area["name"] for area in areas]
    groups = [(area["hemisphere"], area["lobe"]) for area in areas]
    for panel, part in zip(panels, shown, strict=True):
        image = panel.imshow(matrices[part], cmap=_colour_map(CIVIDIS), vmin=low, vmax=high, interpolation="none")
        panel.set_title(PAIRS[part])
        panel.set_xticks(range(n), names, rotation=90, fontsize=5)
        panel.set_yticks(range(n), names, fontsize=5)
        for cut in (i - 0.5 for i in range(1, n) if groups[i] != groups[i - 1]):
            panel.axhline(cut, color="white", linewidth=1)
            panel.axvline(cut, color="white", linewidth=1)
    drawn.colorbar(image, ax=list(panels), label="mean cosine similarity", shrink=0.8, extend="both")
    return drawn


def _overlays(folder: Path, looks: Mapping[str, Any]) -> Any:
    """Draw a row per example and layer: the patch, then what each head adds to it, outlined at half of its maximum."""
    examples = read_table(folder / "examples.parquet")
    patches, maps = open_npy(folder / "patches.npy"), read_saliency(folder / "saliency.parquet")[:MOST_EXAMPLES]
    layers = list(dict.fromkeys(panel.rpartition(", ")[0] for panel in looks["panels"]))
    n_heads = len(looks["panels"]) // len(layers)
    n_rows = len(maps) * len(layers)
    drawn = figure(CELL_INCH * (n_heads + 1) + 1.0, CELL_INCH * n_rows + 0.4)
    grid = drawn.subplots(n_rows, n_heads + 1, squeeze=False)
    for panel in grid.ravel():
        panel.set(xticks=[], yticks=[])
        panel.set_axis_off()
    for row, panels in enumerate(grid):
        example, layer = divmod(row, len(layers))
        own = overlay(maps[example].reshape(len(layers), n_heads, *maps.shape[-2:])[layer], DRAWN_PX, looks["gamma"])
        patch = _picture(patches[example])
        _patch(panels[0], patch)
        if layer == 0:
            _scale_bar(panels[0], looks["size_px"] * looks["um_per_px"] / 1000)
        place = f"{examples['area'][example]}\n{examples['graph'][example]}: {examples['node'][example]}"
        label = place if layer == 0 else ""
        label += f"\n{layers[layer]}" if layers[layer] else ""
        panels[0].text(-0.08, 0.5, label, transform=panels[0].transAxes, ha="right", va="center", fontsize=5)
        for head, (panel, opacity) in enumerate(zip(panels[1:], own, strict=True)):
            _patch(panel, patch)
            colour = np.broadcast_to(_rgb(OKABE_ITO["vermilion"]), (*opacity.shape, 3))
            panel.imshow(np.dstack([colour, STRENGTH * opacity]), extent=(0, 1, 0, 1), interpolation="nearest")
            half = 0.5 ** looks["gamma"]
            if opacity.max() > half > opacity.min():
                across = (np.arange(DRAWN_PX) + 0.5) / DRAWN_PX
                panel.contour(across, across[::-1], opacity, levels=[half], colors="black", linewidths=0.4)
            if row == 0:
                panel.set_title(looks["panels"][head].rpartition(", ")[2], fontsize=6)
    return drawn


def _picture(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a (c, s, s) patch as rows of grey or RGB pixels."""
    return np.asarray(patch[0] if len(patch) != 3 else patch.transpose(1, 2, 0))


def _patch(panel: Any, picture: NDArray[np.uint8]) -> None:
    panel.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 0, 1), interpolation="nearest")


def _scale_bar(panel: Any, field_mm: float) -> None:
    length_mm = round_step(BAR_SHARE * field_mm)
    for colour, width in (("white", 3.0), ("black", 1.5)):
        panel.plot([0.95 - length_mm / field_mm, 0.95], [0.07, 0.07], color=colour, linewidth=width)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8}
    text = f"{length_mm:g} mm"
    panel.text(0.95, 0.12, text, ha="right", va="bottom", fontsize=4, bbox=box)


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array([*bytes.fromhex(colour[1:])]) / 255


def _colour_map(colours: tuple[str, ...]) -> Any:
    return optional("matplotlib.colors", "cytomesh[report]").LinearSegmentedColormap.from_list("", colours)
