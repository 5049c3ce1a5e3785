"""The stage `inspect`: map, similarity, separation, neighbours and attention of the features of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.inspect.attention import attention_maps
from cytomesh.analyze.inspect.config import InspectConfig
from cytomesh.analyze.inspect.examples import choose_examples, read_examples, sections_of
from cytomesh.analyze.inspect.grad_cam import grad_cam
from cytomesh.analyze.inspect.latent_map import latent_map
from cytomesh.analyze.inspect.neighbours import correspondence, neighbours_across
from cytomesh.analyze.inspect.nodes import LinkedNodes, check_colours, colour_columns, linked_nodes
from cytomesh.analyze.inspect.separation import separation
from cytomesh.analyze.inspect.similarity import AreaSimilarity, area_similarity
from cytomesh.analyze.measures import measures_read, save_measures
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import ConfigError, MissingStageError
from cytomesh.core.files import read_json, write_array, write_json
from cytomesh.core.progress import log, track
from cytomesh.core.provenance import Inputs, flat_settings
from cytomesh.core.random import generator
from cytomesh.core.reading import command, reading
from cytomesh.core.run import product, product_folders, read_study_path
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.nulls import load_spheres, null_record, rotated_labels, rotations
from cytomesh.graph.provenance import AREAS, MAPS, PARTS, features_read, images_read, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.export import WEIGHTS, encoder_folder, encoder_read, load_encoder
from cytomesh.study.study import Study, open_study

NOT_READ = (AREAS, MAPS)
ATTENTION, GRAD_CAM = "attention", "grad-cam"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where patches are read, and the encoder that looks at them."""

    study: Study
    folder: Path
    encoder: PatchEncoder


def inspect_run(
    run: Path, name: str, settings: InspectConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Look at the features of a run; writes `analyze/<name>/`.

    `metrics.json`; as tables `map.parquet`, `similarity.parquet`, `neighbours.parquet`, `examples.parquet` and
    `nodes/<graph>.parquet` (silhouettes, which `variation` takes as targets); `patches.npy` and `saliency.npy`.

    Returns
    -------
    dict
        Separation of brains and areas, correspondence across brains.

    Raises
    ------
    ConfigError, FeatureError, MissingStageError, SplitError
        If features, columns, areas or nodes are not there.
    StaleError
        If graphs, features or the encoder are stale, unless `allow_stale`.
    """
    graphs = load_graphs(run)
    features = _features(run, settings.features)
    check_colours(graphs, settings.map.colour_by)
    nodes = linked_nodes(run, features, graphs, settings)
    examples = choose_examples(nodes, settings.examples, settings.seed)
    source, why_not = _source(run, features, graphs, settings)
    result = product(run, "analyze", name)
    with file_digests(run) as digests, result.open():
        shown, links = _with_neighbours(nodes, examples, settings)
        own = Inputs(settings={**flat_settings(settings), "features": features})
        inputs = own.merge(parts_read(run, graphs, [part for part in PARTS if part not in NOT_READ], digests))
        inputs = inputs.merge(features_read(run, graphs, [features], digests))
        inputs = inputs.merge(measures_read(run, graphs, settings.map.colour_by, digests))
        inputs = inputs.merge(_images_and_encoder(run, source, nodes, shown, digests))
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "looked at again")
            with result.writing(inputs, settings, settings.seed, resume=resume) as work:
                facts = {"kind": "inspect", "features": features, "n_nodes": len(nodes), "notes": why_not}
                facts |= {"brains": np.unique(nodes.brain).tolist(), "centred": settings.centred}
                facts["map"] = _write_map(run, work.folder, nodes, settings)
                facts["separation"] = _write_separation(run, work.folder, nodes, settings, facts["notes"])
                facts["similarity"] = _write_similarity(work.folder, nodes, settings, facts["notes"])
                facts["correspondence"] = _correspondence(nodes, settings, facts["notes"])
                facts["saliency"] = _write_examples(work.folder, nodes, examples, shown, links, source, settings)
                write_json(work.folder / "metrics.json", facts)
                work.finish()
    metrics = read_json(result.folder / "metrics.json")
    with reading(result.folder / "metrics.json"):
        return summary(metrics)


def summary(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten `metrics.json` to what a table shows."""
    found: dict[str, Any] = {"features": metrics["features"], "nodes": metrics["n_nodes"]}
    for what, scores in metrics["separation"].items():
        found |= {f"{what}: {key}": scores[key] for key in ("silhouette", "accuracy", "chance")}
    for key, value in (metrics["correspondence"] or {}).items():
        found[f"nearest across brains: {key}"] = value
    return found


def _features(run: Path, wanted: str | None) -> str:
    there = [folder.name for folder in product_folders(run, "features")]
    if not there:
        raise MissingStageError(run / "features", found="no features", hint=f"run '{command(run, 'features')}' first")
    if wanted is None and len(there) > 1:
        raise ConfigError("features", found="features of several names", expected=" or ".join(there))
    if wanted is not None and wanted not in there:
        raise ConfigError("features", wanted, found="no features of this name", expected=" or ".join(there))
    return wanted or there[0]


def _source(
    run: Path, features: str, graphs: Sequence[CortexGraph], settings: InspectConfig
) -> tuple[_Source | None, list[str]]:
    """Return where patches come from, or why there are none."""
    folder = encoder_folder(run, settings.examples.encoder or features)
    if settings.examples.encoder is None and not (folder / WEIGHTS).is_file():
        return None, [f"no patches: {features} is no encoder of this run (examples.encoder names one)"]
    if not any(graph.has_image.any() for graph in graphs):
        return None, ["no patches: imported surfaces have no section images"]
    return _Source(open_study(read_study_path(run)), folder, load_encoder(folder)), []


def _images_and_encoder(
    run: Path, source: _Source | None, nodes: LinkedNodes, shown: NDArray[np.int64], digests: FileDigests
) -> Inputs:
    if source is None:
        return Inputs()
    images = images_read(run, source.study, sections_of(source.study, nodes, shown), digests)
    return encoder_read(run, source.folder, source.encoder, digests).merge(images)


def _write_map(run: Path, folder: Path, nodes: LinkedNodes, settings: InspectConfig) -> dict[str, Any]:
    random = generator(settings.seed, "nodes of the map")
    rows = np.sort(random.permutation(len(nodes))[: settings.map.n_nodes])
    log(f"inspect: {settings.map.method} of {len(rows):,} of {len(nodes):,} nodes")
    places = latent_map(nodes.features[rows], settings.map, settings.seed)
    columns = {"graph": nodes.graph_names[rows], "node": nodes.node[rows], "x": places[:, 0], "y": places[:, 1]}
    columns |= colour_columns(run, nodes, settings.map.colour_by, rows)
    units: dict[str, str] = {}
    for graph in nodes.graphs:
        units |= {name: graph.nodes.units[name] for name in settings.map.colour_by if name in graph.nodes.units}
    write_table(folder / "map.parquet", Table(columns, units))
    return {"method": settings.map.method, "n_nodes": len(rows), "colour_by": settings.map.colour_by}


def _write_separation(
    run: Path, folder: Path, nodes: LinkedNodes, settings: InspectConfig, notes: list[str]
) -> dict[str, Any]:
    """Score brains and areas, and write the silhouettes of all nodes."""
    columns = {"brain_silhouette": np.full(len(nodes), np.nan), "area_silhouette": np.full(len(nodes), np.nan)}
    found: dict[str, Any] = {}
    annotated = np.flatnonzero(nodes.area > 0)
    for what, rows, groups in (("brain", np.arange(len(nodes)), nodes.brain), ("area", annotated, nodes.area)):
        names = np.unique(groups[rows])
        if len(names) < 2:
            notes.append(f"{what}s: {'one' if len(names) else 'none'} among the nodes, so nothing to tell apart")
            continue
        scores = separation(nodes.features[rows], groups[rows], nodes.fold[rows])
        columns[f"{what}_silhouette"][rows] = scores.silhouettes
        own = {"n_groups": len(names), "n_nodes": len(rows), "silhouette": scores.silhouette}
        found[what] = own | {"accuracy": scores.accuracy, "chance": scores.chance}
        log(f"inspect: {what}s: silhouette {scores.silhouette:.3f}, probe {scores.accuracy:.3f}")
    if "area" in found and settings.spins:
        found["area"] |= _area_null(run, nodes, settings, found["area"])
    for number, graph in enumerate(nodes.graphs):
        own_rows = nodes.graph == number
        values = {name: np.full(graph.n_nodes, np.nan) for name in columns}
        for name, column in columns.items():
            values[name][nodes.node[own_rows]] = column[own_rows]
        save_measures(folder, graph, values, {})
    return found


def _area_null(run: Path, nodes: LinkedNodes, settings: InspectConfig, scores: Mapping[str, float]) -> dict[str, Any]:
    """Score areas that were rotated on the sphere."""
    spun: dict[str, list[float]] = {"silhouette": [], "accuracy": []}
    turns = rotations(settings.spins, settings.seed)
    rotated = rotated_labels(load_spheres(run, nodes.graphs), nodes.graphs, turns)
    for labels in track(rotated, "spin null of areas", total=settings.spins, unit="spins"):
        area = np.concatenate([own[graph.is_linked] for own, graph in zip(labels, nodes.graphs, strict=True)])
        rows = np.flatnonzero(area > 0)
        of_spin = separation(nodes.features[rows], area[rows], nodes.fold[rows])
        spun["silhouette"].append(of_spin.silhouette)
        spun["accuracy"].append(of_spin.accuracy)
    return {f"{name}_null": null_record(scores[name], values) for name, values in spun.items()}


def _write_similarity(
    folder: Path, nodes: LinkedNodes, settings: InspectConfig, notes: list[str]
) -> dict[str, Any] | None:
    """Write the matrix of areas, one row a pair, hemispheres apart; returns its areas in order."""
    labels = nodes.hemisphere_area
    if len(np.unique(labels[labels > 0])) < 2:
        return None
    found = area_similarity(nodes.features, labels, nodes.brain)
    table, lobes = nodes.graphs[0].labels, settings.lobes
    unknown = [name for name in lobes if name not in table.names]
    if unknown:
        notes.append(f"lobes: no area {', '.join(unknown)}")
    entries = _ordered(found, {int(i): name for i, name, _ in table.rows()}, lobes)
    order = np.array([place for place, *_ in entries])
    first, second = (index.ravel() for index in np.meshgrid(order, order, indexing="ij"))
    both = len({side for _, side, *_ in entries}) > 1
    names = {place: f"{side} {name}" if both else name for place, side, _, name in entries}
    columns = {
        "area_a": np.array([names[i] for i in first]),
        "area_b": np.array([names[i] for i in second]),
        "mean": found.mean[first, second],
        "within_brains": found.within[first, second],
        "between_brains": found.between[first, second],
    }
    write_table(folder / "similarity.parquet", Table(columns))
    areas = [
        {"name": names[place], "hemisphere": side, "lobe": lobe, "n_nodes": int(found.n_nodes[place])}
        for place, side, lobe, _ in entries
    ]
    same = np.eye(len(areas), dtype=bool)
    parts = {"within_brains": found.within, "between_brains": found.between}
    means = {f"{part}_{kind}": _finite_mean(values[mask]) for part, values in parts.items()
             for kind, mask in (("same_area", same), ("other_area", ~same))}  # fmt: skip
    return {"areas": areas, **means}


def _ordered(
    found: AreaSimilarity, names: Mapping[int, str], lobes: Mapping[str, str]
) -> list[tuple[int, str, str, str]]:
    """Return (row, hemisphere, lobe, name) of each area: by hemisphere, lobe in the order given, label."""
    ranks = {lobe: i for i, lobe in enumerate(dict.fromkeys(lobes.values()))}

    def key(entry: tuple[int, str, str, str]) -> tuple[str, int, int]:
        return entry[1], ranks.get(entry[2], len(ranks)), entry[0]

    rows = [
        (place, "LR"[int(label) % 2], lobes.get(names[int(label) // 2], ""), names[int(label) // 2])
        for place, label in enumerate(found.areas)
    ]
    return sorted(rows, key=key)


def _finite_mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _correspondence(nodes: LinkedNodes, settings: InspectConfig, notes: list[str]) -> dict[str, Any] | None:
    if len(np.unique(nodes.brain)) < 2:
        notes.append("one brain: no neighbours across brains")
        return None
    random = generator(settings.seed, "correspondence")
    queries = np.sort(random.permutation(len(nodes))[: settings.map.n_nodes])
    found = correspondence(nodes.features, nodes.brain, nodes.area, nodes.reference, queries, random)
    return {key: None if np.isnan(value) else value for key, value in asdict(found).items()}


def _with_neighbours(
    nodes: LinkedNodes, examples: NDArray[np.int64], settings: InspectConfig
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Return the rows of examples and of their neighbours, and who is whose neighbour."""
    pairs: list[tuple[int, int, int, float]] = []
    if len(examples) and len(np.unique(nodes.brain)) > 1:
        for found in neighbours_across(nodes.features, nodes.brain, examples, settings.examples.neighbours):
            for query, near, similar in zip(found.queries, found.nodes, found.similarity, strict=True):
                pairs += [(int(query), int(node), rank + 1, float(s)) for rank, (node, s) in enumerate(zip(near, similar, strict=True))]  # fmt: skip  # noqa: E501
    pairs.sort(key=lambda pair: (examples.tolist().index(pair[0]), nodes.brain[pair[1]], pair[2]))
    query, node, rank, similarity = (np.array([pair[i] for pair in pairs], kind) for i, kind in enumerate((int, int, int, float)))  # fmt: skip  # noqa: E501
    shown = np.array(list(dict.fromkeys([*examples.tolist(), *node.tolist()])), np.int64)
    return shown, {"query": query, "node": node, "rank": rank, "similarity": similarity}


def _write_examples(
    folder: Path,
    nodes: LinkedNodes,
    examples: NDArray[np.int64],
    shown: NDArray[np.int64],
    links: Mapping[str, NDArray[Any]],
    source: _Source | None,
    settings: InspectConfig,
) -> dict[str, Any] | None:
    """Write who is shown, whose neighbours they are, their patches, and what the encoder sees in the examples."""
    place = {int(row): i for i, row in enumerate(shown)}
    columns = {
        "graph": nodes.graph_names[shown],
        "node": nodes.node[shown],
        "area": nodes.area_names[shown],
        "brain": nodes.brain[shown],
        "is_example": np.isin(shown, examples),
    }
    write_table(folder / "examples.parquet", Table(columns))
    query, near = links["query"], links["node"]
    distance = np.linalg.norm(nodes.reference[query] - nodes.reference[near], axis=1)
    own = {"query": np.array([place[int(row)] for row in query], np.int64)}
    own |= {"neighbour": np.array([place[int(row)] for row in near], np.int64), "rank": links["rank"]}
    own |= {"similarity": links["similarity"], "distance_mm": distance}
    write_table(folder / "neighbours.parquet", Table(own, {"distance_mm": "mm"}))
    if source is None or not len(examples):
        return None
    geometry = source.encoder.patches
    patches = read_examples(source.study, nodes, shown, geometry.size_px, geometry.um_per_px)
    write_array(folder / "patches.npy", patches)
    facts = {"um_per_px": geometry.um_per_px, "size_px": geometry.size_px, "gamma": settings.examples.gamma}
    maps, what = saliency(source.encoder, patches[: len(examples)])
    write_array(folder / "saliency.npy", maps)
    return facts | what | {"encoder": source.encoder.config.name}


def saliency(encoder: PatchEncoder, patches: NDArray[np.uint8]) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return what an encoder looks at in patches, (m, l, h, r, c) float32, and how that was found.

    Attention of the first and the last layer, by head; Grad-CAM, as one layer with one head, of a network without.
    """
    try:
        found = attention_maps(encoder, patches)
    except ConfigError as error:
        log(f"inspect: Grad-CAM, since there is no attention to show: {error.found}")
        return grad_cam(encoder, patches)[:, None, None], {"method": GRAD_CAM}
    return found.maps, {"method": ATTENTION, "layers": found.layers, "n_layers": found.n_layers, "query": found.query}
