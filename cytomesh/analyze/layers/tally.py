"""Scores of each method on each side of the split, added up over sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.layers.classes import BOUNDARIES, LAYERS, N_CLASSES
from cytomesh.analyze.layers.scores import boundary_scores, confusion, overlap, thickness_scores

SIDES = ("validation", "seen", "transfer", "unseen", "test")


@dataclass(frozen=True, slots=True)
class SectionScore:
    """What is counted of one method on one side of one hemisphere in a section.

    Parameters
    ----------
    section : str
    counts : (8, 8) int64
        Confusion over the pixels of the cortex.
    unordered : (8, 8) int64 or None
        Of the network's own decision for each pixel.
    boundary_um, hausdorff_um : (5,) float64
        See `boundary_scores`.
    n_columns : int
    """

    section: str
    counts: NDArray[np.int64]
    unordered: NDArray[np.int64] | None
    boundary_um: NDArray[np.float64]
    hausdorff_um: NDArray[np.float64]
    n_columns: int


@dataclass(slots=True)
class Tally:
    """All scores of a run, by method and side."""

    scores: dict[tuple[str, str], list[SectionScore]] = field(default_factory=dict)

    def add(
        self,
        method: str,
        side: str,
        section: str,
        truth: NDArray[np.integer],
        predicted: NDArray[np.integer],
        unordered: NDArray[np.integer] | None,
        true_points_um: NDArray[np.float64],
        points_um: NDArray[np.float64],
    ) -> None:
        """Add a hemisphere of a section: classes of pixels, (m,), and points of boundaries in columns, (n, 5, 2) um."""
        raw = None if unordered is None else confusion(truth, unordered, N_CLASSES)
        boundary, hausdorff = boundary_scores(true_points_um, points_um)
        score = SectionScore(section, confusion(truth, predicted, N_CLASSES), raw, boundary, hausdorff, len(points_um))
        self.scores.setdefault((method, side), []).append(score)

    def record(
        self, thickness: Mapping[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]]
    ) -> dict[str, Any]:
        """Return the scores by method and side; `thickness` has true and found mm of nodes, (n, 6) both."""
        found: dict[str, Any] = {}
        for (method, side), scores in sorted(self.scores.items(), key=lambda item: SIDES.index(item[0][1])):
            true_mm, mm = thickness[method, side]
            found.setdefault(method, {})[side] = _record(scores) | {"thickness": thickness_scores(true_mm, mm)}
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per method, side, section and layer."""
        rows = []
        for (method, side), scores in self.scores.items():
            for score in scores:
                f1, jaccard = overlap(score.counts)
                for i, layer in enumerate(LAYERS):
                    row: dict[str, Any] = {"method": method, "side": side, "section": score.section, "layer": layer}
                    row |= {"f1": f1[i + 1], "jaccard": jaccard[i + 1], "pixels": int(score.counts[i + 1].sum())}
                    lower = i if i < len(BOUNDARIES) else None
                    row["lower_boundary_um"] = np.nan if lower is None else score.boundary_um[lower]
                    row["lower_hausdorff95_um"] = np.nan if lower is None else score.hausdorff_um[lower]
                    rows.append(row)
        return rows


def _record(scores: list[SectionScore]) -> dict[str, Any]:
    counts = np.sum([score.counts for score in scores], axis=0)
    f1, jaccard = (values[1:-1] for values in overlap(counts))
    each = [np.nanmean(overlap(score.counts)[0][1:-1]) for score in scores if score.counts[1:-1].any()]
    with_columns = [score for score in scores if score.n_columns]
    n = np.array([score.n_columns for score in with_columns])
    boundary = (
        np.average([score.boundary_um for score in with_columns], axis=0, weights=n) if n.size else np.full(5, np.nan)
    )
    hausdorff = np.mean([score.hausdorff_um for score in with_columns], axis=0) if n.size else np.full(5, np.nan)
    record = {
        "n_sections": len({score.section for score in scores}),
        "n_columns": int(n.sum()),
        "macro_f1": float(np.nanmean(f1)),
        "macro_f1_sd": float(np.std(each, ddof=1)) if len(each) > 1 else None,
        "f1": f1.tolist(),
        "jaccard": jaccard.tolist(),
        "boundary_um": boundary.tolist(),
        "hausdorff95_um": hausdorff.tolist(),
    }
    raw = [score.unordered for score in scores if score.unordered is not None]
    if raw:
        record["macro_f1_unordered"] = float(np.nanmean(overlap(np.sum(raw, axis=0))[0][1:-1]))
    return record
