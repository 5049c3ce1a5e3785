"""Patches of graphs that a bank holds already, for stages that go through graphs section by section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import LINKS
from cytomesh.graph.storage import CortexGraph
from cytomesh.pretrain.bank import open_bank
from cytomesh.pretrain.bank_index import is_whole, read_index
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.patches import PatchSource
from cytomesh.pretrain.pool import build_pool
from cytomesh.study.study import Study

ROLES = ("train", "transfer", "unseen")


class ExtractedPatches:
    """The patches of one graph in a bank, without the border that training wants.

    Parameters
    ----------
    bank : PatchSource
    border_px : int
        Of its patches.
    rows : (n_nodes,) int64
        Where a node's patch stands in the pool of the bank; -1 for those without.
    """

    def __init__(self, bank: PatchSource, border_px: int, rows: NDArray[np.int64]) -> None:
        self._bank = bank
        self._border_px = border_px
        self._rows = rows

    def read(self, nodes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the patches of some nodes, (n, c, s, s) uint8."""
        patches = self._bank.read(self._rows[nodes])
        inner = slice(self._border_px, patches.shape[-1] - self._border_px)
        return np.ascontiguousarray(patches[..., inner, inner])


def find_extracted(run: Path, config: PatchConfig, freshness: Freshness) -> dict[str, list[str]]:
    """Return the banks of patches as they would be cut from the images now, each with the names of its graphs.

    Parameters
    ----------
    run : Path
    config : PatchConfig
        `size_px` and `um_per_px` count.
    freshness : Freshness
    """
    found: dict[str, list[str]] = {}
    for folder in sorted((run / "patches").glob("[!.]*/")):
        product = f"patches/{folder.name}"
        record = freshness.record(product)
        if record is None or not is_whole(folder):
            continue
        cut = read_index(folder).cut
        is_wanted = (cut.get("size_px"), cut.get("um_per_px")) == (config.size_px, config.um_per_px)
        if is_wanted and not freshness.reasons(product):
            links = record.inputs.of_kinds(LINKS).products.values()
            found[product] = [graph.removeprefix("graphs/") for graph, _, _ in links]
    return found


def open_extracted(
    run: Path, study: Study, graphs: Sequence[CortexGraph], found: Mapping[str, Sequence[str]]
) -> dict[str, ExtractedPatches]:
    """Open the patches that `find_extracted` has found, by name of graph.

    Parameters
    ----------
    graphs : sequence of CortexGraph
        All of the run.

    Raises
    ------
    DamagedError
        If a bank is damaged.
    """
    extracted = {}
    for product, names in found.items():
        own = [graph for graph in graphs if graph.name in names]
        bank = open_bank(run / product, build_pool(study, own, ROLES))
        border_px = int(read_index(run / product).cut["border_px"])
        first = 0
        for graph in own:
            rows = np.where(graph.is_linked, first + np.cumsum(graph.is_linked) - 1, -1)
            extracted[graph.name] = ExtractedPatches(bank, border_px, rows)
            first += int(graph.is_linked.sum())
    return extracted
