"""A trained classifier on other brains: areas, confidence, what it does not know, areas' sizes, borders, outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cytomesh.classify.assemble import joined_adjacency, joined_positions
from cytomesh.classify.config import ClassifyConfig, PredictConfig
from cytomesh.classify.edges import edge_attributes
from cytomesh.classify.inputs import NodeInputs, prepare_inputs
from cytomesh.classify.known_inputs import FEATURES, SMOOTH_INPUTS, input_maps, maps_read, read_input
from cytomesh.classify.metrics import average
from cytomesh.classify.models import load_classifier, load_state, make_classifier
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.out_of_core import join
from cytomesh.classify.outlines import write_outlines
from cytomesh.classify.output import prediction_table, write_predictions
from cytomesh.classify.run import CLASSIFIER, QUANTILES, classifier_digest, input_distances
from cytomesh.classify.trained import model_labels, read_model, registration_for, trained_settings, with_areas
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import CheckpointError, ConfigError, CytomeshError
from cytomesh.core.files import read_json, remove, write_json
from cytomesh.core.learning import macro_f1
from cytomesh.core.progress import track, warn
from cytomesh.core.provenance import Inputs, flat_settings, place, said
from cytomesh.core.reading import reading
from cytomesh.core.run import product
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.borders import Border, borders
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.map_names import RENAME, order_by_name
from cytomesh.graph.neighbourhoods import Floats
from cytomesh.graph.provenance import PARTS, features_read, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.register.carry import common_places
from cytomesh.register.run import registration_read

STRANGE = 0.999
"""Quantile of the training nodes' distances beyond which a node is like none of them. Between brains that are alike,
the median node lies at 0.5 to 0.6 (phantoms)."""


def predict_run(
    run: Path, model: Path, name: str, settings: PredictConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Apply the classifier in the folder `model` to all graphs of a run; writes `classify/<name>/`.

    Returns
    -------
    dict
        Per graph: n_areas, share of nodes without an area, mean confidence, surface_mm2 that was given an area.

    Raises
    ------
    MissingStageError
        If the folder holds no trained classifier.
    CheckpointError
        If the run lacks inputs that the model was trained on, or has them in another width; all are named.
    ConfigError
        If the name is that of a classifier.
    StaleError
        If graphs or features are stale, unless `allow_stale`.
    FormatError
        If the classifier is of a newer format than this program knows.
    """
    record = read_model(model)
    trained = trained_settings(model, record)
    graphs = load_graphs(run)
    registration = registration_for(run, model, record, trained, settings)
    check_inputs(run, graphs, model, record, len(trained.inputs.hops))
    result = product(run, "classify", name)
    if (result.folder / "model.json").is_file() or any(result.folder.glob("fold-*")):
        hint = "choose another --name: predictions would take its place"
        raise ConfigError("--name", name, found="a classifier that was trained in this run", hint=hint)
    with file_digests(run) as digests, result.open():
        inputs = predict_inputs(run, graphs, model, record, settings, digests)
        if registration:
            inputs = inputs.merge(registration_read(run, registration, graphs))
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "predicted again")
            with result.writing(inputs, settings, trained.seed, resume=resume) as work:
                summary = _predict(run, model, record, trained, settings, graphs, work.folder, registration)
                write_json(work.folder / "prediction.json", {"model": str(model), "graphs": summary})
                work.finish()
    path = result.folder / "prediction.json"
    record = read_json(path)
    with reading(path, hint="run again with --no-resume"):
        return dict(record["graphs"])


def _predict(
    run: Path,
    model: Path,
    record: Mapping[str, Any],
    trained: ClassifyConfig,
    settings: PredictConfig,
    graphs: Sequence[CortexGraph],
    folder: Path,
    registration: str | None,
) -> dict[str, Any]:
    inputs = _inputs(run, graphs, model, record, trained, folder / "inputs")
    classes = np.array([entry["label"] for entry in record["classes"]], np.int32)
    data = unlabelled(inputs, graphs, classes, trained.one_model.edge_attributes)
    if registration:
        data = replace(data, places=common_places(run, registration, graphs))
    probabilities = _ensemble(model, record, trained, data)
    quantiles, own = np.asarray(record["distance_quantiles"]), _own_folder(run, model)
    summary: dict[str, Any] = {}
    distances = data.graphs(input_distances(data.inputs))
    parts = zip(named_as(graphs, record), data.graphs(probabilities), distances, strict=True)
    for graph, p, distance in track(list(parts), "writing predictions"):
        here = np.array([graph.labels.index(entry["area"]) for entry in record["classes"]], np.int32)
        table = prediction_table(graph, p, here, np.full(graph.n_nodes, ""))
        _warn_of_strange(graph, distance, quantiles)
        table = _with_doubt(table, distance, quantiles, settings)
        area = np.where(table["is_known"] & graph.is_linked, table["area"], 0).astype(np.int32)
        summary[graph.name] = _write(run, folder, graph, table, area, settings)
        if not own:  # else `classify` has scored it
            summary[graph.name] |= scores_on_tests(graph, area)
    remove(folder / "inputs")
    return summary


def predict_inputs(
    run: Path,
    graphs: Sequence[CortexGraph],
    model: Path,
    record: Mapping[str, Any],
    settings: PredictConfig,
    digests: FileDigests,
) -> Inputs:
    """Return what predictions are made from: a classifier of any run, graphs and features of this one."""
    own = Inputs(settings=flat_settings(settings))
    if folder := _own_folder(run, model):
        own = own.merge(Inputs(products={CLASSIFIER: (folder, CLASSIFIER, classifier_digest(model))}))
    else:  # of another run, which looks after itself
        files = ["model.json", *record["weights"], *([record["scaling"]] if record["scaling"] else [])]
        named = {f"{CLASSIFIER}: {file}": (place(model / file, run), digests.digest(model / file)) for file in files}
        own = own.merge(Inputs(files=named))
    names = [entry["name"] for entry in record["inputs"]]
    own = own.merge(maps_read(run, graphs, names))
    encoders = [name.removeprefix(FEATURES) for name in names if name.startswith(FEATURES)]
    return own.merge(parts_read(run, graphs, PARTS, digests)).merge(features_read(run, graphs, encoders, digests))


def _own_folder(run: Path, model: Path) -> str:
    """Return the folder of a classifier from the run, "classify/gat"; "" if it is of another run."""
    results = (run / "classify").resolve()
    is_own = model.resolve().is_relative_to(results)
    return f"classify/{model.resolve().relative_to(results).as_posix()}" if is_own else ""


def check_inputs(
    run: Path, graphs: Sequence[CortexGraph], model: Path, record: Mapping[str, Any], n_neighbourhoods: int
) -> None:
    """Raise CheckpointError that names every input in which graphs differ from what the model was trained on."""
    wrong, expected = [], record["inputs"]
    areas = {row[:2] for row in model_labels(record).rows()}  # number and name
    for entry in expected:
        name = str(entry["name"])
        n_hops = 1 if name in SMOOTH_INPUTS else n_neighbourhoods
        for graph in graphs:
            try:
                width = read_input(run, graph, name, entry["maps"]).shape[1] * n_hops
                own = input_maps(run, graph, name)
            except CytomeshError as error:
                wrong.append(f"{graph.name}: {name}: {error.found}")
                continue
            if width != entry["width"]:
                wrong.append(f"{graph.name}: {name}: {width // n_hops} columns, not {entry['width'] // n_hops}")
            elif name == "pmap" and not entry["maps"] and not areas <= {row[:2] for row in graph.labels.rows()}:
                wrong.append(f"{graph.name}: pmap: a label table that numbers or names areas otherwise")
            elif own and entry["maps"] and set(own) != set(entry["maps"]):
                pair = f"{own[0]}, in training {entry['maps'][order_by_name(entry['maps'], own, name)[0]]}"
                warn(f"{graph.name}: {name}: maps are named otherwise than in training, but for how names end: {pair}")
    if wrong:
        names = ", ".join(str(entry["name"]) for entry in expected)
        hint = "embed with the same encoder, or train on the inputs at hand"
        if any(entry["maps"] for entry in expected if entry["name"] != "pmap"):
            hint = f"{RENAME}, or train on the inputs at hand"
        raise CheckpointError(
            model, "inputs", found="; ".join(wrong), expected=f"those of training: {names}", hint=hint
        )


def named_as(graphs: Sequence[CortexGraph], record: Mapping[str, Any]) -> list[CortexGraph]:
    """Return graphs whose label tables have the areas of a model, too, and say which they lacked."""
    named = []
    for graph in graphs:
        labels = with_areas(graph.labels, record)
        added = labels.names[len(graph.labels) :]
        if added and len(graph.labels):
            warn(f"{graph.name}: areas of the model are not in the label table and are added: {said(added)}")
        named.append(graph.with_labels(labels) if added else graph)
    return named


def unlabelled(
    inputs: NodeInputs, graphs: Sequence[CortexGraph], classes: NDArray[np.int32], edges: Sequence[str]
) -> NodeData:
    """Join graphs of which no label is known; edges have these attributes."""
    n = sum(graph.n_nodes for graph in graphs)
    sizes = np.array([graph.n_nodes for graph in graphs], np.int64)
    joined, adjacency = join(inputs.values), joined_adjacency(graphs)
    columns = (np.full(n, -1), np.full(n, ""), adjacency, sizes, classes, joined_positions(graphs))
    attributes = edge_attributes(graphs, joined, adjacency, edges)
    linked = np.concatenate([graph.is_linked for graph in graphs])
    return NodeData(joined, *columns, edge_attributes=attributes, is_linked=linked)


def area_table(graph: CortexGraph, area: NDArray[np.int32], confidence: NDArray[np.float32]) -> Table:
    """Tabulate each area's nodes, surface (mm2), mean and SD of thickness (mm), where known, and mean confidence."""
    surface = graph.nodes["area_mm2"]
    thickness = graph.nodes.columns.get("thickness_mm")
    rows: list[dict[str, Any]] = []
    for label in np.unique(area[area > 0]).tolist():
        here = area == label
        row = {"label": label, "area": graph.labels.name(label), "n_nodes": int(here.sum())}
        row["surface_mm2"] = surface[here].sum()
        if thickness is not None:
            inside = thickness[here & np.isfinite(thickness)]
            row["thickness_mm"] = inside.mean() if inside.size else np.nan
            row["thickness_sd_mm"] = inside.std() if inside.size else np.nan
        rows.append({**row, "confidence": confidence[here].mean()})
    names = ["label", "area", "n_nodes", "surface_mm2", "thickness_mm", "thickness_sd_mm", "confidence"]
    names = [name for name in names if thickness is not None or not name.startswith("thickness")]
    columns = {name: np.array([row[name] for row in rows]) for name in names}
    return Table(columns, {"surface_mm2": "mm2", "thickness_mm": "mm", "thickness_sd_mm": "mm"}, {"graph": graph.name})


def _inputs(
    run: Path,
    graphs: Sequence[CortexGraph],
    model: Path,
    record: Mapping[str, Any],
    trained: ClassifyConfig,
    scratch: Path,
) -> NodeInputs:
    scaling = load_state(model / record["scaling"]) if record["scaling"] else None
    names = [entry["name"] for entry in record["inputs"]]
    nobody = [np.zeros(graph.n_nodes, bool) for graph in graphs]
    settings = trained.inputs.model_copy(update={"names": names})
    maps = {entry["name"]: entry["maps"] for entry in record["inputs"]}
    return prepare_inputs(run, graphs, nobody, settings, scaling, scratch, maps)


def _ensemble(model: Path, record: Mapping[str, Any], trained: ClassifyConfig, data: NodeData) -> Floats:
    found = []
    for weights in record["weights"]:
        classifier = make_classifier(trained, data.inputs.shape[1], data.classes.size, torch.device("cpu"))
        load_classifier(classifier, model / weights)
        found.append(classifier.probabilities(data))
    return average(found)


def _with_doubt(
    table: Table, distances: NDArray[np.float64], quantiles: NDArray[np.float64], settings: PredictConfig
) -> Table:
    """Add how unusual each node is among training nodes (a quantile), and whether its area is to be believed."""
    quantile = np.interp(distances, quantiles, QUANTILES).astype(np.float32)
    is_known = table["confidence"] >= settings.min_confidence
    if settings.max_distance_quantile is not None:
        is_known &= distances <= np.interp(settings.max_distance_quantile, QUANTILES, quantiles)
    columns = {name: values for name, values in table.columns.items() if name not in ("annotation", "side")}
    return Table({**columns, "input_quantile": quantile, "is_known": is_known}, table.units, table.metadata)


def _warn_of_strange(graph: CortexGraph, distances: NDArray[np.float64], quantiles: NDArray[np.float64]) -> None:
    """Say where most nodes lie beyond all but a few of the training nodes."""
    is_beyond = distances[graph.is_linked] > np.interp(STRANGE, QUANTILES, quantiles)
    if is_beyond.sum() > is_beyond.size / 2:
        beyond = f"{is_beyond.mean():.0%} of the nodes are less usual than {STRANGE:.1%} of the training nodes"
        warn(f"{graph.name}: {beyond}: areas are guesses; are units, scale and features those of training?")


def scores_on_tests(graph: CortexGraph, area: NDArray[np.int32]) -> dict[str, float | int]:
    """Score areas, (n,), at the linked nodes that somebody annotated in sections of the role `test`; empty without any.

    Nodes of which the model says nothing count as wrong.
    """
    is_test = graph.is_linked & (graph.annotation > 0) & (graph.section_role == "test")
    if not is_test.any():
        return {}
    truth, found = graph.annotation[is_test].astype(np.int64), area[is_test].astype(np.int64)
    right = float((truth == found).mean())
    return {"n_scored": int(is_test.sum()), "macro_f1": macro_f1(truth, found), "accuracy": right}


def _write(
    run: Path, folder: Path, graph: CortexGraph, table: Table, area: NDArray[np.int32], settings: PredictConfig
) -> dict[str, float | int]:
    """Write a graph's predictions; areas, (n,), are 0 where there is no image or the model does not know."""
    write_predictions(folder, graph, table, area)
    areas = area_table(graph, area, table["confidence"])
    write_table(folder / f"{graph.name}_areas.parquet", areas)
    write_json(folder / f"{graph.name}_borders.json", _border_record(borders(graph.mesh, area), graph))
    if settings.outlines:
        write_outlines(run, folder, graph, area, settings.outline_step_mm)
    return {
        "n_areas": len(areas),
        "share_unknown": float((area[graph.is_linked] == 0).mean()),
        "confidence": float(table["confidence"][graph.is_linked].mean()),
        "surface_mm2": float(areas["surface_mm2"].sum()),
    }


def _border_record(found: Sequence[Border], graph: CortexGraph) -> dict[str, Any]:
    lines = [
        {
            "areas": [graph.labels.name(label) for label in border.areas],
            "length_mm": round(border.length_mm, 3),
            "points_mm": np.round(border.points, 4).tolist(),
        }
        for border in found
    ]
    return {"graph": graph.name, "space": "midthickness surface, world coordinates, mm", "borders": lines}
