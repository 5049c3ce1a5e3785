"""What segmented sections leave: scores of each method, and shares of layers at nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.layers.classes import N_LAYERS
from cytomesh.analyze.layers.order import boundary_depths, layer_shares, order_layers
from cytomesh.analyze.layers.section_results import TRUE_SHARES, SectionResults
from cytomesh.analyze.layers.sections import LinkedSection
from cytomesh.analyze.layers.tally import SIDES, Tally
from cytomesh.analyze.layers.truth import filled_in
from cytomesh.analyze.layers.views import Job, View


@dataclass(slots=True)
class Results:
    """What sections leave: scores, shares of layers at nodes by method and graph, the true ones, a section a side."""

    shares: dict[str, list[NDArray[np.float64]]]
    true_shares: list[NDArray[np.float64]]
    tally: Tally = field(default_factory=Tally)
    shown: dict[str, tuple[str, int]] = field(default_factory=dict)

    @classmethod
    def empty(cls, job: Job, methods: Sequence[str]) -> Results:
        """Return results without any."""

        def blank() -> list[NDArray[np.float64]]:
            return [np.full((graph.n_nodes, N_LAYERS), np.nan) for graph in job.graphs]

        return cls({method: blank() for method in methods}, blank())

    def add(self, job: Job, linked: LinkedSection, section: SectionResults) -> None:
        """Add what a section leaves."""
        for (method, number), (nodes, values) in section.shares.items():
            kept = self.true_shares if method == TRUE_SHARES else self.shares[method]
            kept[number][nodes] = values
        for (method, side), scores in section.tally.scores.items():
            self.tally.scores.setdefault((method, side), []).extend(scores)
        for side in job.sides_in(linked) & set(SIDES) if section.shares else ():
            self.shown.setdefault(side, linked.key)

    def thickness(self, job: Job) -> dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return true and found thickness of layers, mm, of the nodes of each side, by method and side."""
        mm = [np.asarray(graph.nodes["thickness_mm"], np.float64)[:, None] for graph in job.graphs]
        found = {}
        for method, side in self.tally.scores:
            pairs = [
                [(shares * own)[sides == side] for shares in (true, mine)]
                for true, mine, own, sides in zip(
                    self.true_shares, self.shares[method], mm, job.split.sides, strict=True
                )
            ]
            true_mm, found_mm = (np.concatenate(values) for values in zip(*pairs, strict=True))
            found[method, side] = true_mm, found_mm
        return found


def score_view(
    linked: LinkedSection,
    view: View,
    method: str,
    boundaries: NDArray[np.float64],
    painted: NDArray[np.uint8],
    unordered: NDArray[np.int64] | None,
    found: SectionResults,
) -> None:
    """Score what a method found in a view, side by side of the split.

    Parameters
    ----------
    boundaries : (c, 5) float64
        Depths in columns.
    painted : (h, w) uint8
        Classes of pixels.
    unordered : (m,) int64 or None
        A network's own classes of the pixels of the cortex, before layers were put in order.
    """
    assert view.truth is not None and view.true_pixels is not None
    probabilities, has_truth = filled_in(view.truth)
    true_boundaries = boundary_depths(order_layers(probabilities), N_LAYERS)
    true_shares = np.where(has_truth[:, None], layer_shares(true_boundaries), np.nan)
    found.keep(TRUE_SHARES, linked, view, true_shares)
    um, columns = linked.section.um_per_px, view.ribbon.columns
    true_points, points = columns.at(true_boundaries) * um, columns.at(boundaries) * um
    rows, places, nearest = view.ribbon.nearest_columns
    pixel_sides = view.sides[nearest]
    for side in np.unique(view.sides):
        if side not in SIDES:
            continue
        here, mine = pixel_sides == side, (view.sides == side) & has_truth
        found.tally.add(
            method,
            str(side),
            linked.section.name,
            view.true_pixels[rows[here], places[here]],
            painted[rows[here], places[here]],
            None if unordered is None else unordered[here],
            true_points[mine],
            points[mine],
        )
