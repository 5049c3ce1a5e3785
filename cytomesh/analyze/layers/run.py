"""The stage `segment-layers`: decoders trained, sections segmented, layers put in order, measured and scored."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.analyze.layers.classes import BOUNDARIES, IGNORE, LAYERS
from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.analyze.layers.methods import DEPTH, PROFILES, fit_methods
from cytomesh.analyze.layers.output import TRUE, write_nodes, write_shares
from cytomesh.analyze.layers.ribbon import Grid, depth_field
from cytomesh.analyze.layers.sections import (
    LinkedSection,
    linked_sections,
    without_other_hemispheres,
)
from cytomesh.analyze.layers.segment import segment_sections
from cytomesh.analyze.layers.tally import SIDES
from cytomesh.analyze.layers.training import DrawnPatches, Segmenter, train_segmenter
from cytomesh.analyze.layers.truth import read_truth, truth_files, truth_read
from cytomesh.analyze.layers.views import Job
from cytomesh.analyze.layers.weights import save_segmenter
from cytomesh.analyze.places import few_places
from cytomesh.analyze.products import analysis_product
from cytomesh.classify.splits import TRAIN, VALIDATION, make_split
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.distributed import find_device
from cytomesh.core.errors import ConfigError, MissingStageError, SplitError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.parallel import available_cpus, map_ahead
from cytomesh.core.progress import track, warn
from cytomesh.core.provenance import Inputs, flat_settings, place
from cytomesh.core.random import isolated_seed
from cytomesh.core.reading import command, reading
from cytomesh.core.run import product_folders
from cytomesh.core.sections import left_out_facts
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import ANNOTATION, LINKS, MEASURES, parts_read
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.normalise import open_run_study
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.export import encoder_folder, encoder_read, load_encoder
from cytomesh.pretrain.patches import images_of
from cytomesh.pretrain.pool import SectionPatches
from cytomesh.study.contours import read_contours
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.study import Study

LEAST_UM = 20.0
NOT_IN_KEY = {"device", "batch_size", "on_bad_section"}


def layers_run(
    run: Path,
    name: str,
    settings: LayersConfig,
    *,
    resume: bool = True,
    allow_stale: bool = False,
    workers: int = 0,
    scheduler: str | None = None,
) -> dict[str, Any]:
    """Segment the layers of all linked sections; writes `analyze/<name>/`.

    `metrics.json`, `scores.parquet`, `nodes/<graph>.parquet`, `<graph>_layer_<I>.shape.gii`, `masks/*.ome.zarr`,
    `contours/*.geojson`, `shares/<graph>.parquet` (of all methods), `<encoder>.safetensors` (decoders).

    Decoders are trained here; sections are segmented by so many processes (`workers`; 0: one a processor, or a
    few that share a GPU), or by the workers of a Dask `scheduler`. Stopped or killed, the same call keeps what is
    segmented.

    Returns
    -------
    dict
        By method and side: macro-F1, boundary error (um), error of thickness (mm).

    Raises
    ------
    FeatureError
        If an encoder has no grid of features.
    ImageError, ContourError
        If truth cannot be read, or is not of its section.
    MissingStageError, SplitError
        If encoders or truth are not there, or a side of the split is empty.
    StaleError
        If graphs or encoders are stale, unless `allow_stale`.
    """
    study, graphs = open_run_study(run), load_graphs(run)
    encoders = _encoder_folders(run, settings.encoders)
    sections, notes = linked_sections(study, graphs)
    files = truth_files(study, [linked.section for linked in sections], settings.truth)
    known = [np.array([(graph.brain, int(s)) in files for s in graph.section], np.int32) for graph in graphs]
    split = make_split(graphs, known, settings.split, settings.seed)
    result = analysis_product(run, name, "layers")
    with file_digests(run) as digests, result.open():
        loaded = {name: load_encoder(folder) for name, folder in encoders.items()}
        inputs = Inputs(flat_settings(settings, NOT_IN_KEY))
        for own, folder in encoders.items():
            inputs = inputs.merge(_named(own, encoder_read(run, folder, loaded[own], digests)))
        inputs = inputs.merge(images_of(run, study, graphs, digests)).merge(truth_read(run, study, files, digests))
        inputs = inputs.merge(parts_read(run, graphs, (LINKS, MEASURES, ANNOTATION), digests))
        inputs = inputs.merge(_contours_read(run, study, sections, digests))
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "segmented again")
            with result.writing(inputs, settings, settings.seed, resume=resume) as work:
                first = next(iter(loaded.values()))
                um = settings.um_per_px or max(first.patches.um_per_px, LEAST_UM)
                folder = Path(os.path.abspath(work.folder))  # noqa: PTH100 (other machines are in other folders)
                job = Job(folder, settings, um, graphs, sections, files, split).of_every(settings.every)
                _segment_all(job, loaded, [*notes, *split.notes], workers, scheduler)
                work.finish()
    metrics = read_json(result.folder / "metrics.json")
    with reading(result.folder / "metrics.json"):
        return summary(metrics)


def summary(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten `metrics.json` to what a table shows."""
    return {
        f"{method}: {side}": {
            "macro_f1": scores["macro_f1"],
            "boundary_um": float(np.nanmean(scores["boundary_um"])),
            "thickness_error_mm": float(np.nanmean(scores["thickness"]["error_mm"])),
        }
        for method, sides in metrics["methods"].items()
        for side, scores in sides.items()
    }


def _encoder_folders(run: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """Return the folders of encoders by the names that their results have."""
    names = list(wanted) or [folder.name for folder in product_folders(run, "encoders")]
    if not names:
        raise MissingStageError(run / "encoders", found="no encoder", hint=f"run '{command(run, 'encoders')}' first")
    found: dict[str, Path] = {}
    for folder in (encoder_folder(run, name) for name in names):
        own = folder.resolve().name
        if own in (PROFILES, DEPTH, TRUE):
            fault = "an encoder with the name of what stands beside encoders"
            raise ConfigError("encoders", own, found=fault, hint="rename its folder")
        if found.setdefault(own, folder).resolve() != folder.resolve():
            fault = f"two encoders of one name, {found[own]} and {folder}"
            raise ConfigError("encoders", own, found=fault, hint="rename the folder of one of them")
    return found


def _named(encoder: str, inputs: Inputs) -> Inputs:
    """Tell the inputs of several encoders apart."""

    def own(part: Mapping[str, Any]) -> dict[str, Any]:
        return {f"{encoder}, {key}": value for key, value in part.items()}

    return Inputs({}, own(inputs.values), own(inputs.files), own(inputs.products))


def _contours_read(run: Path, study: Study, sections: Sequence[LinkedSection], digests: FileDigests) -> Inputs:
    paths = {linked.section.name: linked.section.contours for linked in sections if linked.section.contours}
    contents = digests.digest_all(paths.values())
    places = (place(path, run, study.path.parent) for path in paths.values())
    named = (f"contours: {name}" for name in paths)
    return Inputs(files=dict(zip(named, zip(places, contents, strict=True), strict=True)))


def _segment_all(
    job: Job, encoders: Mapping[str, PatchEncoder], notes: list[str], workers: int, scheduler: str | None
) -> None:
    settings = job.settings
    device = find_device(settings.device)
    drawn = _drawn_patches(job)
    models, curves = {}, {}
    for name, encoder in encoders.items():
        with isolated_seed(settings.seed, "decoder", name):
            models[name] = Segmenter(name, encoder, settings.decoder, job.um_per_px).to(device)
        if few := few_places(encoder, *models[name].dense.places):
            warn(f"segment-layers: {name}: {few}")
            notes = [*notes, f"{name}: {few}"]
        curves[name] = train_segmenter(models[name], drawn, settings.training, settings.seed)
        save_segmenter(job.folder, models[name], settings.training.fine_tune)
    methods = fit_methods(job, models)
    wanted = [s for s in job.sections if settings.sections == "all" or job.sides_in(s) & set(SIDES)]
    found, left_out = segment_sections(job, wanted, methods, workers=workers, scheduler=scheduler)
    notes = [*notes, *(f"{name} is left out: {problem}" for name, problem in left_out.items())]
    for number, graph in enumerate(job.graphs):
        write_nodes(job.folder, graph, found.shares[next(iter(models))][number])
        own = {method: shares[number] for method, shares in found.shares.items()}
        write_shares(job.folder, graph, {TRUE: found.true_shares[number], **own})
    rows = found.tally.rows()
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    units = {key: "um" for key in columns if key.endswith("_um")}
    write_table(job.folder / "scores.parquet", Table(columns, units))
    facts = {
        "kind": "layers",
        "layers": LAYERS,
        "boundaries": BOUNDARIES,
        "um_per_px": job.um_per_px,
        "encoders": list(encoders),
        "baselines": list(methods.baselines),
        "trust": dict(methods.trusts),
        "shown": found.shown,
        "notes": notes,
        **left_out_facts(left_out),
        "curves": curves,
    }
    write_json(job.folder / "metrics.json", {**facts, "methods": found.tally.record(found.thickness(job))})


def _drawn_patches(job: Job) -> list[DrawnPatches]:
    """Return the image links of training and validation nodes with truth and depth of their sections."""
    learnt = [linked for linked in job.sections if job.sides_in(linked) & {TRAIN, VALIDATION}]
    with closing(map_ahead(partial(_drawn_in, job), learnt, available_cpus())) as ahead:
        drawn = [part for parts in track(ahead, "read layers", len(learnt), unit="sections") for part in parts]
    if all(part.is_validation for part in drawn):
        expected = "layers drawn at nodes of the training side"
        hint = "draw layers there, choose another split, or see what truth.codes and truth.classes take for ignore"
        raise SplitError("truth", TRAIN, found="no node where layers are known", expected=expected, hint=hint)
    return drawn


def _drawn_in(job: Job, linked: LinkedSection) -> list[DrawnPatches]:
    section, drawn = linked.section, []
    shape = read_header(linked.image, section.image_part).shape
    grid = Grid.of(shape, section.um_per_px, job.um_per_px)
    truth = read_truth(job.files[linked.key], section, shape, job.settings.truth)
    contours = read_contours(section)
    for number, part in linked.parts.items():
        hemisphere = job.graphs[number].hemisphere
        if hemisphere not in contours:
            continue
        own = without_other_hemispheres(truth, contours, hemisphere)
        field, _, _ = depth_field(contours[hemisphere], grid, section.um_per_px)
        sides = job.split.sides[number][part.rows]
        is_known = own.sample(part.pixels) != IGNORE  # elsewhere patches may show nothing to learn from
        for side in (TRAIN, VALIDATION):
            rows = (sides == side) & is_known
            if rows.any():
                some = SectionPatches(section, part.image, part.pixels[rows], part.angles_deg[rows], part.rows[rows])
                drawn.append(DrawnPatches(some, own, field, grid, side == VALIDATION))
    return drawn
