"""What one segmented section leaves, and its file until all sections are there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.layers.sections import LinkedSection, node_columns
from cytomesh.analyze.layers.tally import SectionScore, Tally
from cytomesh.analyze.layers.views import View
from cytomesh.core.files import atomic_path

TRUE_SHARES = ""
"""Stands for the truth where methods are named."""
ARRAYS = ("counts", "boundary_um", "hausdorff_um")
Shares = dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.float64]]]


@dataclass(slots=True)
class SectionResults:
    """Scores of a section and shares of layers at its nodes.

    Parameters
    ----------
    shares : dict of (str, int) to ((n,) int64, (n, 6) float64)
        By method and number of the graph: nodes, and shares of layers in their columns.
    tally : Tally
    """

    shares: Shares = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    def keep(self, method: str, linked: LinkedSection, view: View, shares: NDArray[np.float64]) -> None:
        """Keep the shares of layers in columns, (c, 6), for the nodes with a column at their link."""
        nodes, columns = node_columns(view.ribbon.columns, linked.parts[view.number])
        self.shares[method, view.number] = nodes, shares[columns]

    def write(self, path: Path) -> None:
        """Write all to one `.npz`, never with pickle."""
        arrays: dict[str, NDArray[Any]] = {}
        scores = [(*key, score) for key, own in self.tally.scores.items() for score in own]
        for i, (nodes, values) in enumerate(self.shares.values()):
            arrays |= {f"nodes {i}": nodes, f"shares {i}": values}
        for i, (*_, score) in enumerate(scores):
            arrays |= {f"{name} {i}": np.asarray(getattr(score, name)) for name in ARRAYS}
            if score.unordered is not None:
                arrays[f"unordered {i}"] = score.unordered
        facts = {
            "shares": list(self.shares),
            "scores": [(method, side, score.section, score.n_columns) for method, side, score in scores],
        }
        with atomic_path(path) as temporary:
            np.savez(temporary, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)


def read_section_results(path: Path) -> SectionResults:
    """Read what `SectionResults.write` has written."""
    found = SectionResults()
    with np.load(path, allow_pickle=False) as arrays:
        facts = json.loads(str(arrays["facts"]))
        for i, (method, number) in enumerate(facts["shares"]):
            found.shares[method, int(number)] = arrays[f"nodes {i}"], arrays[f"shares {i}"]
        for i, (method, side, section, n_columns) in enumerate(facts["scores"]):
            counts, boundary_um, hausdorff_um = (arrays[f"{name} {i}"] for name in ARRAYS)
            raw = arrays.get(f"unordered {i}")
            score = SectionScore(section, counts, raw, boundary_um, hausdorff_um, int(n_columns))
            found.tally.scores.setdefault((method, side), []).append(score)
    return found
