"""The stage `variation`: structural properties of nodes regressed on features, beside location and a spin null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.explain import N_TERMS, Explained, explain, location_terms
from cytomesh.analyze.folds import make_folds
from cytomesh.analyze.measures import check_columns, load_measure, measures_read, numeric_columns
from cytomesh.analyze.moments import Values
from cytomesh.analyze.products import analysis_product
from cytomesh.analyze.variation_figures import write_figures
from cytomesh.classify.evaluation import section_numbers
from cytomesh.core.digests import file_digests
from cytomesh.core.errors import ConfigError, FeatureError, MissingStageError, did_you_mean
from cytomesh.core.files import read_json, write_json
from cytomesh.core.phases import phase
from cytomesh.core.progress import log, track
from cytomesh.core.provenance import Inputs, flat_settings
from cytomesh.core.reading import command, reading
from cytomesh.core.run import product_folders
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.features import load_features, refuse_other_widths
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.nulls import null_record, rotations, spins_of_all
from cytomesh.graph.provenance import ANNOTATION, AREAS, MAPS, PARTS, features_read, parts_read
from cytomesh.graph.spheres import load_spheres, spheres_read
from cytomesh.graph.storage import CortexGraph, load_graphs

REFERENCE = ("ref_x_mm", "ref_y_mm", "ref_z_mm")
USUAL = (*REFERENCE, "thickness_mm", "curvature_per_mm", "sulcal_depth_mm", "obliqueness_deg")
NOT_READ = (ANNOTATION, AREAS, MAPS)
NAMES = ("annotation", "section")
"""Columns whose numbers are names."""
HUGE = 1e100
"""Squares of larger values overflow."""
ROUNDING = 1e-12
"""Of the largest value: values that differ by less are one value."""


def variation_run(
    run: Path, name: str, settings: VariationConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Explain node columns by features; writes `analyze/<name>/` (`metrics.json`, `r2.parquet`, `importance.parquet`).

    Returns
    -------
    dict
        By features and target: R2 with all components, beyond location, and of the null.

    Raises
    ------
    ConfigError, FeatureError, MissingStageError, SplitError
        If features or targets are not there, or cannot be regressed.
    StaleError
        If graphs or features are stale, unless `allow_stale`.
    """
    graphs = load_graphs(run)
    names = _features(run, settings.features)
    targets = target_names(graphs, settings.targets)
    result = analysis_product(run, name, "variation")
    with file_digests(run) as digests, result.open():
        own = Inputs(settings={**flat_settings(settings), "features": names, "targets": list(targets)})
        parts = [part for part in PARTS if part not in NOT_READ]
        inputs = own.merge(parts_read(run, graphs, parts, digests)).merge(features_read(run, graphs, names, digests))
        inputs = inputs.merge(measures_read(run, graphs, targets, digests))
        inputs = inputs.merge(spheres_read(run, graphs if settings.spins else (), digests))
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "explained again")
            with result.writing(inputs, settings, settings.seed, resume=resume) as work:
                _explain_all(run, work.folder, graphs, names, targets, settings)
                work.finish()
    metrics = read_json(result.folder / "metrics.json")
    with reading(result.folder / "metrics.json"):
        return summary(metrics)


def summary(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten `metrics.json` to what a table shows."""
    found: dict[str, Any] = {}
    for name, targets in metrics["features"].items():
        for target, scores in targets.items():
            row = {"r2": scores["r2"][-1], "location": scores["location"], "beyond_location": scores["beyond_location"]}
            found[f"{name}: {target}"] = row | ({"null": scores["null"]["mean"]} if "null" in scores else {})
    return found


def _features(run: Path, wanted: Sequence[str]) -> list[str]:
    there = [folder.name for folder in product_folders(run, "features")]
    if not there:
        raise MissingStageError(run / "features", found="no features", hint=f"run '{command(run, 'features')}' first")
    unknown = [name for name in wanted if name not in there]
    if unknown:
        found, hint = "no features of this name", did_you_mean(unknown[0], there)
        raise ConfigError("features", unknown[0], found=found, expected=" or ".join(there), hint=hint)
    return list(dict.fromkeys(wanted)) or there


def target_names(graphs: Sequence[CortexGraph], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return what is to be explained: what was asked for, or the usual columns that every graph has.

    Raises
    ------
    ConfigError
        If a column is not there, holds no numbers, or numbers that are names.
    """
    for name in wanted:
        if name in NAMES:
            hint = "areas are explained by 'cytomesh classify'"
            raise ConfigError("targets", name, found="numbers that are names", expected="a measure", hint=hint)
    check_columns(graphs, wanted, "targets")
    numeric = [set(numeric_columns(graph.nodes)) for graph in graphs]
    return tuple(dict.fromkeys(wanted)) or tuple(name for name in USUAL if all(name in known for known in numeric))


def target_values(run: Path, graph: CortexGraph, names: Sequence[str]) -> Values:
    """Return the targets of each node, (n, t); reference positions are mirrored to one side."""
    mirrored = dict(zip(REFERENCE, graph.mirrored_reference.T, strict=True))

    def of(name: str) -> Values:
        if name in mirrored:
            return mirrored[name]
        return load_measure(run, graph, name) if ":" in name else np.asarray(graph.nodes[name], np.float64)

    return np.column_stack([of(name) for name in names])


def _explain_all(
    run: Path,
    folder: Path,
    graphs: Sequence[CortexGraph],
    names: Sequence[str],
    targets: Sequence[str],
    settings: VariationConfig,
) -> None:
    linked = np.concatenate([graph.is_linked for graph in graphs])
    values = [target_values(run, graph, targets) for graph in graphs]
    y, fold = np.concatenate(values)[linked], make_folds(graphs, settings.folds, settings.seed)[linked]
    places = np.concatenate([graph.mirrored_reference for graph in graphs])[linked]
    spun = [turned[linked] for turned in _spun(run, graphs, values, settings)]
    groups, notes = together(y, targets, section_numbers(graphs)[linked], fold)
    for note in notes:
        log(f"variation: {note}")
    known = [(columns, nodes, location_terms(places[nodes])) for columns, nodes in groups]
    found: dict[str, Any] = {}
    r2: list[dict[str, Any]] = []
    importance: list[dict[str, Any]] = []
    for name in names:
        features = _load(run, name, graphs)
        found[name] = {}
        for columns, nodes, location in known:
            of = ", ".join(targets[column] for column in columns)
            own = (features[nodes], location, y[nodes][:, columns], fold[nodes])
            with phase("regressions"):
                explained = explain(*own, settings.components, settings.alpha, f"{name}: {of}")
            null = [
                _null_r2(features, turned[:, columns], fold, settings, f"{name}: {of}, rotated")
                for turned in track(spun, f"spin null of {name}")
            ]
            for i, column in enumerate(columns):
                target = targets[column]
                found[name][target] = _record(explained, i, [spin[i] for spin in null])
                r2 += _r2_rows(name, target, explained.r2[:, :, i], settings)
                importance += [
                    {"features": name, "target": target, "component": c + 1, "importance": value}
                    for c, value in enumerate(explained.importance[:, i])
                ]
        found[name] = {target: found[name][target] for target in targets if target in found[name]}
        log(f"variation: {name}: {len(found[name])} targets explained")
    for file, rows in (("r2", r2), ("importance", importance)):
        write_table(folder / f"{file}.parquet", Table({key: np.array([row[key] for row in rows]) for key in rows[0]}))
    facts = {
        "kind": "variation",
        "components": settings.components,
        "folds": settings.folds.model_dump(),
        "notes": notes,
    }
    metrics = {**facts, "features": found}
    write_figures(folder, metrics, _matrices(importance))
    write_json(folder / "metrics.json", metrics)


def _matrices(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Return the importance of components by features and target."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        found.setdefault(row["features"], {}).setdefault(row["target"], []).append(row["importance"])
    return found


def _load(run: Path, name: str, graphs: Sequence[CortexGraph]) -> NDArray[Any]:
    """Return the features of the linked nodes of all graphs."""
    parts = [load_features(run, name, graph) for graph in graphs]
    refuse_other_widths(name, parts, graphs)
    return np.concatenate([part[graph.is_linked] for part, graph in zip(parts, graphs, strict=True)])


def together(
    y: Values, names: Sequence[str], sections: NDArray[np.int64], fold: NDArray[np.int64]
) -> tuple[list[tuple[list[int], NDArray[np.int64]]], list[str]]:
    """Group the targets that the same nodes have, as one regression serves them all.

    Parameters
    ----------
    y : (n, t) float64
        NaN where a node lacks a target.
    names : sequence of str
    sections : (n,) int64
        See `section_numbers`.
    fold : (n,) int64

    Returns
    -------
    groups : list of (list of int, (m,) int64)
        Columns, and the nodes that have them.
    notes : list of str
        Which targets are left out, which not all nodes have, and which too few sections have to say much of location.

    Raises
    ------
    FeatureError
        If no target is left.
    """
    groups: dict[bytes, list[int]] = {}
    notes = []
    finite = np.isfinite(y)
    for column, name in enumerate(names):
        has = finite[:, column]
        if fault := _fault(y[has, column], fold[has]):
            notes.append(f"{name}: {fault}, left out")
            continue
        if not has.all():
            notes.append(f"{name}: {int((~has).sum()):,} of {len(y):,} linked nodes lack it, left out")
        n_sections = np.unique(sections[has & (sections >= 0)]).size
        if 0 < n_sections < N_TERMS:
            notes.append(
                f"{name}: known in {n_sections} sections, fewer than the {N_TERMS} terms of location, whose R² may be "
                "far below 0 where they were not learnt nearby"
            )
        groups.setdefault(has.tobytes(), []).append(column)
    if not groups:
        raise FeatureError("targets", found="; ".join(notes) or "none", expected="columns that vary over nodes")
    return [(columns, np.flatnonzero(finite[:, columns[0]])) for columns in groups.values()], notes


def _fault(values: Values, fold: NDArray[np.int64]) -> str:
    """Return why values, (n,), of nodes in some folds cannot be explained, if so."""
    if not len(values):
        return "no node has it"
    most = np.abs(values).max()
    if most > HUGE:
        return f"values up to {most:.3g}"
    if np.ptp(values) <= ROUNDING * most:
        return "one value at all nodes"
    is_flat = all(np.ptp(values[fold == f]) <= ROUNDING * most for f in np.unique(fold))
    return "one value within each fold, which leaves nothing to score (see folds.kind)" if is_flat else ""


def _null_r2(
    features: NDArray[Any], turned: Values, fold: NDArray[np.int64], settings: VariationConfig, source: str
) -> Values:
    """Return R2 with all components, mean over folds, of targets that were rotated away, (t,)."""
    kept = np.flatnonzero(np.isfinite(turned).all(axis=1))
    nowhere = np.zeros((len(kept), 0))
    last = settings.components[-1:]
    explained = explain(features[kept], nowhere, turned[kept], fold[kept], last, settings.alpha, source)
    return np.asarray(np.nanmean(explained.r2[:, -1], axis=0))


def _spun(
    run: Path, graphs: Sequence[CortexGraph], values: Sequence[Values], settings: VariationConfig
) -> Iterator[Values]:
    """Yield the targets as rotations of the sphere leave them, (n, t); right hemispheres turn mirrored."""
    if not settings.spins:
        return
    turns = rotations(settings.spins, settings.seed)
    given = [np.where(graph.is_linked[:, None], own, np.nan) for graph, own in zip(graphs, values, strict=True)]
    for sources in spins_of_all(load_spheres(run, graphs), graphs, turns):
        yield np.concatenate([own[source] for own, source in zip(given, sources, strict=True)])


def _record(found: Explained, i: int, null: list[float]) -> dict[str, Any]:
    """Return what is said of one target."""
    r2 = found.r2[:, :, i]
    record: dict[str, Any] = {
        "r2": np.nanmean(r2, axis=0).tolist(),
        "r2_sd": np.nanstd(r2, axis=0, ddof=1).tolist(),
        "location": float(np.nanmean(found.location[:, i])),
        "beyond_location": None if np.isnan(found.beyond[:, i]).all() else float(np.nanmean(found.beyond[:, i])),
        "variance": found.variance.tolist(),
    }
    if null:
        record["null"] = null_record(record["r2"][-1], null)
    return record


def _r2_rows(name: str, target: str, r2: Values, settings: VariationConfig) -> list[dict[str, Any]]:
    return [
        {"features": name, "target": target, "fold": f, "components": count, "r2": r2[f, k]}
        for f in range(len(r2))
        for k, count in enumerate(settings.components)
    ]
