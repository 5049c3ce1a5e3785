"""What drives a registration beside folding: columns of nodes, or features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cytomesh.core.errors import ConfigError, FeatureError, did_you_mean
from cytomesh.graph.features import load_features
from cytomesh.graph.neighbourhoods import impute
from cytomesh.graph.storage import CortexGraph
from cytomesh.register.config import Driver
from cytomesh.register.operators import Floats

FEATURES = "features:"


def driver_values(
    run: Path, graphs: Sequence[CortexGraph], drivers: Sequence[Driver]
) -> tuple[list[Floats], list[float]]:
    """Return what drives registrations beside folding, filled in where nodes have none.

    Features are reduced to principal components of all graphs together, after each graph is standardised by itself.

    Returns
    -------
    values : list of (n, k) float64
        One per graph.
    weights : list of k floats
        Of the columns; those of a driver share its weight.

    Raises
    ------
    ConfigError
        If a graph has no such column.
    FeatureError
        If it has no finite value.
    """
    columns: list[list[Floats]] = [[] for _ in graphs]
    weights: list[float] = []
    for driver in drivers:
        ready = [_standardised(graph, driver.name, _values(run, graph, driver.name)) for graph in graphs]
        n = min(ready[0].shape[1], driver.components)
        if n < ready[0].shape[1]:
            _, _, axes = np.linalg.svd(np.concatenate(ready), full_matrices=False)
            ready = [part @ axes[:n].T for part in ready]
        weights += [driver.weight / n] * n
        for own, part in zip(columns, ready, strict=True):
            own.append(part)
    return [np.concatenate(own, axis=1) for own in columns], weights


def _values(run: Path, graph: CortexGraph, name: str) -> Floats:
    if name.startswith(FEATURES):
        return np.asarray(load_features(run, name.removeprefix(FEATURES), graph), np.float64)
    if name not in graph.nodes or np.asarray(graph.nodes[name]).dtype.kind not in "iuf":
        numbers = [column for column in graph.nodes.columns if np.asarray(graph.nodes[column]).dtype.kind == "f"]
        expected = f"features:<encoder>, or one of {', '.join(sorted(numbers))}"
        found, hint = f"no column of numbers in {graph.name}", did_you_mean(name, numbers)
        raise ConfigError("drivers", name, found=found, expected=expected, hint=hint)
    return graph.nodes.stack([name])


def _standardised(graph: CortexGraph, name: str, values: Floats) -> Floats:
    """Return values with mean 0 and SD 1 over the nodes that have them; the others are filled in from around them."""
    is_known = np.asarray(np.isfinite(values).all(axis=1))
    if not is_known.any():
        raise FeatureError(graph.name, name, found="no node with finite values", expected="some")
    known = values[is_known]
    sd = np.maximum(known.std(axis=0), 1e-12)
    ready = np.where(is_known[:, None], (values - known.mean(axis=0)) / sd, np.nan)
    return np.asarray(impute(ready.astype(np.float32), graph.adjacency)[0], np.float64)
