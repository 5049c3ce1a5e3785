"""The parcellate stage: every graph of a run into parcels, gradients and scores."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.counted import counted
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import GraphError, MissingStageError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.phases import phase
from cytomesh.core.progress import log, track
from cytomesh.core.provenance import RECORD, Inputs, damage, flat_settings
from cytomesh.core.reading import command, reading
from cytomesh.core.run import Product, product, product_folders
from cytomesh.core.tables import read_table
from cytomesh.graph.features import load_features
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import MAPS, PARTS, features_read, parts_read
from cytomesh.graph.spheres import load_sphere, spheres_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.parcellate.brains import brain_scores
from cytomesh.parcellate.choice import best_method
from cytomesh.parcellate.colours import parcel_table
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.connect import merge_regions
from cytomesh.parcellate.count import choose_count
from cytomesh.parcellate.features import NodeFeatures, select_nodes
from cytomesh.parcellate.gradients import aligned_gradients
from cytomesh.parcellate.group import from_the_front, join_parts, parcellate_joint
from cytomesh.parcellate.joint import OnSphere, group_graphs, on_sphere, refuse_two_hemispheres, registered_places
from cytomesh.parcellate.method import METHODS
from cytomesh.parcellate.outputs import write_nulls, write_parcels
from cytomesh.parcellate.scoring import evaluate, nulls_of, summary
from cytomesh.parcellate.stability import confidence, make_replicates, stability_scores
from cytomesh.parcellate.subdivisions import candidate_subdivisions
from cytomesh.register.run import registration_read


def parcellate_run(
    run: Path, name: str, settings: ParcellateConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Parcellate every hemisphere of a run; write labels, gradients and scores under RUN/parcellate/NAME.

    Hemispheres and brains are taken one by one, or together as `settings.joint` says. With `resume`, those whose
    inputs are the same are kept.

    Returns
    -------
    dict
        Per graph: number of parcels and the scores over their nulls (see `scoring.summary`).

    Raises
    ------
    MissingStageError
        If there is no graph, or no features.
    QualityError
        If a parcel is not connected or an eigenvector is wrong.
    StaleError
        If graphs or features are stale, unless `allow_stale`.
    """
    encoder = find_encoder(run, settings.encoder)
    graphs = load_graphs(run)
    result = product(run, "parcellate", name)
    with file_digests(run) as digests, result.open():
        groups = [
            (group, parcellate_inputs(run, group, encoder, settings, digests))
            for group in group_graphs(graphs, settings.joint)
        ]
        inputs = reduce(Inputs.merge, (own for _, own in groups))
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "parcellated again")
            start_from = partial(_copy, result, inputs)
            with result.writing(inputs, settings, settings.seed, resume=resume, start_from=start_from) as work:
                _parcellate(run, work.folder, encoder, graphs, groups, settings)
                work.finish()
    metrics = read_json(result.folder / "metrics.json")
    with reading(result.folder / "metrics.json"):
        return {graph: summary(graph, found, metrics["brains"]) for graph, found in metrics["graphs"].items()}


def parcellate_inputs(
    run: Path, graphs: Sequence[CortexGraph], encoder: str, settings: ParcellateConfig, digests: FileDigests
) -> Inputs:
    """Return what the parcels of some graphs are made from."""
    added: dict[str, str] = {}
    for method in (settings.method,) if settings.method else settings.methods:
        added |= METHODS.packages(method)
    own = Inputs(settings={**flat_settings(settings), "encoder": encoder}, values=added)
    parts = [part for part in PARTS if part != MAPS]
    if settings.joint.registration:
        own = own.merge(registration_read(run, settings.joint.registration, graphs))
    read = parts_read(run, graphs, parts, digests).merge(spheres_read(run, graphs, digests))
    return own.merge(read).merge(features_read(run, graphs, [encoder], digests))


def _copy(result: Product, inputs: Inputs, folder: Path) -> None:
    """Begin with the finished parcels of the same graphs: groups whose inputs are the same need not be done again."""
    record = result.record
    if record is None or damage(result.folder, record):
        return
    before = record.inputs
    if before.settings == inputs.settings and before.products.keys() == inputs.products.keys():
        # a page of the parcels is drawn after they are finished: it is none of what the record knows
        shutil.copytree(result.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(RECORD, "*.html"))


def _parcellate(
    run: Path,
    folder: Path,
    encoder: str,
    graphs: Sequence[CortexGraph],
    groups: Sequence[tuple[Sequence[CortexGraph], Inputs]],
    settings: ParcellateConfig,
) -> None:
    spheres = on_sphere(run, settings.joint, graphs)
    settings, tried = _with_method(run, folder, encoder, groups, settings, spheres)
    for group, inputs in track(groups, "parcellate", unit="groups"):
        markers = [folder / f"{graph.name}.json" for graph in group]
        made = {"key": inputs.key, "method": settings.one_method}
        if all(marker.is_file() and read_json(marker).items() >= made.items() for marker in markers):
            continue
        for marker in markers:
            marker.unlink(missing_ok=True)
        found = parcellate_group(run, encoder, group, settings, folder, spheres)
        for marker, metrics in zip(markers, found, strict=True):
            write_json(marker, {**made, "metrics": metrics})
            log(f"parcellate: {marker.stem}: {counted(metrics['n_parcels'], 'parcel')}")
    results = {graph.name: read_json(folder / f"{graph.name}.json")["metrics"] for graph in graphs}
    places = registered_places(graphs, spheres) if spheres else [graph.reference for graph in graphs]
    brains = brain_scores(
        graphs,
        places,
        {graph.name: read_table(folder / f"{graph.name}.parquet", needs=("parcel",))["parcel"] for graph in graphs},
        {graph.name: read_table(nulls_file(folder, graph)) for graph in graphs},
        settings.joint.radius_mm,
    )
    facts = {"encoder": encoder, "method": settings.method, "graphs": results, "brains": brains}
    write_json(folder / "metrics.json", {**facts, **({"methods": tried} if tried else {})})


def _with_method(
    run: Path,
    folder: Path,
    encoder: str,
    groups: Sequence[tuple[Sequence[CortexGraph], Inputs]],
    settings: ParcellateConfig,
    spheres: OnSphere,
) -> tuple[ParcellateConfig, list[dict[str, Any]]]:
    """Return settings with one method, and how it was chosen, if it was: once, also where a stopped run goes on."""
    if settings.method:
        return settings, []
    path, keys = folder / "method.json", [inputs.key for _, inputs in groups]
    known = read_json(path) if path.is_file() else {}
    if known.get("keys") != keys:
        parts = [(graphs, group_parts(run, encoder, graphs, settings, spheres)) for graphs, _ in groups]
        method, tried = best_method(parts, settings)
        known = {"keys": keys, "method": method, "tried": tried}
        write_json(path, known)
    return settings.model_copy(update={"method": known["method"]}), known["tried"]


def group_parts(
    run: Path, encoder: str, graphs: Sequence[CortexGraph], settings: ParcellateConfig, spheres: OnSphere
) -> list[NodeFeatures]:
    """Return the selected and smoothed nodes of graphs that are parcellated together, not whitened."""
    places = registered_places(graphs, spheres) if spheres else [None] * len(graphs)
    parts = []
    for graph, of_graph in zip(graphs, places, strict=True):
        refuse_two_hemispheres(graph)
        raw = load_features(run, encoder, graph)
        part = select_nodes(graph, raw, settings.preparation, settings.min_nodes, f"{graph.name} ({encoder})")
        parts.append(part if of_graph is None else replace(part, places=of_graph[part.nodes]))
    return parts


def parcellate_group(
    run: Path,
    encoder: str,
    graphs: Sequence[CortexGraph],
    settings: ParcellateConfig,
    folder: Path,
    spheres: OnSphere,
) -> list[dict[str, Any]]:
    """Parcellate one graph, or several together, write their files, and return the metrics of each."""
    source = f"{', '.join(graph.name for graph in graphs)} ({encoder})"
    with phase("features"):
        parts = group_parts(run, encoder, graphs, settings, spheres)
        joint = join_parts(graphs, parts, settings)
    with phase("number of parcels"):
        count = choose_count(joint, graphs, parts, settings, source)
    k = count.k
    with phase("parcels"):
        found = parcellate_joint(joint, k, settings, source)
    with phase("stability"):
        replicates = make_replicates(graphs, parts, k, settings, source)
    everything = from_the_front(np.concatenate(found.labels), joint.features.positions)
    table = parcel_table(joint.features.values, everything)
    levels = nested_levels(everything, joint.features, settings.hierarchy, source)
    parcels = joint.split(everything)
    gradients = aligned_gradients(joint.parts, parcels, settings)
    results = []
    for number, (graph, part) in enumerate(zip(graphs, joint.parts, strict=True)):
        own = parcels[number]
        own_levels = {level: joint.split(labels)[number] for level, labels in levels.items()}
        sphere = load_sphere(run, graph)
        with phase("nulls"):
            nulls = nulls_of(graph, part, own, sphere, settings)
        repeated = replicates[number] if replicates else None
        again = confidence(own, repeated) if repeated else None
        write_parcels(folder, graph, part, own, table, gradients[number], own_levels, nulls.tilings, again)
        noise_labels = repeated.noise_labels if repeated else ()
        write_nulls(nulls_file(folder, graph), graph, part.nodes, nulls.tilings, noise_labels)
        divided = candidate_subdivisions(graph, part, own, nulls.tilings, repeated.noise if repeated else ())
        write_json(folder / f"{graph.name}_subdivisions.json", divided)
        stability = {"stability": stability_scores(own, repeated, nulls.tilings)} if repeated else {}
        choice = {"candidates": count.candidates} if count.candidates else {}
        results.append({**evaluate(graph, part, own, nulls, sphere, settings), **stability, **choice, **found.facts})
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


def nulls_file(folder: Path, graph: CortexGraph) -> Path:
    """Return where the null parcellations of a graph are written."""
    return folder / f"{graph.name}_nulls.parquet"


def find_encoder(run: Path, wanted: str | None) -> str:
    """Return the encoder whose features are meant: the named one, or the only one of a run."""
    if wanted is not None:
        return wanted
    known = [folder.name for folder in product_folders(run, "features")]
    if len(known) == 1:
        return known[0]
    hint = f"choose one with --set encoder=NAME: {', '.join(known)}"
    hint = hint if known else f"run '{command(run, 'features')}' first"
    found = f"{len(known)} sets of features"
    raise MissingStageError(run / "features", found=found, expected="one, or its name in the settings", hint=hint)
