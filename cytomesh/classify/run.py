"""The classification stage: inputs, trainings over seeds, scores, predictions, null."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.assemble import assemble
from cytomesh.classify.calibration import calibration_record
from cytomesh.classify.choice import CANDIDATES, choice_note, chosen
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.evaluation import REGISTERED, baseline_predictions, class_records, evaluate
from cytomesh.classify.inputs import NodeInputs
from cytomesh.classify.kinds import CLASSIFIERS, LAYERS, LOSSES, classifier_kind
from cytomesh.classify.known_inputs import FEATURES, PRIOR, input_maps, maps_read, resolve_names
from cytomesh.classify.metrics import average
from cytomesh.classify.models import fit_seed, load_state, save_state
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.nulls import label_null
from cytomesh.classify.out_of_core import Inputs, map_rows, take
from cytomesh.classify.outlines import write_outlines
from cytomesh.classify.output import prediction_table, write_predictions
from cytomesh.classify.prior import RegisteredPrior
from cytomesh.classify.unknown import left_out_labels, unknown_record
from cytomesh.core.config import write_config
from cytomesh.core.digests import FileDigests, content_digest, file_digests
from cytomesh.core.distributed import World, world
from cytomesh.core.errors import ConfigError
from cytomesh.core.files import digest, read_json, remove, write_json
from cytomesh.core.formats import FORMATS
from cytomesh.core.phases import phase
from cytomesh.core.progress import log
from cytomesh.core.provenance import Inputs as Provenance
from cytomesh.core.provenance import flat_settings
from cytomesh.core.reading import reading
from cytomesh.core.run import Product, product
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import PARTS, features_read, parts_read
from cytomesh.graph.spheres import load_spheres, spheres_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.register.run import registration_read, template_of

QUANTILES = np.linspace(0, 1, 1001)
"""Of the training nodes' input distances, kept with the model to tell what is unlike them."""
NOT_IN_KEY = {"device"}
CLASSIFIER = "classifier"


def classify_run(
    run: Path, name: str, settings: ClassifyConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Train and evaluate one classifier on the graphs of a run; writes `classify/<name>/`.

    A result that is there stays until its successor is finished. With `resume` it is kept if settings and inputs are
    the same, and what a stopped run has trained serves again.

    Returns
    -------
    dict
        Flat summary: for each evaluation side macro_f1_<side>, macro_f1_<side>_sd (of several seeds), n_nodes_<side>
        and n_areas_<side> that are scored; n_classes, n_train, epochs (mean; of networks), seconds.

    Raises
    ------
    StaleError
        If graphs or features are stale, unless `allow_stale`.
    """
    result = product(run, "classify", name)
    if any(result.folder.glob("fold-*")):
        hint = "choose another --name: this one would take their place"
        raise ConfigError("--name", name, found="folds of a cross-validation with this name", hint=hint)
    return classify_product(result, settings, resume=resume, allow_stale=allow_stale)


def classify_product(
    result: Product, settings: ClassifyConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Train and evaluate one classifier, as `classify_run` does, into any folder of the run."""
    run = result.run
    graphs = load_graphs(run)
    start = time.perf_counter()
    with world(settings.device) as ranks:
        with ExitStack() as held:
            work = None
            if ranks.is_main:
                digests = held.enter_context(file_digests(run))
                held.enter_context(result.open())
                inputs = classify_inputs(run, graphs, settings, digests)
                Freshness(run, digests).check(inputs, allow_stale=allow_stale)
                if not (resume and result.is_current(inputs)):
                    result.announce(inputs, "trained again")
                    work = held.enter_context(result.writing(inputs, settings, settings.seed, resume=resume))
            if ranks.told(work is not None):
                metrics = _train_and_evaluate(result, graphs, settings, ranks)
                if work:
                    seconds = round(time.perf_counter() - start, 2)
                    facts = {"name": result.folder.name, "seconds": seconds}
                    write_json(work.folder / "metrics.json", metrics | facts)
                    remove(work.folder / "inputs")
                    remove(work.folder / CANDIDATES)
                    work.finish({CLASSIFIER: classifier_digest(work.folder)})
        ranks.barrier()  # the result is in its place
    path = result.folder / "metrics.json"
    metrics = read_json(path)
    with reading(path):
        return summarise(metrics)


def classify_inputs(
    run: Path, graphs: Sequence[CortexGraph], settings: ClassifyConfig, digests: FileDigests
) -> Provenance:
    """Return what a classifier is made from: every part of the graphs, since scores stand beside those of no image."""
    names = resolve_names(run, settings.inputs.names)
    encoders = [name.removeprefix(FEATURES) for name in names if name.startswith(FEATURES)]
    models = [settings.model] if settings.model else [candidate.model for candidate in settings.candidates]
    added = LOSSES.packages(settings.training.loss.kind)
    for model in models:
        added |= CLASSIFIERS.packages(model.kind) | LAYERS.packages(model.kind)
    own = Provenance(settings=flat_settings(settings, NOT_IN_KEY), values=added)
    spun = spheres_read(run, graphs if settings.null.spins else (), digests)
    features = features_read(run, graphs, encoders, digests).merge(maps_read(run, graphs, names))
    if settings.prior.registration:
        own = own.merge(registration_read(run, settings.prior.registration, graphs))
    return own.merge(parts_read(run, graphs, PARTS, digests)).merge(spun).merge(features)


def _train_and_evaluate(
    result: Product, graphs: Sequence[CortexGraph], settings: ClassifyConfig, ranks: World
) -> dict[str, Any]:
    """Train with all ranks; the main one evaluates and writes, and returns the metrics."""
    run, folder = result.run, result.work_folder
    spheres = load_spheres(run, graphs) if settings.null.spins else []  # first: if one is missing, nothing is trained
    labels = [graph.annotation for graph in graphs]
    with phase("choice of the model"):
        settings, candidates = chosen(run, folder, graphs, labels, settings, ranks)
    choice = [choice_note(candidates)] if candidates else []
    for line in choice:
        log(f"{result.folder.name}: {line}")
    with phase("inputs"):
        data, inputs, notes = assemble(run, graphs, labels, settings, folder / "inputs")
    if ranks.is_main:
        write_json(folder / "model.json", model_record(run, settings, data, inputs, graphs[0]))
        save_state(folder / "scaling.safetensors", inputs.scaling)
    prior = RegisteredPrior.if_placed(data, settings.prior.sd_deg)
    fits = []
    for seed in _seeds(settings):
        with phase("training"):
            probabilities, curve = fit_seed(folder, data, settings, seed, ranks, prior)
        fits.append((probabilities, curve))
        log(f"{result.folder.name}: " + (f"seed {seed} done, {len(curve)} epochs" if curve else "fitted"))
    if not ranks.is_main:
        return {}
    averaged = average([probabilities for probabilities, _ in fits])
    with phase("evaluation"):
        baselines = baseline_predictions(data, graphs, prior)
        metrics = evaluate(data, graphs, [p for p, _ in fits], _names(data, graphs[0]), settings.seed, baselines)
    if settings.areas.leave_out:
        is_left_out = np.isin(np.concatenate(labels), left_out_labels(settings.areas.leave_out, graphs[0].labels))
        distances = input_distances(data.inputs)
        metrics["unknown"] = unknown_record(data, is_left_out, averaged, distances, list(metrics["splits"]))
    if settings.calibration == "temperature":
        temperatures = _learnt(folder, settings, "temperature")
        metrics["calibration"] = calibration_record(data, [p for p, _ in fits], temperatures, metrics["splits"])
    if settings.crf.hops:
        metrics["crf"] = {"weights": _learnt(folder, settings, "surroundings_weight")}
    if settings.prior.registration and settings.prior.vote:
        sds, weights = (_learnt(folder, settings, name) for name in ("prior_sd", "image_weight"))
        metrics["prior"] = {"sd_deg": sds, "image_weights": weights}
    sides = np.where(data.targets >= 0, data.sides, "")
    registered = baselines.get(REGISTERED)
    by_prior = [None] * len(graphs) if registered is None else data.graphs(data.classes[registered])
    for graph, part, side, carried in zip(graphs, data.graphs(averaged), data.graphs(sides), by_prior, strict=True):
        table = prediction_table(graph, part, data.classes, side, carried)
        write_predictions(folder, graph, table, table["area"])
        if settings.outlines:
            write_outlines(run, folder, graph, np.where(graph.is_linked, table["area"], 0), settings.outline_step_mm)
    if settings.null.spins:
        metrics["null"] = label_null(spheres, graphs, inputs, settings, metrics["splits"], data.places)
    return metrics | {
        "model": settings.one_model.kind,
        "inputs": [*inputs.names, *[PRIOR] * settings.prior_is_input],
        "n_inputs": int(data.inputs.shape[1]),
        "n_train": int(data.is_train.sum()),
        "n_validation": int(data.is_validation.sum()),
        "curves": [{"seed": s, "epochs": curve} for s, (_, curve) in zip(_seeds(settings), fits, strict=True)],
        "notes": [*choice, *notes],
        **({"candidates": candidates} if candidates else {}),
    }


def _learnt(folder: Path, settings: ClassifyConfig, name: str) -> list[float]:
    """Return a learnt number of each training."""
    files = [folder / f"seed-{seed}.safetensors" for seed in _seeds(settings)]
    return [round(float(load_state(path)[name][0]), 6) for path in files]


def input_distances(inputs: Inputs) -> NDArray[np.float64]:
    """Return how far nodes are from the middle of what was learnt from: RMS of their standardised inputs, (n,)."""
    return map_rows(lambda x: np.sqrt(np.mean(x.astype(np.float64) ** 2, axis=1)), inputs)


def classifier_digest(folder: Path) -> str:
    """Digest all that predictions with a classifier depend on."""
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    return digest({name: content_digest(folder / name) for name in ("model.json", *names)})


def model_record(
    run: Path, settings: ClassifyConfig, data: NodeData, inputs: NodeInputs, graph: CortexGraph
) -> dict[str, Any]:
    """Return what is needed, beside the weights, to use the model on other graphs."""
    distances = input_distances(take(data.inputs, data.is_train))
    registration = settings.prior.registration
    colours = graph.labels.colours[graph.labels.columns(data.classes)]
    return {
        "format": FORMATS["classifier"],
        "settings": settings.model_dump(mode="json"),
        "inputs": [
            {"name": n, "width": w} | ({"maps": maps} if (maps := input_maps(run, graph, n)) else {})
            for n, w in zip(inputs.names, inputs.widths, strict=True)
        ],
        "classes": [
            entry | {"colour": colour.round(6).tolist()}
            for entry, colour in zip(class_records(data, _names(data, graph)), colours, strict=True)
        ],
        "distance_quantiles": np.quantile(distances, QUANTILES).tolist(),
        "weights": [f"seed-{seed}.safetensors" for seed in _seeds(settings)],
        "scaling": "scaling.safetensors" if inputs.scaling else None,
        "config": write_config(settings),
        **({"template": template_of(run, registration)} if registration else {}),
    }


def summarise(metrics: dict[str, Any]) -> dict[str, Any]:
    """Flatten `metrics.json` to the numbers that a table shows."""
    summary: dict[str, Any] = {}
    for side, split in metrics["splits"].items():
        summary[f"macro_f1_{side}"] = split["mean"]["macro_f1"]
        if len(split["seeds"]) > 1:
            summary[f"macro_f1_{side}_sd"] = split["sd"]["macro_f1"]
        summary[f"n_nodes_{side}"], summary[f"n_areas_{side}"] = split["n_nodes"], split["n_classes"]
    for side, null in metrics.get("null", {}).items():
        summary[f"null_{side}"], summary[f"null_{side}_sd"] = null["mean"], null["sd"]
    epochs = [len(curve["epochs"]) for curve in metrics["curves"]]
    return summary | {
        "n_classes": len(metrics["classes"]),
        "n_train": metrics["n_train"],
        **({"epochs": float(np.mean(epochs))} if any(epochs) else {}),
        "seconds": metrics["seconds"],
    }


def _seeds(settings: ClassifyConfig) -> list[int]:
    n = settings.n_seeds if classifier_kind(settings.one_model).has_chance else 1
    return [settings.seed + i for i in range(n)]


def _names(data: NodeData, graph: CortexGraph) -> list[str]:
    return [graph.labels.name(int(label)) for label in data.classes]
