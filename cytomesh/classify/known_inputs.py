"""What a model may see of a node: which inputs there are, and each as it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.classify.out_of_core import release
from cytomesh.core.errors import ConfigError, FeatureError, MissingStageError
from cytomesh.core.provenance import Inputs as Provenance
from cytomesh.core.reading import command
from cytomesh.core.run import product_folders
from cytomesh.graph.features import load_features
from cytomesh.graph.map_names import map_names, order_by_name
from cytomesh.graph.storage import CortexGraph

PRIOR = "prior"
"""Made of the training labels, by the classifier itself: see `cytomesh.classify.prior`."""
SMOOTH_INPUTS = ("pmap", "coordinates")
"""Inputs without neighbourhood means."""
MORPHOLOGY = {
    "thickness": "thickness_mm",
    "curvature": "curvature_per_mm",
    "obliqueness": "obliqueness_deg",
    "distance": "distance_mm",
}
"""Input name -> column of the node table."""

FEATURES = "features:"
KNOWN_INPUTS = ("features", "features:<encoder>", "pmap", "coordinates", *MORPHOLOGY, PRIOR)


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
        hint = f"run '{command(run, 'features')}' first, or leave 'features' out of inputs.names"
        raise MissingStageError(run / "features", found="no features", hint=hint)
    if len(encoders) > 1:
        expected = " or ".join(f"features:{encoder}" for encoder in encoders)
        raise ConfigError("inputs.names", found="'features' in a run with several encoders", expected=expected)
    return tuple(f"features:{encoders[0]}" if name == "features" else name for name in names)


def input_maps(run: Path, graph: CortexGraph, name: str) -> tuple[str, ...]:
    """Return the names of the maps of an input: of imported features, and the areas of probability maps."""
    if name == "pmap":
        return graph.labels.names
    return map_names(run, name.removeprefix(FEATURES), graph.name) if name.startswith(FEATURES) else ()


def maps_read(run: Path, graphs: Sequence[CortexGraph], names: Sequence[str]) -> Provenance:
    """Return the names of features' maps as inputs of what is made: they say in which order columns are taken."""
    features = [name for name in names if name.startswith(FEATURES)]
    named = {f"maps of {name}: {graph.name}": input_maps(run, graph, name) for name in features for graph in graphs}
    return Provenance(values={key: list(maps) for key, maps in named.items() if maps})


def read_input(run: Path, graph: CortexGraph, name: str, maps: Sequence[str] = ()) -> Any:
    """Read one input of a graph as it is stored: (n, d), mapped from disk, in memory or CSR; NaN rows without it.

    Rows of nodes with an image link are finite.

    Parameters
    ----------
    maps : sequence of str
        Names of maps, in the order of the columns wanted; none: as they are.

    Raises
    ------
    FeatureError
        If the graph does not have it, has other maps, or it is NaN at a node with an image link.
    """
    if name.startswith(FEATURES):
        features = load_features(run, name.removeprefix(FEATURES), graph)
        release(features)
        own = input_maps(run, graph, name)
        order = order_by_name(own, maps, f"{graph.name}: {name}") if own and maps else []
        return features if order == sorted(order) else features[:, order]
    if name == "pmap":
        if graph.pmap is None:
            raise FeatureError(
                graph.name, "pmap", found="no probability maps", hint="give the study an atlas, build again"
            )
        if not np.isfinite(graph.pmap.data).all():
            raise FeatureError(graph.name, "pmap", found="NaN or infinite values", expected="probabilities")
        own = graph.labels.names
        if maps and set(maps) != set(own):
            raise FeatureError(graph.name, "pmap", found="probability maps of other areas", expected=", ".join(maps))
        return graph.pmap if not maps or own == tuple(maps) else graph.pmap[:, [own.index(area) for area in maps]]
    if name == "coordinates":
        values = graph.mirrored_reference
    else:
        column = MORPHOLOGY[name]
        if column not in graph.nodes:
            hint = f"run '{command(run, 'graphs')}', with surfaces that have it, or leave it out of inputs.names"
            raise FeatureError(graph.name, name, found=f"no column '{column}' in nodes.parquet", hint=hint)
        values = graph.nodes.stack([column])
    bad = graph.is_linked & ~np.isfinite(values).all(axis=1)
    if bad.any():
        found = f"NaN or infinite values at {int(bad.sum())} linked nodes"
        raise FeatureError(graph.name, f"{name}, node {int(np.argmax(bad))}", found=found, expected="finite values")
    return np.asarray(values, np.float32)
