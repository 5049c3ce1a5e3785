"""The parcellate stage: every graph of a run into parcels, gradients and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import GraphError, MissingStageError, QualityError
from cytomesh.core.files import digest, read_json, write_json
from cytomesh.core.progress import log, track
from cytomesh.core.run import is_finished, stage_directory
from cytomesh.graph.storage import CortexGraph, graph_folder, load_features, load_graphs
from cytomesh.parcellate.colours import parcel_table
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.connect import merge_regions, pieces
from cytomesh.parcellate.evaluate import internal_scores, matched_dice, scores_over_nulls, shape_facts
from cytomesh.parcellate.features import NodeFeatures, select_nodes, whiten
from cytomesh.parcellate.gradients import aligned_gradients
from cytomesh.parcellate.joint import connect_in_part, group_graphs, join_graphs, refuse_two_hemispheres
from cytomesh.parcellate.methods import choose_count, parcellate_nodes
from cytomesh.parcellate.nulls import Nulls, make_nulls, spin_sources
from cytomesh.parcellate.outputs import write_parcels
from cytomesh.parcellate.subdivisions import candidate_subdivisions
from cytomesh.surface.gifti import read_surface


def parcellate_run(run: Path, name: str, settings: ParcellateConfig, *, resume: bool = True) -> dict[str, Any]:
    """Parcellate every hemisphere of a run; write labels, gradients and scores under RUN/parcellate/NAME.

    Hemispheres and brains are taken one by one, or together as `settings.joint` says.

    Returns
    -------
    dict
        Per graph: number of parcels and the scores over their nulls.

    Raises
    ------
    MissingStageError
        If there is no graph, or no features.
    QualityError
        If a parcel is not connected or an eigenvector is wrong.
    """
    encoder = _encoder(run, settings.encoder)
    graphs = load_graphs(run)
    with stage_directory(run / "parcellate" / name, settings, settings.seed) as folder:
        for group in track(group_graphs(graphs, settings.joint), "parcellate", unit="groups"):
            markers = [folder / f"{graph.name}.json" for graph in group]
            key = digest(*(_key(run, encoder, graph, settings) for graph in group))
            if not (resume and all(is_finished(marker, key) for marker in markers)):
                for marker in markers:
                    marker.unlink(missing_ok=True)
                for marker, metrics in zip(
                    markers, parcellate_group(run, encoder, group, settings, folder), strict=True
                ):
                    write_json(marker, {"key": key, "metrics": metrics})
                    log(f"parcellate: {marker.stem}: {metrics['n_parcels']} parcels")
        results = {graph.name: read_json(folder / f"{graph.name}.json")["metrics"] for graph in graphs}
        facts = {"encoder": encoder, "method": settings.method, "graphs": results}
        write_json(folder / "metrics.json", facts)
    return {graph: _summary(metrics) for graph, metrics in results.items()}


def parcellate_group(
    run: Path, encoder: str, graphs: Sequence[CortexGraph], settings: ParcellateConfig, folder: Path
) -> list[dict[str, Any]]:
    """Parcellate one graph, or several together, write their files, and return the metrics of each."""
    source = f"{', '.join(graph.name for graph in graphs)} ({encoder})"
    parts = []
    for graph in graphs:
        refuse_two_hemispheres(graph)
        raw = load_features(run, encoder, graph)
        parts.append(select_nodes(graph, raw, settings.preparation, settings.min_nodes, f"{graph.name} ({encoder})"))
    joint = join_graphs(graphs, whiten(parts, settings.preparation), settings.joint)
    k = choose_count(joint.features, settings, source)
    found = parcellate_nodes(joint.features, settings.method, k, settings, source)
    shares = joint.split(found.labels)
    if settings.method != "kmeans":
        if len(graphs) > 1:
            shares = [
                connect_in_part(labels, part, settings.min_nodes)
                for labels, part in zip(shares, joint.parts, strict=True)
            ]
        for labels, part in zip(shares, joint.parts, strict=True):
            check_connected(labels, part, source)
    everything = _ordered(np.concatenate(shares), joint.features.positions)
    table = parcel_table(joint.features.values, everything)
    levels = nested_levels(everything, joint.features, settings.hierarchy, source)
    parcels = joint.split(everything)
    gradients = aligned_gradients(joint.parts, parcels, settings)
    results = []
    for number, (graph, part) in enumerate(zip(graphs, joint.parts, strict=True)):
        own_levels = {level: joint.split(labels)[number] for level, labels in levels.items()}
        write_parcels(folder, graph, part, parcels[number], table, gradients[number], own_levels)
        results.append({**_evaluate(run, graph, part, parcels[number], settings, folder), **found.facts})
    return results


def nested_levels(
    parcels: NDArray[np.int64], features: NodeFeatures, hierarchy: Sequence[int], source: str
) -> dict[int, NDArray[np.int64]]:
    """Merge parcels by Ward's criterion to each number of the hierarchy, finest first; labels 1..number."""
    current, result = parcels - 1, {}
    for level in sorted(hierarchy, reverse=True):
        if not 1 <= level <= parcels.max():
            expected = f"at most the {parcels.max()} parcels"
            raise GraphError(source, "hierarchy", found=str(level), expected=expected, hint="leave it out")
        current = merge_regions(current, features.values, features.adjacency, level)
        result[level] = current + 1
    return result


def _evaluate(
    run: Path,
    graph: CortexGraph,
    features: NodeFeatures,
    parcels: NDArray[np.int64],
    settings: ParcellateConfig,
    folder: Path,
) -> dict[str, Any]:
    source, k, sphere = graph.name, len(np.unique(parcels)), _sphere(run, graph)
    nulls = make_nulls(
        graph.annotation,
        features.nodes,
        sphere,
        features.positions,
        features.adjacency,
        k,
        settings.evaluation.spins,
        settings.evaluation.tilings,
        settings.seed,
    )
    candidates = candidate_subdivisions(graph, features, parcels, nulls.tilings)
    write_json(folder / f"{graph.name}_subdivisions.json", candidates)
    metrics = {
        "n_nodes": graph.n_nodes,
        "n_masked": graph.n_nodes - len(features.nodes),
        "n_imputed": int(features.is_imputed.sum()),
        "is_n_parcels_given": settings.n_parcels is not None,
        **_score(parcels, features, graph, nulls),
        "dice_of_areas": _dice_of_areas(parcels, features, graph),
        "baselines": {},
    }
    for other in settings.evaluation.baselines:
        if other == settings.method:
            continue
        inputs = features
        if other == "random_spectral":
            if sphere is None:
                continue
            (moved,) = spin_sources(sphere[features.nodes], np.arange(len(features.nodes)), 1, settings.seed)
            inputs = replace(features, values=features.values[moved])
        labels = parcellate_nodes(inputs, other.removeprefix("random_"), k, settings, source).labels
        metrics["baselines"][other] = _score(labels, features, graph, nulls)
    return metrics


def check_connected(labels: NDArray[np.int64], features: NodeFeatures, source: str) -> None:
    """Raise QualityError if a parcel lies in several pieces."""
    n_pieces, n_parcels = int(pieces(labels, features.adjacency).max()) + 1, len(np.unique(labels))
    if n_pieces != n_parcels:
        found = f"{n_parcels} parcels in {n_pieces} pieces"
        raise QualityError(source, "parcels", found=found, expected="every parcel connected", hint="report this")


def _score(parcels: NDArray[np.int64], features: NodeFeatures, graph: CortexGraph, nulls: Nulls) -> dict[str, Any]:
    return {
        **shape_facts(parcels, features.adjacency),
        "areas": scores_over_nulls(parcels, graph.annotation[features.nodes], nulls, features.lengths),
        **internal_scores(features.standardised, features.values, parcels, features.adjacency, nulls.tilings),
    }


def _dice_of_areas(parcels: NDArray[np.int64], features: NodeFeatures, graph: CortexGraph) -> dict[str, float]:
    areas = graph.annotation[features.nodes]
    dice = matched_dice(parcels, areas) if (areas > 0).any() else {}
    return {graph.labels.name(area): value for area, value in dice.items()}


def _ordered(labels: NDArray[np.int64], positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return labels 1..k counted from the front to the back of the brain (y descending)."""
    _, labels = np.unique(labels, return_inverse=True)
    means = np.bincount(labels, positions[:, 1]) / np.bincount(labels)
    rank = np.empty(len(means), np.int64)
    rank[np.argsort(-means, kind="stable")] = np.arange(1, len(means) + 1)
    return rank[labels]


def _sphere(run: Path, graph: CortexGraph) -> NDArray[np.float64] | None:
    path = graph_folder(run, graph.name) / "sphere.surf.gii"
    return read_surface(path).vertices if path.is_file() else None


def _encoder(run: Path, wanted: str | None) -> str:
    if wanted is not None:
        return wanted
    known = sorted(path.name for path in (run / "features").glob("*") if path.is_dir())
    if len(known) == 1:
        return known[0]
    hint = f"choose one with --set encoder=NAME: {', '.join(known)}" if known else "run 'cytomesh embed' first"
    found = f"{len(known)} sets of features"
    raise MissingStageError(run / "features", found=found, expected="one, or its name in the settings", hint=hint)


def _key(run: Path, encoder: str, graph: CortexGraph, settings: ParcellateConfig) -> str:
    features = run / "features" / encoder / f"{graph.name}.npy"
    stamp = [features.stat().st_size, features.stat().st_mtime_ns] if features.is_file() else []
    return digest(settings.model_dump(mode="json"), encoder, graph.digest, graph.annotation, stamp)


def _summary(metrics: dict[str, Any]) -> dict[str, Any]:
    """Pick what is worth a line on the terminal: scores over their nulls first."""
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
    return rows
