"""The stage `segment-layers`: decoders trained, sections segmented, layers put in order, measured and scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.ndimage import map_coordinates

from cytomesh.analyze.layers.baseline import DepthPrior, ProfileClassifier, grey_profiles
from cytomesh.analyze.layers.classes import BOUNDARIES, LAYERS, N_LAYERS
from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.analyze.layers.order import boundary_depths, layer_shares, order_layers, smooth_along
from cytomesh.analyze.layers.output import write_nodes, write_section
from cytomesh.analyze.layers.ribbon import SPACING_PX, Grid, SectionRibbon
from cytomesh.analyze.layers.sections import (
    LinkedSection,
    column_sides,
    linked_sections,
    node_columns,
    ribbons_of,
    without_other_hemispheres,
)
from cytomesh.analyze.layers.tally import SIDES, Tally
from cytomesh.analyze.layers.tiles import segment_ribbon
from cytomesh.analyze.layers.training import DrawnPatches, Segmenter, train_segmenter
from cytomesh.analyze.layers.truth import TruthFiles, column_truth, filled_in, read_truth, truth_files, truth_read
from cytomesh.classify.splits import TRAIN, VALIDATION, NodeSplit, make_split
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.distributed import find_device
from cytomesh.core.errors import MissingStageError
from cytomesh.core.files import atomic_path, read_json, write_json
from cytomesh.core.progress import track
from cytomesh.core.provenance import Inputs, flat_settings, place
from cytomesh.core.random import isolated_seed
from cytomesh.core.reading import command, reading
from cytomesh.core.run import product, product_folders, read_study_path
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import ANNOTATION, LINKS, MEASURES, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.imaging.pyramid import Pyramid, open_image
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.export import encoder_folder, encoder_read, load_encoder
from cytomesh.pretrain.patches import images_of
from cytomesh.pretrain.pool import SectionPatches
from cytomesh.study.contours import read_contours
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.study import Study, open_study

PROFILES, DEPTH = "profiles", "depth alone"
LEAST_UM = 20.0
FIT_COLUMNS = 20_000
NOT_IN_KEY = {"device", "batch_size"}


class Baseline(Protocol):
    """Layers from profiles, (n, k), to probabilities, (n, k, 6)."""

    def predict(self, profiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """What a run of this stage works on.

    Parameters
    ----------
    folder : Path
        To write to.
    settings : LayersConfig
    um_per_px : float
        Pixel size of the segmentation.
    graphs : sequence of CortexGraph
    sections : list of LinkedSection
    files : dict
        Truth by brain and section.
    split : NodeSplit
        Sides of the nodes whose sections have truth.
    """

    folder: Path
    settings: LayersConfig
    um_per_px: float
    graphs: Sequence[CortexGraph]
    sections: list[LinkedSection]
    files: TruthFiles
    split: NodeSplit

    def sides_in(self, linked: LinkedSection) -> set[str]:
        """Return the sides of the nodes linked to a section."""
        return {str(s) for number, part in linked.parts.items() for s in self.split.sides[number][part.rows]} - {""}


def layers_run(
    run: Path, name: str, settings: LayersConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Segment the layers of all linked sections; writes `analyze/<name>/`.

    `metrics.json`, `scores.parquet`, `nodes/<graph>.parquet`, `<graph>_layer_<I>.shape.gii`, `masks/*.ome.zarr`,
    `contours/*.geojson`, `<encoder>.safetensors` (decoders).

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
    study, graphs = open_study(read_study_path(run)), load_graphs(run)
    encoders = {folder.resolve().name: folder for folder in _encoder_folders(run, settings.encoders)}
    sections, notes = linked_sections(study, graphs)
    files = truth_files(study, [linked.section for linked in sections], settings.truth)
    known = [np.array([(graph.brain, int(s)) in files for s in graph.section], np.int32) for graph in graphs]
    split = make_split(graphs, known, settings.split, settings.seed)
    result = product(run, "analyze", name)
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
                job = Job(work.folder, settings, um, graphs, sections, files, split)
                _segment_all(job, loaded, [*notes, *split.notes])
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


def _encoder_folders(run: Path, wanted: Sequence[str]) -> list[Path]:
    names = list(wanted) or [folder.name for folder in product_folders(run, "encoders")]
    if not names:
        raise MissingStageError(run / "encoders", found="no encoder", hint=f"run '{command(run, 'encoders')}' first")
    return [encoder_folder(run, name) for name in names]


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


def _segment_all(job: Job, encoders: Mapping[str, PatchEncoder], notes: list[str]) -> None:
    settings = job.settings
    device = find_device(settings.device)
    drawn = _drawn_patches(job)
    models, curves = {}, {}
    for name, encoder in encoders.items():
        size_px = round(encoder.patches.size_px * encoder.patches.um_per_px / job.um_per_px)
        with isolated_seed(settings.seed, "decoder", name):
            models[name] = Segmenter(name, encoder, settings.decoder, size_px).to(device)
        curves[name] = train_segmenter(models[name], drawn, settings.training, job.um_per_px, settings.seed)
        _save(job.folder / f"{name}.safetensors", models[name], settings.training.fine_tune)
    baselines = _fit_baselines(job)
    found = Results.empty(job, [*models, *baselines])
    wanted = [s for s in job.sections if settings.sections == "all" or job.sides_in(s) & set(SIDES)]
    for linked in track(wanted, "segment sections", unit="sections"):
        _segment_section(job, linked, models, baselines, found)
    for number, graph in enumerate(job.graphs):
        write_nodes(job.folder, graph, found.shares[next(iter(models))][number])
    rows = found.tally.rows()
    write_table(job.folder / "scores.parquet", Table({key: np.array([row[key] for row in rows]) for key in rows[0]}))
    facts = {
        "kind": "layers",
        "layers": LAYERS,
        "boundaries": BOUNDARIES,
        "um_per_px": job.um_per_px,
        "encoders": list(encoders),
        "baselines": list(baselines),
        "shown": found.shown,
        "notes": notes,
        "curves": curves,
    }
    write_json(job.folder / "metrics.json", {**facts, "methods": found.tally.record(found.thickness(job))})


def _save(path: Path, model: Segmenter, with_encoder: bool) -> None:
    state = {f"decoder.{name}": value for name, value in model.decoder.state_dict().items()}
    if with_encoder:
        state |= {f"encoder.{name}": value for name, value in model.encoder.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, temporary)


def _drawn_patches(job: Job) -> list[DrawnPatches]:
    """Return the image links of training and validation nodes with the truth of their sections."""
    drawn = []
    for linked in track(job.sections, "read layers", unit="sections"):
        if not job.sides_in(linked) & {TRAIN, VALIDATION}:
            continue
        section = linked.section
        shape = read_header(next(iter(linked.parts.values())).image).shape
        truth = read_truth(job.files[linked.key], section, shape, job.settings.truth)
        contours = read_contours(section) if len(linked.parts) > 1 else None
        for number, part in linked.parts.items():
            own = without_other_hemispheres(truth, contours, job.graphs[number].hemisphere) if contours else truth
            sides = job.split.sides[number][part.rows]
            for side in (TRAIN, VALIDATION):
                rows = sides == side
                if rows.any():
                    some = SectionPatches(
                        section, part.image, part.pixels[rows], part.angles_deg[rows], part.rows[rows]
                    )
                    drawn.append(DrawnPatches(some, own, side == VALIDATION))
    return drawn


def _fit_baselines(job: Job) -> dict[str, Baseline]:
    """Fit what needs no encoder to the columns of the training side."""
    training = [linked for linked in job.sections if TRAIN in job.sides_in(linked)]
    at_most = max(1, FIT_COLUMNS // len(training))
    profiles, truths = [], []
    for linked in track(training, "read profiles", unit="sections"):
        with open_image(next(iter(linked.parts.values())).image) as image:
            for view in _views(job, linked, image):
                mine = np.flatnonzero(view.sides == TRAIN)
                if view.truth is None or not len(mine):
                    continue
                chosen = mine[np.unique(np.linspace(0, len(mine) - 1, min(len(mine), at_most)).astype(int))]
                profiles.append(_profiles(job, linked, view.ribbon, image)[chosen])
                truths.append(view.truth[chosen])
    truth = np.concatenate(truths)
    return {PROFILES: ProfileClassifier.fit(np.concatenate(profiles), truth), DEPTH: DepthPrior.fit(truth)}


def _profiles(job: Job, linked: LinkedSection, ribbon: SectionRibbon, image: Pyramid) -> NDArray[np.float32]:
    spacing_mm = SPACING_PX * job.um_per_px / 1000
    return grey_profiles(image, linked.section.um_per_px, ribbon.columns, job.um_per_px, spacing_mm)


@dataclass(frozen=True, slots=True)
class View:
    """One hemisphere of a section: its graph's number, ribbon, sides and true layers of columns, truth on the grid."""

    number: int
    ribbon: SectionRibbon
    sides: NDArray[np.str_]
    truth: NDArray[np.int32] | None
    true_pixels: NDArray[np.int32] | None


def _views(job: Job, linked: LinkedSection, image: Pyramid) -> list[View]:
    section = linked.section
    grid = Grid.of(image.shape, section.um_per_px, job.um_per_px)
    contours = read_contours(section)
    path = job.files.get(linked.key)
    drawn = None if path is None else read_truth(path, section, image.shape, job.settings.truth)
    views = []
    for number, ribbon in ribbons_of(linked, job.graphs, contours, grid, job.settings.depths):
        sides = column_sides(ribbon.columns, linked.parts[number], job.split.sides[number])
        if path is None or drawn is None:
            views.append(View(number, ribbon, sides, None, None))
            continue
        rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]]
        at = grid.image_pixels(np.stack([columns, rows], axis=-1).reshape(-1, 2))
        true_pixels = drawn.sample(at).reshape(grid.shape)
        # where an atlas' side has no part in the split, what was drawn there need not cover it
        truth = column_truth(path, section, drawn, ribbon.columns) if (sides != "").any() else None
        views.append(View(number, ribbon, sides, truth, true_pixels))
    return views


@dataclass(slots=True)
class Results:
    """What sections leave: scores, shares of layers at nodes by method and graph, the true ones, a section a side."""

    shares: dict[str, list[NDArray[np.float64]]]
    true_shares: list[NDArray[np.float64]]
    tally: Tally = field(default_factory=Tally)
    shown: dict[str, tuple[str, int]] = field(default_factory=dict)

    @classmethod
    def empty(cls, job: Job, methods: Sequence[str]) -> Results:
        """Return results without any."""

        def blank() -> list[NDArray[np.float64]]:
            return [np.full((graph.n_nodes, N_LAYERS), np.nan) for graph in job.graphs]

        return cls({method: blank() for method in methods}, blank())

    def thickness(self, job: Job) -> dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return true and found thickness of layers, mm, of the nodes of each side, by method and side."""
        mm = [np.asarray(graph.nodes["thickness_mm"], np.float64)[:, None] for graph in job.graphs]
        found = {}
        for method, side in self.tally.scores:
            pairs = [
                [(shares * own)[sides == side] for shares in (true, mine)]
                for true, mine, own, sides in zip(
                    self.true_shares, self.shares[method], mm, job.split.sides, strict=True
                )
            ]
            true_mm, found_mm = (np.concatenate(values) for values in zip(*pairs, strict=True))
            found[method, side] = true_mm, found_mm
        return found


def _segment_section(
    job: Job,
    linked: LinkedSection,
    models: Mapping[str, Segmenter],
    baselines: Mapping[str, Baseline],
    found: Results,
) -> None:
    """Segment a section by the first encoder and, where it is scored, by all others; write what the first finds."""
    section = linked.section
    scored = job.sides_in(linked) & set(SIDES)
    merged, true_pixels = None, None
    with open_image(next(iter(linked.parts.values())).image) as image:
        for view in _views(job, linked, image):
            for order, method in enumerate([*models, *baselines]):
                if order and not scored:
                    break
                if method in models:
                    probabilities, own = _by_network(job, linked, view.ribbon, image, models[method])
                else:
                    profiles = _profiles(job, linked, view.ribbon, image)
                    probabilities, own = baselines[method].predict(profiles), None
                boundaries = _ordered(job, view.ribbon, probabilities)
                painted = view.ribbon.paint(boundaries)
                _keep_shares(found.shares[method][view.number], linked, view, layer_shares(boundaries))
                if scored and view.truth is not None:
                    _score(linked, view, method, boundaries, painted, own, found)
                if order == 0:
                    merged = painted if merged is None else np.where(painted > 0, painted, merged)
                    true_pixels = view.true_pixels
    if merged is None:
        return
    for side in scored:
        found.shown.setdefault(side, linked.key)
    grid = view.ribbon.grid
    truth = None if true_pixels is None else np.maximum(true_pixels, 0).astype(np.uint8)
    write_section(job.folder, section, grid, merged, truth)


def _by_network(
    job: Job, linked: LinkedSection, ribbon: SectionRibbon, image: Pyramid, model: Segmenter
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the probabilities of layers along columns, and the network's own decision for each pixel of the cortex."""
    settings, um = job.settings, linked.section.um_per_px
    patches = model.encoder.patches
    with torch.inference_mode():
        maps = segment_ribbon(
            model.probabilities, image, um, ribbon.columns, ribbon.grid, patches, settings.overlap, settings.batch_size
        )
    at = np.moveaxis(ribbon.grid.pixels(ribbon.columns.points)[..., ::-1], 2, 0)
    layers = [map_coordinates(maps[1 + layer], at, order=1, mode="nearest") for layer in range(N_LAYERS)]
    return np.stack(layers, axis=-1), maps[:, np.isfinite(ribbon.depth)].argmax(axis=0)


def _ordered(job: Job, ribbon: SectionRibbon, probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    columns = ribbon.columns
    sd = job.settings.smoothing_mm * 1000 / (SPACING_PX * job.um_per_px)
    smooth = smooth_along(probabilities, columns.line, columns.is_closed, sd)
    return boundary_depths(order_layers(smooth), N_LAYERS)


def _keep_shares(kept: NDArray[np.float64], linked: LinkedSection, view: View, shares: NDArray[np.float64]) -> None:
    nodes, columns = node_columns(view.ribbon.columns, linked.parts[view.number])
    kept[nodes] = shares[columns]


def _score(
    linked: LinkedSection,
    view: View,
    method: str,
    boundaries: NDArray[np.float64],
    painted: NDArray[np.uint8],
    unordered: NDArray[np.int64] | None,
    found: Results,
) -> None:
    assert view.truth is not None and view.true_pixels is not None
    probabilities, has_truth = filled_in(view.truth)
    true_boundaries = boundary_depths(order_layers(probabilities), N_LAYERS)
    true_shares = np.where(has_truth[:, None], layer_shares(true_boundaries), np.nan)
    _keep_shares(found.true_shares[view.number], linked, view, true_shares)
    um, columns = linked.section.um_per_px, view.ribbon.columns
    true_points, points = columns.at(true_boundaries) * um, columns.at(boundaries) * um
    rows, places, nearest = view.ribbon.nearest_columns
    pixel_sides = view.sides[nearest]
    for side in np.unique(view.sides):
        if side not in SIDES:
            continue
        here, mine = pixel_sides == side, (view.sides == side) & has_truth
        found.tally.add(
            method,
            str(side),
            linked.section.name,
            view.true_pixels[rows[here], places[here]],
            painted[rows[here], places[here]],
            None if unordered is None else unordered[here],
            true_points[mine],
            points[mine],
        )
