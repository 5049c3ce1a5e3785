"""Confusion matrix of a classification, ordered so that its structure is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from cytomesh.page.charts import axis, chart, colour_bar, colour_scale, label, numbers
from cytomesh.page.colours import CIVIDIS
from cytomesh.page.html import Html
from cytomesh.report.results import Model

# So few names have room in the page's own size.
FEW_AREAS = 15
LEAST_PX = 200


def confusion_chart(model: Model, side: str) -> Html:
    """Return the row-normalised confusion matrix of a model on one side as a heat map."""
    scores = model.sides[side]
    order = confusion_order(scores.confusion)
    counts = scores.confusion[np.ix_(order, order)]
    names = [label(str(scores.areas[i]["area"])) for i in order]
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(100 * counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    trace = {
        "type": "heatmap",
        "z": [numbers(row, 3) for row in share],
        "x": names,
        "y": names,
        "customdata": counts.astype(int).tolist(),
        "zmin": 0,
        "zmax": 100,
        "xgap": 1,
        "ygap": 1,
        "colorscale": colour_scale(CIVIDIS),
        "colorbar": colour_bar("share of the annotated area (%)"),
        "hovertemplate": "annotated %{y}<br>predicted %{x}<br>%{z:.1f} % (%{customdata} nodes)<extra></extra>",
    }
    # area names such as 3b or 44 are categories, not numbers
    font = {"tickfont": {"size": 9}} if len(names) > FEW_AREAS else {}
    every = {"type": "category", "tickmode": "array", "tickvals": names, "ticktext": names, **font}
    x = axis("predicted area", tickangle=-60, constrain="domain", **every)
    y = axis("annotated area", autorange="reversed", scaleanchor="x", constrain="domain", **every)
    margin = {"l": 90, "r": 20, "t": 12, "b": 90}
    side_px = min(900, 280 + max(15 * len(names), LEAST_PX))
    caption = (
        f"Model '{model.name}' on {side}: each row is an annotated area and adds up to 100 %. Areas that are confused "
        "stand side by side (optimal leaf order of average linkage); rows without test nodes are empty."
    )
    return chart([trace], x, y, caption=caption, height_px=side_px, width_px=side_px + 110, margin=margin)


def confusion_order(counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order areas by optimal-leaf-ordered average linkage of how often they are confused; (k,) permutation."""
    if len(counts) < 3:
        return np.arange(len(counts))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    distance = 1 - (share + share.T) / 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return np.asarray(leaves_list(tree), np.int64)
