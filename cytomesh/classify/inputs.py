"""What a model can see of a node, by name: settings, and values as they are stored."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from cytomesh.classify.out_of_core import release
from cytomesh.core.config import Config
from cytomesh.core.errors import ConfigError, FeatureError, MissingStageError
from cytomesh.core.reading import command
from cytomesh.core.run import product_folders
from cytomesh.graph.features import load_features
from cytomesh.graph.storage import CortexGraph

SMOOTH_INPUTS = ("pmap", "coordinates")
"""Inputs without neighbourhood means."""
MORPHOLOGY = {
    "thickness": "thickness_mm",
    "curvature": "curvature_per_mm",
    "obliqueness": "obliqueness_deg",
    "distance": "distance_mm",
}
"""Input name -> column of the node table."""

KNOWN_INPUTS = ("features", "features:<encoder>", "pmap", "coordinates", *MORPHOLOGY)


def ascending(hops: list[int], least: int) -> list[int]:
    """Refuse hops out of order, for validators."""
    if hops != sorted(set(hops)) or min(hops, default=least) < least:
        raise ValueError(f"hops must be ascending, {least} or more")
    return hops


class InputsConfig(Config):
    """What a model sees of each node."""

    names: list[str] = Field(default=["features"], min_length=1)
    """Any mix of `features` (the run's only encoder), `features:<encoder>`, `pmap`, `coordinates`, `thickness`,
    `curvature`, `obliqueness`, `distance`."""
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
            if name in ("features", "pmap", "coordinates", *MORPHOLOGY) or name.removeprefix("features:") not in (
                name,
                "",
            ):
                continue
            near = difflib.get_close_matches(name, KNOWN_INPUTS, n=1)
            way_out = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(KNOWN_INPUTS)}"
            raise ValueError(f"unknown input '{name}', {way_out}")
        if len(set(names)) != len(names):
            raise ValueError("an input is listed twice")
        return names

    @field_validator("hops")
    @classmethod
    def _ordered(cls, hops: list[int]) -> list[int]:
        return ascending(hops, least=0)


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
            hint = f"run '{command(run, 'graphs')}', with surfaces that have it, or leave it out of inputs.names"
            raise FeatureError(graph.name, name, found=f"no column '{column}' in nodes.parquet", hint=hint)
        values = graph.nodes.stack([column])
    bad = graph.is_linked & ~np.isfinite(values).all(axis=1)
    if bad.any():
        found = f"NaN or infinite values at {int(bad.sum())} linked nodes"
        raise FeatureError(graph.name, f"{name}, node {int(np.argmax(bad))}", found=found, expected="finite values")
    return np.asarray(values, np.float32)


def mirrored_reference(graph: CortexGraph) -> NDArray[np.float64]:
    """Return reference positions, (n, 3) mm, +x lateral in both hemispheres: what one learns, the other can use."""
    return graph.reference * np.array([-1.0 if graph.hemisphere == "L" else 1.0, 1.0, 1.0])
