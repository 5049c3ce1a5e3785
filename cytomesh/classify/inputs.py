"""Node inputs by name: read, standardised on training nodes, averaged over neighbourhoods, missing ones filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.inputs_config import MORPHOLOGY, InputsConfig
from cytomesh.classify.out_of_core import Column, Inputs, StoredInputs, dense, known_rows, release
from cytomesh.classify.prepare import context_column, fill_in, standardise
from cytomesh.core.errors import ConfigError, FeatureError, MissingStageError
from cytomesh.core.run import product_folders
from cytomesh.graph.features import load_features
from cytomesh.graph.neighbourhoods import Floats, Mask
from cytomesh.graph.storage import CortexGraph

SMOOTH_INPUTS = ("pmap", "coordinates")
"""Inputs without neighbourhood means."""


@dataclass(frozen=True, slots=True)
class NodeInputs:
    """What a model sees of the nodes of several graphs.

    Parameters
    ----------
    values : list of (n, d) float32
        One a graph, complete: arrays, or `StoredInputs` where all together exceed `InputsConfig.memory_gib`.
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


def resolve_names(run: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Replace `features` by the run's only encoder.

    Raises
    ------
    MissingStageError, ConfigError
        If the run has no encoder's features, or those of several.
    """
    if "features" not in names:
        return tuple(names)
    encoders = [folder.name for folder in product_folders(run, "features")]
    if not encoders:
        hint = f"run 'cytomesh embed --out {run}' first, or leave 'features' out of inputs.names"
        raise MissingStageError(run / "features", found="no features", hint=hint)
    if len(encoders) > 1:
        expected = " or ".join(f"features:{encoder}" for encoder in encoders)
        raise ConfigError("inputs.names", found="'features' in a run with several encoders", expected=expected)
    return tuple(f"features:{encoders[0]}" if name == "features" else name for name in names)


def read_input(run: Path, graph: CortexGraph, name: str) -> Any:
    """Read one input of a graph as it is stored: (n, d), mapped from disk, in memory or CSR; NaN rows without it.

    Rows of nodes with an image link are finite.

    Raises
    ------
    FeatureError
        If the graph does not have it, or it is NaN at a node with an image link.
    """
    if name.startswith("features:"):
        features = load_features(run, name.removeprefix("features:"), graph)
        release(features)
        return features
    if name == "pmap":
        if graph.pmap is None:
            raise FeatureError(
                graph.name, "pmap", found="no probability maps", hint="give the study an atlas, build again"
            )
        if not np.isfinite(graph.pmap.data).all():
            raise FeatureError(graph.name, "pmap", found="NaN or infinite values", expected="probabilities")
        return graph.pmap
    if name == "coordinates":
        values = mirrored_reference(graph)
    else:
        column = MORPHOLOGY[name]
        if column not in graph.nodes:
            raise FeatureError(
                graph.name, name, found=f"no column '{column}' in nodes.parquet", hint="build the graph again"
            )
        values = graph.nodes.stack([column])
    bad = graph.is_linked & ~np.isfinite(values).all(axis=1)
    if bad.any():
        found = f"NaN or infinite values at {int(bad.sum())} linked nodes"
        raise FeatureError(graph.name, f"{name}, node {int(np.argmax(bad))}", found=found, expected="finite values")
    return np.asarray(values, np.float32)


def mirrored_reference(graph: CortexGraph) -> NDArray[np.float64]:
    """Return reference positions, (n, 3) mm, +x lateral in both hemispheres: what one learns, the other can use."""
    return graph.reference * np.array([-1.0 if graph.hemisphere == "L" else 1.0, 1.0, 1.0])


def prepare_inputs(
    run: Path,
    graphs: Sequence[CortexGraph],
    is_train: Sequence[Mask],
    settings: InputsConfig,
    known_scaling: Mapping[str, Floats] | None = None,
    scratch: Path | None = None,
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
    """
    names = resolve_names(run, settings.names)
    sources = [[read_input(run, graph, name) for graph in graphs] for name in names]
    hops = [[0] if name in SMOOTH_INPUTS else settings.hops for name in names]
    widths = [of_graphs[0].shape[1] * len(h) for of_graphs, h in zip(sources, hops, strict=True)]
    n_bytes = 4 * sum(widths) * sum(graph.n_nodes for graph in graphs)
    if n_bytes <= settings.memory_gib * 2**30:
        scratch = None
    pieces: list[list[Column]] = [[] for _ in graphs]
    scaling: dict[str, Floats] = {}
    notes: list[str] = []
    for name, of_graphs, sizes in zip(names, sources, hops, strict=True):
        _same_width(name, of_graphs, graphs)
        known = [known_rows(source, graph.is_linked) for source, graph in zip(of_graphs, graphs, strict=True)]
        key = f"{name}/node"
        columns = [Column(source) for source in of_graphs]
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
            if not k.all():
                notes.append(
                    f"{graph.name}: {name} missing at {int((~k).sum())} nodes, filled in from their surroundings"
                )
            if n_unreachable:
                notes.append(f"{graph.name}: {name} out of reach at {n_unreachable} nodes, set to the training mean")
    if settings.standardise == "graph":
        scaling = {}
    stored = [StoredInputs((tuple(piece),)) for piece in pieces]
    values: list[Inputs] = [dense(part) for part in stored] if scratch is None else list(stored)
    return NodeInputs(values, names, tuple(widths), scaling, tuple(notes))


def _same_width(name: str, values: Sequence[Any], graphs: Sequence[CortexGraph]) -> None:
    for v, graph in zip(values, graphs, strict=True):
        if v.shape[1] != values[0].shape[1]:
            found = f"{v.shape[1]} columns"
            raise FeatureError(graph.name, name, found=found, expected=f"{values[0].shape[1]} as in {graphs[0].name}")
