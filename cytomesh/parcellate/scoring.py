"""All scores of the parcels of one graph, of its baselines beside them, and those worth a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.graph.nulls import rotations, spin_sources
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.evaluate import (
    feature_scores,
    internal_scores,
    matched_dice,
    scores_over_nulls,
    shape_facts,
    tiling_scores,
)
from cytomesh.parcellate.features import NodeFeatures
from cytomesh.parcellate.methods import divide
from cytomesh.parcellate.nulls import Nulls, make_nulls


def nulls_of(
    graph: CortexGraph,
    features: NodeFeatures,
    parcels: NDArray[np.int64],
    sphere: NDArray[np.float64] | None,
    settings: ParcellateConfig,
) -> Nulls:
    """Draw the nulls for the parcels of a graph."""
    return make_nulls(
        graph.annotation,
        features.nodes,
        sphere,
        features.positions,
        features.adjacency,
        len(np.unique(parcels)),
        settings.evaluation.spins,
        settings.evaluation.tilings,
        settings.seed,
    )


def evaluate(
    graph: CortexGraph,
    features: NodeFeatures,
    parcels: NDArray[np.int64],
    nulls: Nulls,
    sphere: NDArray[np.float64] | None,
    settings: ParcellateConfig,
) -> dict[str, Any]:
    """Score parcels, and those of the baselines, against areas and by their features."""
    areas = graph.annotation[features.nodes]
    by_areas = tiling_scores(areas, nulls, features.lengths)
    by_features = [feature_scores(features, tiling) for tiling in nulls.tilings]

    def score(labels: NDArray[np.int64]) -> dict[str, Any]:
        return {
            **shape_facts(labels, features.adjacency),
            "areas": scores_over_nulls(labels, areas, nulls, features.lengths, by_areas),
            **internal_scores(features, labels, by_features),
        }

    metrics = {
        "n_nodes": graph.n_nodes,
        "n_masked": graph.n_nodes - len(features.nodes),
        "n_imputed": int(features.is_imputed.sum()),
        "is_n_parcels_given": settings.n_parcels is not None,
        **score(parcels),
        "dice_of_areas": _dice_of_areas(parcels, features, graph),
        "baselines": {},
    }
    k = len(np.unique(parcels))
    for other in settings.evaluation.baselines:
        if other == settings.method:
            continue
        inputs = features
        if other == "random_spectral":
            if sphere is None:
                continue
            moved = spin_sources(sphere[features.nodes], rotations(1, settings.seed)[0])
            inputs = replace(features, values=features.values[moved])
        labels = divide(inputs, other.removeprefix("random_"), k, settings, graph.name).labels
        metrics["baselines"][other] = score(labels)
    return metrics


def _dice_of_areas(parcels: NDArray[np.int64], features: NodeFeatures, graph: CortexGraph) -> dict[str, float]:
    areas = graph.annotation[features.nodes]
    dice = matched_dice(parcels, areas) if (areas > 0).any() else {}
    return {graph.labels.name(area): value for area, value in dice.items()}


def summary(graph: str, metrics: dict[str, Any], brains: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Pick what is worth a line on the terminal: scores over their nulls first.

    Agreement with areas of the parcels and of the baselines, of the halves of the sections with each other, and with
    the parcels of other brains (the mean over them).
    """
    rows: dict[str, Any] = {"n_parcels": metrics["n_parcels"]}
    everything = {"": metrics, **{f"{name}_": scores for name, scores in metrics["baselines"].items()}}
    for prefix, scores in everything.items():
        for score in ("ami", "ari", "nmi"):
            entry = scores["areas"].get(score)
            if entry is None:
                continue
            null = "spin" if "over_spin" in entry else "geometry"
            rows[f"{prefix}{score}_over_{null}"] = entry[f"over_{null}"]
            if "over_spin_sd" in entry:
                rows[f"{prefix}{score}_over_spin_sd"] = entry["over_spin_sd"]
            rows[f"{prefix}{score}"] = entry["score"]
        border = scores["areas"].get("border_distance_mm", {})
        null = "spin" if "over_spin" in border else "geometry"
        if border:
            rows[f"{prefix}border_mm_nearer_than_{null}"] = border[f"over_{null}"]
        rows[f"{prefix}variance_explained_over_geometry"] = scores["variance_explained"]["over_geometry"]
    repeated = {"halves": [metrics["stability"]["halves"]] if "stability" in metrics else []}
    repeated["brains"] = [pair for pair in brains if graph in pair["graphs"]]
    for name, entries in repeated.items():
        found = [entry["ami"] for entry in entries if "ami" in entry]
        for key in ("over_noise", "over_geometry", "score"):
            values = [entry[key] for entry in found if key in entry]
            if values:
                rows[f"{name}_ami" if key == "score" else f"{name}_ami_{key}"] = float(np.mean(values))
    return rows
