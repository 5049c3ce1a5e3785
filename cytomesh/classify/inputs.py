"""Node inputs by name: read, standardised on training nodes, averaged over neighbourhoods, missing ones filled in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.config import MORPHOLOGY, InputsConfig
from cytomesh.classify.context import Floats, Mask, impute, neighbour_means
from cytomesh.core.errors import ConfigError, FeatureError, MissingStageError
from cytomesh.graph.storage import CortexGraph, load_features

SMOOTH_INPUTS = ("pmap", "coordinates")
"""Inputs without neighbourhood means."""


@dataclass(frozen=True, slots=True)
class NodeInputs:
    """What a model sees of the nodes of several graphs.

    Parameters
    ----------
    values : list of (n, d) float32
        One array a graph, complete.
    names : tuple of str
        Input names, `features` resolved to `features:<encoder>`.
    widths : tuple of int
        Columns of each input.
    scaling : dict of str to (d_i,) or (1,) float32
        Means and SDs, for use on other graphs; empty where each graph is standardised by itself.
    notes : tuple of str
        What a reader of the scores should know.
    """

    values: list[Floats]
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
    encoders = sorted(path.name for path in (run / "features").glob("*") if path.is_dir())
    if not encoders:
        hint = f"run 'cytomesh embed --out {run}' first, or leave 'features' out of inputs.names"
        raise MissingStageError(run / "features", found="no features", hint=hint)
    if len(encoders) > 1:
        expected = " or ".join(f"features:{encoder}" for encoder in encoders)
        raise ConfigError("inputs.names", found="'features' in a run with several encoders", expected=expected)
    return tuple(f"features:{encoders[0]}" if name == "features" else name for name in names)


def read_input(run: Path, graph: CortexGraph, name: str) -> Floats:
    """Read one input of a graph as it is, (n, d) float32; rows of nodes without it hold NaN.

    Raises
    ------
    FeatureError
        If the graph does not have it, or it is NaN at a node with an image link.
    """
    if name.startswith("features:"):
        return np.asarray(load_features(run, name.removeprefix("features:"), graph), np.float32)
    if name == "pmap":
        if graph.pmap is None:
            raise FeatureError(
                graph.name, "pmap", found="no probability maps", hint="give the study an atlas, build again"
            )
        return np.asarray(graph.pmap.toarray(), np.float32)
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
) -> NodeInputs:
    """Read and prepare all inputs of all graphs.

    Each input is standardised (training nodes, or each graph's own known nodes), clipped, averaged over the
    neighbourhoods, standardised again if it was, and filled in where missing.

    Parameters
    ----------
    known_scaling : mapping, optional
        Means and SDs of earlier training nodes (`NodeInputs.scaling`), used instead of those of `is_train`.
    """
    names = resolve_names(run, settings.names)
    columns: list[list[Floats]] = [[] for _ in graphs]
    scaling: dict[str, Floats] = {}
    widths: list[int] = []
    notes: list[str] = []
    for name in names:
        values = [read_input(run, graph, name) for graph in graphs]
        _same_width(name, values, graphs)
        known = [np.asarray(np.isfinite(v).all(axis=1)) for v in values]
        hops = [0] if name in SMOOTH_INPUTS else settings.hops
        key = f"{name}/node"
        values, scaling[key] = _standardise(values, is_train, settings, name, (known_scaling or {}).get(key))
        if hops != [0]:
            values = [
                neighbour_means(v, k, graph.adjacency, hops, settings.neighbourhood)
                for v, k, graph in zip(values, known, graphs, strict=True)
            ]
            # A mean over many nodes varies little; networks and shrinkage want the same scale everywhere.
            key = f"{name}/neighbourhood"
            values, scaling[key] = _standardise(values, is_train, settings, name, (known_scaling or {}).get(key))
        for graph, v, k, column in zip(graphs, values, known, columns, strict=True):
            filled, n_unreachable = impute(v, graph.adjacency)
            column.append(filled)
            if not k.all():
                notes.append(
                    f"{graph.name}: {name} missing at {int((~k).sum())} nodes, filled in from their surroundings"
                )
            if n_unreachable:
                notes.append(f"{graph.name}: {name} out of reach at {n_unreachable} nodes, set to the training mean")
        widths.append(columns[0][-1].shape[1])
    if settings.standardise == "graph":
        scaling = {}
    return NodeInputs([np.hstack(column) for column in columns], names, tuple(widths), scaling, tuple(notes))


def _same_width(name: str, values: Sequence[Floats], graphs: Sequence[CortexGraph]) -> None:
    for v, graph in zip(values, graphs, strict=True):
        if v.shape[1] != values[0].shape[1]:
            found = f"{v.shape[1]} columns"
            raise FeatureError(graph.name, name, found=found, expected=f"{values[0].shape[1]} as in {graphs[0].name}")


def _standardise(
    values: list[Floats], is_train: Sequence[Mask], settings: InputsConfig, name: str, known: Floats | None
) -> tuple[list[Floats], Floats]:
    """Return standardised, clipped copies and the (2, d) mean and SD (of the last graph, when graph by graph)."""
    moments: NDArray[Any]
    out: list[Floats] = []
    if settings.standardise == "training" and known is None:
        known = _moments(np.concatenate([v[mask] for v, mask in zip(values, is_train, strict=True)]), name)
    for v in values:
        moments = _moments(v, name) if known is None else known
        scaled = (v - moments[0]) / moments[1]
        out.append(np.clip(scaled, -settings.clip_sd, settings.clip_sd).astype(np.float32))
    return out, moments


def _moments(values: Floats, name: str) -> Floats:
    known = values[np.isfinite(values).all(axis=1)].astype(np.float64)
    if not len(known):
        hint = "the annotated sections have no features: embed them, or correct the sections' roles"
        raise FeatureError(
            name, found="no node to standardise on", expected="training nodes with this input", hint=hint
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, sd = known.mean(axis=0), known.std(axis=0)
    sd[sd < 1e-6 * np.maximum(1.0, np.abs(mean))] = 1.0  # a constant column carries nothing: all zero
    return np.stack([mean, sd]).astype(np.float32)
