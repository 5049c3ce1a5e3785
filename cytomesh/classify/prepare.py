"""One input of several graphs made ready: standardised, averaged over neighbourhoods, filled in where missing.

Everything is done in chunks of rows or groups of columns, so that inputs may be larger than memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.inputs_config import InputsConfig
from cytomesh.classify.out_of_core import Column, StoredInputs, column_groups, in_chunks, keep
from cytomesh.core.errors import FeatureError
from cytomesh.graph.neighbourhoods import Floats, Mask, impute, neighbour_means
from cytomesh.graph.storage import CortexGraph


def standardise(
    columns: Sequence[Column],
    known: Sequence[Mask],
    is_train: Sequence[Mask],
    settings: InputsConfig,
    name: str,
    scaling: Floats | None,
) -> tuple[list[Column], Floats]:
    """Return the columns with mean and SD to standardise with, and these (of the last graph, when graph by graph).

    Parameters
    ----------
    columns, known, is_train : one a graph
        Values, which rows are finite, which are learnt from.
    scaling : (2, d) float32, optional
        Mean and SD of earlier training nodes.
    """
    if settings.standardise == "training" and scaling is None:
        chosen = [k & mask for k, mask in zip(known, is_train, strict=True)]
        scaling = moments(columns, chosen, name)
    out = []
    for column, k in zip(columns, known, strict=True):
        found = moments([column], [k], name) if scaling is None else scaling
        out.append(replace(column, moments=found, clip_sd=settings.clip_sd))
    return out, found


def moments(columns: Sequence[Column], chosen: Sequence[Mask], name: str) -> Floats:
    """Return mean and SD of the chosen rows of all graphs, (2, d) float32; the SD of a constant column is 1.

    Sums are taken in double precision, the squares about the mean.
    """
    rows = StoredInputs(tuple((column,) for column in columns)).take(np.concatenate(chosen))
    n, d = rows.shape
    if not n:
        hint = "the annotated sections have no features: embed them, or correct the sections' roles"
        raise FeatureError(
            name, found="no node to standardise on", expected="training nodes with this input", hint=hint
        )
    mean: NDArray[Any] = np.zeros(d)
    variance: NDArray[Any] = np.zeros(d)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _, chunk in in_chunks(rows):
            mean += chunk.astype(np.float64).sum(axis=0)
        mean /= n
        for _, chunk in in_chunks(rows):
            variance += ((chunk.astype(np.float64) - mean) ** 2).sum(axis=0)
        sd = np.sqrt(variance / n)
    sd[sd < 1e-6 * np.maximum(1.0, np.abs(mean))] = 1.0  # a constant column carries nothing: all zero
    return np.stack([mean, sd]).astype(np.float32)


def context_column(
    column: Column,
    known: Mask,
    graph: CortexGraph,
    hops: Sequence[int],
    settings: InputsConfig,
    name: str,
    scratch: Path | None,
) -> Column:
    """Return the means over the neighbourhoods of the settings, side by side by size."""
    n, d = len(known), column.width
    everywhere = np.arange(n)

    def fill(out: Floats) -> None:
        for group in column_groups(n, d):
            values = column.rows(everywhere, group)
            means = neighbour_means(values, known, graph.adjacency, hops, settings.neighbourhood)
            for i, part in enumerate(np.split(means, len(hops), axis=1)):
                out[:, i * d + group.start : i * d + group.stop] = part

    return Column(keep(scratch, f"{graph.name}_{_file(name)}_means", (n, d * len(hops)), fill))


def fill_in(column: Column, known: Mask, graph: CortexGraph, name: str, scratch: Path | None) -> tuple[Column, int]:
    """Return the column without missing rows (see `impute`), and at how many nodes nothing is in reach."""
    missing = np.flatnonzero(~known)
    if not missing.size:
        return column, 0
    # Filling in starts from the known neighbours of missing nodes and changes missing ones only.
    nodes = np.unique(np.concatenate([missing, graph.adjacency[missing].indices]))
    links = graph.adjacency[nodes][:, nodes]
    place = np.searchsorted(nodes, missing)
    _, n_unreachable = impute(np.where(known[nodes], 0, np.nan).astype(np.float32)[:, None], links)

    def fill(out: Floats) -> None:
        for group in column_groups(len(nodes), column.width):
            values = column.rows(nodes, group)
            values[place] = np.nan
            out[:, group] = impute(values, links)[0][place]

    filled = keep(scratch, f"{graph.name}_{_file(name)}_filled", (missing.size, column.width), fill)
    return replace(column, filled_rows=missing, filled=filled), n_unreachable


def _file(name: str) -> str:
    return name.replace(":", "-")
