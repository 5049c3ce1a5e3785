"""The stage `inspect`: map, similarity, separation, neighbours and attention of the features of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.inspect.config import InspectConfig
from cytomesh.analyze.inspect.examples import Examples, choose_examples, read_patches_of, write_examples
from cytomesh.analyze.inspect.figures import NONE, write_figures
from cytomesh.analyze.inspect.groups import check_lobes, write_separation, write_similarity
from cytomesh.analyze.inspect.latent_map import latent_map
from cytomesh.analyze.inspect.neighbours import correspondence
from cytomesh.analyze.inspect.nodes import LinkedNodes, check_colours, colour_columns, linked_nodes
from cytomesh.analyze.inspect.saliency import saliency, write_saliency
from cytomesh.analyze.measures import measures_read
from cytomesh.analyze.places import few_places
from cytomesh.analyze.products import analysis_product
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import ConfigError, MissingStageError, did_you_mean
from cytomesh.core.files import read_json, write_array, write_json
from cytomesh.core.phases import phase
from cytomesh.core.progress import log, warn
from cytomesh.core.provenance import Inputs, flat_settings
from cytomesh.core.random import generator
from cytomesh.core.reading import command, reading
from cytomesh.core.run import product_folders
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import AREAS, MAPS, PARTS, features_read, parts_read
from cytomesh.graph.spheres import spheres_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.imaging.normalise import open_run_study
from cytomesh.page.colours import css_colour
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.export import WEIGHTS, encoder_folder, encoder_read, load_encoder
from cytomesh.pretrain.patches import images_of
from cytomesh.study.study import Study

NOT_READ = (AREAS, MAPS)
SCORES = ("silhouette", "accuracy", "chance")


@dataclass(frozen=True, slots=True)
class PatchView:
    """Where patches are read, and the encoder that looks at them."""

    study: Study
    folder: Path
    encoder: PatchEncoder


def inspect_run(
    run: Path, name: str, settings: InspectConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Look at the features of a run; writes `analyze/<name>/`.

    `metrics.json`; tables `map.parquet`, `similarity.parquet`, `neighbours.parquet`, `examples.parquet` and
    `nodes/<graph>.parquet` (silhouettes, which `variation` takes as targets), `saliency.parquet`; `patches.npy`; for
    print, `map`, `similarity` and `saliency` as SVG and PDF.

    Returns
    -------
    dict
        Separation of brains and of areas, and how well nodes are found again in other brains.

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
    check_lobes(graphs[0].labels, settings.lobes)
    view, notes = _patch_view(run, features, graphs, settings)
    result = analysis_product(run, name, "inspect")
    with file_digests(run) as digests, result.open():
        inputs = Inputs(settings={**flat_settings(settings), "features": features})
        parts = [part for part in PARTS if part not in NOT_READ]
        inputs = inputs.merge(parts_read(run, graphs, parts, digests))
        inputs = inputs.merge(features_read(run, graphs, [features], digests))
        inputs = inputs.merge(spheres_read(run, graphs if settings.spins else (), digests))
        inputs = inputs.merge(measures_read(run, graphs, settings.map.colour_by, digests))
        inputs = inputs.merge(_view_read(run, view, graphs, digests))
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            nodes = linked_nodes(run, features, graphs, settings)
            examples = choose_examples(nodes, settings.examples, settings.seed)
            result.announce(inputs, "looked at again")
            with result.writing(inputs, settings, settings.seed, resume=resume) as work:
                facts = {"kind": "inspect", "features": features, "centred": settings.centred, "n_nodes": len(nodes)}
                facts |= _write_all(run, work.folder, nodes, examples, view, settings, notes)
                write_json(work.folder / "metrics.json", facts)
                write_figures(work.folder, facts)
                work.finish()
    metrics = read_json(result.folder / "metrics.json")
    with reading(result.folder / "metrics.json"):
        return summary(metrics)


def summary(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten `metrics.json` to what a table shows."""
    found: dict[str, Any] = {"features": metrics["features"], "nodes": metrics["n_nodes"]}
    for what, scores in metrics["separation"].items():
        found |= {f"{what}: {key}": scores[key] for key in SCORES}
    return found | {f"across brains: {key}": value for key, value in (metrics["correspondence"] or {}).items()}


def _features(run: Path, wanted: str | None) -> str:
    there = [folder.name for folder in product_folders(run, "features")]
    if not there:
        raise MissingStageError(run / "features", found="no features", hint=f"run '{command(run, 'features')}' first")
    if wanted is None and len(there) > 1:
        hint = f"add --set features={there[0]}"
        raise ConfigError("features", found="features of several names", expected=" or ".join(there), hint=hint)
    if wanted is not None and wanted not in there:
        hint = did_you_mean(wanted, there)
        raise ConfigError("features", wanted, found="no features of this name", expected=" or ".join(there), hint=hint)
    return wanted or there[0]


def _patch_view(
    run: Path, features: str, graphs: Sequence[CortexGraph], settings: InspectConfig
) -> tuple[PatchView | None, list[str]]:
    """Return where patches come from, or why there are none."""
    if not any(graph.has_image.any() for graph in graphs):
        return None, ["no patches: imported surfaces have no section images"]
    folder = encoder_folder(run, settings.examples.encoder or features)
    if settings.examples.encoder is None and not (folder / WEIGHTS).is_file():
        return None, [f"no patches: {features} is no encoder of this run (examples.encoder may name another)"]
    return PatchView(open_run_study(run), folder, load_encoder(folder)), []


def _view_read(run: Path, view: PatchView | None, graphs: Sequence[CortexGraph], digests: FileDigests) -> Inputs:
    """Return what patches depend on; which of the sections are shown follows from features, and is not asked here."""
    if view is None:
        return Inputs()
    read = encoder_read(run, view.folder, view.encoder, digests)
    return read.merge(images_of(run, view.study, graphs, digests))


def _write_all(
    run: Path,
    folder: Path,
    nodes: LinkedNodes,
    examples: Examples,
    view: PatchView | None,
    settings: InspectConfig,
    notes: list[str],
) -> dict[str, Any]:
    """Write every table and array; returns what `metrics.json` says of them."""
    write_examples(folder, nodes, examples)
    return {
        "map": _write_map(run, folder, nodes, settings, notes),
        "separation": write_separation(run, folder, nodes, settings, notes),
        "similarity": write_similarity(folder, nodes, settings.lobes),
        "correspondence": _correspondence(nodes, settings, notes),
        "saliency": _write_saliency(folder, nodes, examples, view, settings, notes),
        "notes": notes,
    }


def _write_map(
    run: Path, folder: Path, nodes: LinkedNodes, settings: InspectConfig, notes: list[str]
) -> dict[str, Any]:
    rows = np.sort(generator(settings.seed, "nodes of the map").permutation(len(nodes))[: settings.map.n_nodes])
    every = colour_columns(run, nodes, settings.map.colour_by, rows)
    shown = {name: values for name, values in every.items() if _has_values(values)}
    if lacking := ", ".join(name for name in every if name not in shown):
        notes.append(f"the map is not coloured by {lacking}: no value at any of its nodes")
    if not shown:
        found, hint = "no value at any linked node", "name a column that has some, or 'brain'"
        raise ConfigError("map.colour_by", lacking, found=found, hint=hint)
    log(f"inspect: {settings.map.method} of {len(rows):,} of {len(nodes):,} linked nodes")
    with phase("map"):
        places = latent_map(nodes.features[rows], settings.map, settings.seed)
    columns = {"graph": nodes.graph_names[rows], "node": nodes.node[rows], "x": places[:, 0], "y": places[:, 1]}
    units: dict[str, str] = {}
    for graph in nodes.graphs:
        units |= {name: graph.nodes.units[name] for name in shown if name in graph.nodes.units}
    write_table(folder / "map.parquet", Table(columns | shown, units))
    colours = {name: css_colour(rgba) for _, name, rgba in nodes.graphs[0].labels.rows()}
    return {"method": settings.map.method, "n_nodes": len(rows), "colour_by": list(shown), "colours": colours}


def _has_values(values: NDArray[Any]) -> bool:
    return bool((values != NONE).any() if values.dtype.kind in "OU" else np.isfinite(values).any())


def _correspondence(nodes: LinkedNodes, settings: InspectConfig, notes: list[str]) -> dict[str, Any] | None:
    if len(np.unique(nodes.brain)) < 2:
        notes.append("one brain: no neighbours in others")
        return None
    random = generator(settings.seed, "correspondence")
    queries = np.sort(random.permutation(len(nodes))[: settings.map.n_nodes])
    with phase("neighbours"):
        found = correspondence(nodes.features, nodes.brain, nodes.area, nodes.reference, queries, random)
    return {key: None if np.isnan(value) else value for key, value in asdict(found).items()}


def _write_saliency(
    folder: Path,
    nodes: LinkedNodes,
    examples: Examples,
    view: PatchView | None,
    settings: InspectConfig,
    notes: list[str],
) -> dict[str, Any] | None:
    if view is None or not examples.n:
        return None
    geometry = view.encoder.patches
    patches = read_patches_of(view.study, nodes, examples.rows, geometry)
    write_array(folder / "patches.npy", patches)
    facts: dict[str, Any] = {
        "um_per_px": geometry.um_per_px,
        "size_px": geometry.size_px,
        "gamma": settings.examples.gamma,
    }
    facts["encoder"] = f"{view.folder.name} ({view.encoder.config.name})"
    try:
        with phase("saliency"):
            found = saliency(view.encoder, patches[: examples.n])
    except ConfigError as error:
        notes.append(f"no maps of what the encoder looks at: {error}")
        return {**facts, "method": "", "panels": [], "query": ""}
    if few := few_places(view.encoder, *found.maps.shape[-2:]):
        warn(f"inspect: {few}")
        notes.append(few)
    write_saliency(folder / "saliency.parquet", found)
    return {**facts, "method": found.method, "panels": list(found.panels), "query": found.query}
