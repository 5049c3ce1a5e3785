"""Areas and brains of a run: how far they lie apart beside a spin null, and how alike areas are, in order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.inspect.config import AREA, BRAIN, InspectConfig
from cytomesh.analyze.inspect.nodes import LinkedNodes
from cytomesh.analyze.inspect.separation import separation
from cytomesh.analyze.inspect.similarity import area_similarity
from cytomesh.analyze.measures import save_measures
from cytomesh.core.errors import ConfigError, did_you_mean
from cytomesh.core.labels import LabelTable
from cytomesh.core.progress import log, track
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.nulls import null_record, rotated_labels, rotations
from cytomesh.graph.spheres import load_spheres

SIDES = "LR"


def write_separation(
    run: Path, folder: Path, nodes: LinkedNodes, settings: InspectConfig, notes: list[str]
) -> dict[str, Any]:
    """Score brains and areas, and write the silhouettes of nodes to `nodes/<graph>.parquet`.

    Returns
    -------
    dict
        By "brain" and "area": n_groups, n_nodes, silhouette, accuracy, chance, and nulls of areas; without what is of
        one group only, which `notes` then says.
    """
    found: dict[str, Any] = {}
    columns: dict[str, NDArray[np.float64]] = {}
    annotated = np.flatnonzero(nodes.area > 0)
    groups = {BRAIN: (np.arange(len(nodes)), nodes.brain), AREA: (annotated, nodes.area)}
    for what, (rows, group) in groups.items():
        n_groups = len(np.unique(group[rows]))
        if n_groups < 2:
            notes.append(f"{'one' if n_groups else 'no'} {what} among the linked nodes: nothing to tell apart")
            continue
        scores = separation(nodes.features[rows], group[rows], nodes.fold[rows])
        columns[f"{what}_silhouette"] = np.full(len(nodes), np.nan)
        columns[f"{what}_silhouette"][rows] = scores.silhouettes
        own = {"n_groups": n_groups, "n_nodes": len(rows), "silhouette": scores.silhouette}
        found[what] = own | {"accuracy": scores.accuracy, "chance": scores.chance}
        log(f"inspect: {what}s: silhouette {scores.silhouette:.3f}, probe {scores.accuracy:.3f}")
    if settings.spins and AREA in found:
        found[AREA] |= _area_null(run, nodes, settings, found[AREA])
    for number, graph in enumerate(nodes.graphs if columns else ()):
        here = nodes.graph == number
        values = {name: np.full(graph.n_nodes, np.nan) for name in columns}
        for name, column in columns.items():
            values[name][nodes.node[here]] = column[here]
        save_measures(folder, graph, values, {})
    return found


def _area_null(run: Path, nodes: LinkedNodes, settings: InspectConfig, scores: Mapping[str, float]) -> dict[str, Any]:
    """Score areas that were rotated on the sphere."""
    spun: dict[str, list[float]] = {"silhouette": [], "accuracy": []}
    rotated = rotated_labels(load_spheres(run, nodes.graphs), nodes.graphs, rotations(settings.spins, settings.seed))
    for labels in track(rotated, "spin null of areas", total=settings.spins, unit="spins"):
        area = np.concatenate([own[graph.is_linked] for own, graph in zip(labels, nodes.graphs, strict=True)])
        rows = np.flatnonzero(area > 0)
        of_spin = separation(nodes.features[rows], area[rows], nodes.fold[rows])
        spun["silhouette"].append(of_spin.silhouette)
        spun["accuracy"].append(of_spin.accuracy)
    return {f"{name}_null": null_record(scores[name], values) for name, values in spun.items()}


def check_lobes(table: LabelTable, lobes: Mapping[str, str]) -> None:
    """Raise ConfigError if an area of `lobes` is not in the label table."""
    unknown = sorted(set(lobes) - set(table.names))
    if unknown:
        hint = did_you_mean(unknown[0], table.names, f"there are names such as {table.names[0]}")
        raise ConfigError("lobes", unknown[0], found="no area of this name", hint=hint)


def write_similarity(folder: Path, nodes: LinkedNodes, lobes: Mapping[str, str]) -> dict[str, Any] | None:
    """Write `similarity.parquet`, one row an ordered pair of areas, those of two hemispheres apart.

    Returns
    -------
    dict or None
        The areas in the order of the matrix, and means over it; None with fewer than two areas.
    """
    table = nodes.graphs[0].labels
    labels = nodes.hemisphere_area
    if len(np.unique(labels[labels > 0])) < 2:
        return None
    found = area_similarity(nodes.features, labels, nodes.brain)
    areas = _in_order(found.areas, table, lobes)
    order = np.array([area["row"] for area in areas])
    names = np.array([area["name"] for area in areas])
    grid = np.ix_(order, order)
    matrices = {"mean": found.mean, "within_brains": found.within, "between_brains": found.between}
    columns: dict[str, NDArray[Any]] = {"area_a": np.repeat(names, len(names)), "area_b": np.tile(names, len(names))}
    columns |= {name: values[grid].ravel() for name, values in matrices.items()}
    write_table(folder / "similarity.parquet", Table(columns))
    same = np.eye(len(areas), dtype=bool)
    means = {
        part: {"same_area": _mean(matrices[part][same]), "other_area": _mean(matrices[part][~same])}
        for part in ("within_brains", "between_brains")
    }
    shown = [
        {key: area[key] for key in ("name", "hemisphere", "lobe")} | {"n_nodes": int(found.n_nodes[area["row"]])}
        for area in areas
    ]
    return {"areas": shown, **means}


def _in_order(labels: NDArray[np.int64], table: LabelTable, lobes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Describe areas by hemisphere, then lobe in the order given, then label."""
    ranks = {lobe: i for i, lobe in enumerate(dict.fromkeys(lobes.values()))}
    has_both = len(set(labels % 2)) > 1
    areas = []
    for row, label in enumerate(labels.tolist()):
        name, side = table.name(label // 2), SIDES[label % 2]
        lobe = lobes.get(name, "")
        key = (side, ranks.get(lobe, len(ranks)), label)
        shown = f"{side} {name}" if has_both else name
        areas.append({"row": row, "name": shown, "hemisphere": side, "lobe": lobe, "key": key})
    return sorted(areas, key=lambda area: area["key"])


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
