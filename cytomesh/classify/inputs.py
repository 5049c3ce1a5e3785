"""What a model sees of a node: settings, and values made ready.

They are standardised on training nodes, averaged over neighbourhoods and filled in where missing, in chunks of rows or
groups of columns: inputs may be larger than memory.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from cytomesh.classify.known_inputs import KNOWN_INPUTS, PRIOR, SMOOTH_INPUTS, input_maps, read_input, resolve_names
from cytomesh.classify.out_of_core import (
    Inputs,
    StoredInput,
    StoredInputs,
    column_groups,
    dense,
    in_chunks,
    keep,
    known_rows,
)
from cytomesh.core.config import Config, ascending
from cytomesh.core.counted import counted
from cytomesh.core.errors import FeatureError, did_you_mean
from cytomesh.graph.features import refuse_other_widths
from cytomesh.graph.neighbourhoods import Floats, Mask, impute, neighbour_means
from cytomesh.graph.storage import CortexGraph


class InputsConfig(Config):
    """What a model sees of each node."""

    names: list[str] = Field(default=["features"], min_length=1)
    """Any mix of `features` (the run's only encoder), `features:<encoder>`, `pmap`, `coordinates`, `thickness`,
    `curvature`, `obliqueness`, `distance`; beside others `prior`, with `prior.registration`."""
    hops: list[int] = Field(default=[0], min_length=1)
    """Neighbourhood sizes whose means stand side by side; 0 is the node itself. Not applied to `pmap` and
    `coordinates`, which are smooth as they are."""
    neighbourhood: Literal["walk", "disc"] = "walk"
    """`walk`: the mean over a node and its neighbours, applied h times (bell-shaped, stays within nodes that have the
    input); `disc`: the plain mean over all nodes at most h edges away."""
    standardise: Literal["training", "graph"] = "training"
    """Mean and SD of the training nodes for all graphs, or of each graph's own nodes (takes staining differences
    between brains out; uses no labels)."""
    clip_sd: float = Field(default=5.0, gt=0)
    """Standardised inputs are clipped at this many SD."""
    memory_gib: float = Field(default=4.0, ge=0)
    """Inputs of all graphs that are larger than this together (in single precision) stay on disk and are made ready
    part by part, with the same values; neighbourhood means and filled-in rows are written beside the results meanwhile.
    For networks with `training.part_nodes`, and LDA."""

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name in KNOWN_INPUTS[2:] or re.fullmatch("features(:.+)?", name):
                continue
            way_out = did_you_mean(name, KNOWN_INPUTS, f"known: {', '.join(KNOWN_INPUTS)}")
            raise ValueError(f"unknown input '{name}', {way_out}")
        if len(set(names)) != len(names):
            raise ValueError("an input is listed twice")
        if names == [PRIOR]:
            raise ValueError("nothing but 'prior': a model sees something beside it")
        return names

    @field_validator("hops")
    @classmethod
    def _ordered(cls, hops: list[int]) -> list[int]:
        return ascending(hops, 0, "hops")


@dataclass(frozen=True, slots=True)
class NodeInputs:
    """What a model sees of the nodes of several graphs.

    Parameters
    ----------
    values : list of (n, d) float32
        One per graph, complete: arrays, or `StoredInputs` where all together exceed `InputsConfig.memory_gib`.
    names : tuple of str
        Input names, `features` resolved to `features:<encoder>`.
    widths : tuple of int
        Columns of each input.
    scaling : dict of str to (d_i,) or (1,) float32
        Means and SDs, for use on other graphs; empty where each graph is standardised by itself.
    notes : tuple of str
        What a reader of the scores should know.
    """

    values: list[Inputs]
    names: tuple[str, ...]
    widths: tuple[int, ...]
    scaling: dict[str, Floats]
    notes: tuple[str, ...]


def prepare_inputs(
    run: Path,
    graphs: Sequence[CortexGraph],
    is_train: Sequence[Mask],
    settings: InputsConfig,
    known_scaling: Mapping[str, Floats] | None = None,
    scratch: Path | None = None,
    known_maps: Mapping[str, Sequence[str]] | None = None,
) -> NodeInputs:
    """Read and prepare all inputs of all graphs.

    Each input is standardised (training nodes, or each graph's own known nodes), clipped, averaged over the
    neighbourhoods, standardised again if it was, and filled in where missing.

    Parameters
    ----------
    known_scaling : mapping, optional
        Means and SDs of earlier training nodes (`NodeInputs.scaling`), used instead of those of `is_train`.
    scratch : Path, optional
        Where means and filled-in rows go if all inputs together exceed `settings.memory_gib`; inputs then stay where
        they are stored, with the same values. Without it, everything is in memory.
    known_maps : mapping, optional
        Names of the maps of earlier inputs, in whose order columns are taken; else that of the first graph.
    """
    names = tuple(name for name in resolve_names(run, settings.names) if name != PRIOR)
    wanted = {name: input_maps(run, graphs[0], name) for name in names} if known_maps is None else known_maps
    sources = [[read_input(run, graph, name, wanted.get(name, ())) for graph in graphs] for name in names]
    hops = [[0] if name in SMOOTH_INPUTS else settings.hops for name in names]
    widths = [of_graphs[0].shape[1] * len(h) for of_graphs, h in zip(sources, hops, strict=True)]
    n_bytes = 4 * sum(widths) * sum(graph.n_nodes for graph in graphs)
    if n_bytes <= settings.memory_gib * 2**30:
        scratch = None
    pieces: list[list[StoredInput]] = [[] for _ in graphs]
    scaling: dict[str, Floats] = {}
    notes: list[str] = []
    for name, of_graphs, sizes in zip(names, sources, hops, strict=True):
        refuse_other_widths(name, of_graphs, graphs)
        known = [known_rows(source, graph.is_linked) for source, graph in zip(of_graphs, graphs, strict=True)]
        key = f"{name}/node"
        columns = [StoredInput(source) for source in of_graphs]
        columns, scaling[key] = standardise(columns, known, is_train, settings, name, (known_scaling or {}).get(key))
        has_input = known
        if sizes != [0]:
            key = f"{name}/neighbourhood"
            parts = zip(columns, known, graphs, strict=True)
            columns = [context_column(column, k, graph, sizes, settings, name, scratch) for column, k, graph in parts]
            has_input = [known_rows(column.source, k) for column, k in zip(columns, known, strict=True)]
            # A mean over many nodes varies little; networks and shrinkage want the same scale everywhere.
            columns, scaling[key] = standardise(
                columns, has_input, is_train, settings, name, (known_scaling or {}).get(key)
            )
        for graph, column, k, has, piece in zip(graphs, columns, known, has_input, pieces, strict=True):
            filled, n_unreachable = fill_in(column, has, graph, name, scratch)
            piece.append(filled)
            if n_missing := int((graph.is_cortex & ~k).sum()):  # elsewhere nothing is learnt or predicted
                at = counted(n_missing, "node")
                notes.append(f"{graph.name}: {name} missing at {at}, filled in from their surroundings")
            if n_unreachable:
                at = counted(n_unreachable, "node")
                notes.append(f"{graph.name}: {name} out of reach at {at}, set to the training mean")
    if settings.standardise == "graph":
        scaling = {}
    stored = [StoredInputs((tuple(piece),)) for piece in pieces]
    values: list[Inputs] = [dense(part) for part in stored] if scratch is None else list(stored)
    return NodeInputs(values, names, tuple(widths), scaling, tuple(notes))


def standardise(
    columns: Sequence[StoredInput],
    known: Sequence[Mask],
    is_train: Sequence[Mask],
    settings: InputsConfig,
    name: str,
    scaling: Floats | None,
) -> tuple[list[StoredInput], Floats]:
    """Return the columns with mean and SD to standardise with, and these (of the last graph, when graph by graph).

    Parameters
    ----------
    columns, known, is_train : one per graph
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


def moments(columns: Sequence[StoredInput], chosen: Sequence[Mask], name: str) -> Floats:
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
    column: StoredInput,
    known: Mask,
    graph: CortexGraph,
    hops: Sequence[int],
    settings: InputsConfig,
    name: str,
    scratch: Path | None,
) -> StoredInput:
    """Return the means over the neighbourhoods of the settings, side by side by size."""
    n, d = len(known), column.width
    everywhere = np.arange(n)

    def fill(out: Floats) -> None:
        for group in column_groups(n, d):
            values = column.rows(everywhere, group)
            means = neighbour_means(values, known, graph.adjacency, hops, settings.neighbourhood)
            for i, part in enumerate(np.split(means, len(hops), axis=1)):
                out[:, i * d + group.start : i * d + group.stop] = part

    return StoredInput(keep(scratch, f"{graph.name}_{_file(name)}_means", (n, d * len(hops)), fill))


def fill_in(
    column: StoredInput, known: Mask, graph: CortexGraph, name: str, scratch: Path | None
) -> tuple[StoredInput, int]:
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
