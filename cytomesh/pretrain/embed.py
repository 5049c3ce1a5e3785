"""`cytomesh embed`: features of every linked node, section by section, the same bytes for any number of ranks."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.distributed import find_device, world
from cytomesh.core.errors import FeatureError, QualityError
from cytomesh.core.files import clear_partial, open_npy, remove, write_array
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import log, track
from cytomesh.core.provenance import (
    UNFINISHED,
    Inputs,
    Record,
    flat_settings,
    made_now,
    read_record,
    said,
    write_failure,
    write_record,
)
from cytomesh.core.reading import reading
from cytomesh.core.run import check_name, lock
from cytomesh.graph.features import SECTIONS, feature_changes, growing_features, keep_features
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.imaging.normalise import open_run_study
from cytomesh.imaging.patches import read_patches
from cytomesh.pretrain.config import EmbedConfig
from cytomesh.pretrain.encode import batch_slices, computing_threads, encode_patches
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.export import encoder_folder, encoder_read, load_encoder
from cytomesh.pretrain.extracted import ExtractedPatches, find_extracted, open_extracted
from cytomesh.pretrain.patches import OpenImages, images_of, say_conversion
from cytomesh.pretrain.pool import SectionPatches, graph_sections
from cytomesh.study.study import Study

NOT_IN_KEY = {"device", "seed"}
# Not in the key either as they were before there was such a setting.
LATER = {"precision": "float32", "compile": False}


@dataclass(frozen=True, slots=True)
class Piece:
    """The nodes of one graph in one section, the file of their features, and their patches if a bank holds them."""

    graph: CortexGraph
    part: SectionPatches
    path: Path
    extracted: ExtractedPatches | None


def embed_run(
    run: Path, encoder_name: str, settings: EmbedConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Compute features of every linked node of a run; alone, or on every rank that torchrun starts.

    Sections are shared out over the ranks. A section is always encoded in the same batches and, on a CPU, each of them
    by one thread, so that the features do not depend on how many there are. Each section is written as soon as it is
    there; a killed run goes on with the missing ones. Patches that were extracted for training, or by `cytomesh patches
    export`, are not read from images again: they are the same.

    Parameters
    ----------
    run : Path
        Run directory, with graphs.
    encoder_name : str
        An encoder of this run, `RUN/encoders/<name>`, or the folder of another.
    settings : EmbedConfig
    resume : bool
        Keep features and sections that are there; False computes all again.
    allow_stale : bool
        Embed with an encoder or graphs that are not what their inputs would give now.

    Raises
    ------
    FeatureError
        If a feature is not finite, naming section and node.
    StaleError
        If the encoder or a graph is stale, unless that is allowed.
    """
    began = time.perf_counter()
    study = open_run_study(run)
    graphs = load_graphs(run)
    folder = encoder_folder(run, encoder_name)
    name = folder.resolve().name
    with (
        world(settings.device, threads=1 if find_device(settings.device).type == "cpu" else None) as here,
        lock(run, f"features/{check_name(name, '--encoder')}") if here.is_main else nullcontext(),
    ):
        encoder = load_encoder(folder).to(here.device)
        if settings.compile and here.device.type == "cuda":
            encoder.compile(dynamic=True)  # the last batch of a section has any size
        inputs: dict[str, Inputs] = {}
        banks: dict[str, list[str]] = {}
        if here.is_main:
            with file_digests(run) as digests:
                inputs = {g.name: embed_inputs(run, study, g, folder, encoder, settings, digests) for g in graphs}
                freshness = Freshness(run, digests)
                for some in inputs.values():
                    freshness.check(some, allow_stale=allow_stale)
                _plan(run, name, inputs, digests, settings.seed, resume=resume)
                banks = find_extracted(run, encoder.patches, freshness)
        banks = here.given(banks)  # all ranks do what the main one has planned
        shards = growing_features(run / "features" / name)
        todo = [graph for graph in graphs if graph.name in shards]
        extracted = open_extracted(run, study, graphs, banks) if todo else {}
        pieces = [
            Piece(graph, part, shards[graph.name] / f"{part.section.index}.npy", extracted.get(graph.name))
            for graph in todo
            for part in graph_sections(study, graph)
        ]
        mine = [piece for piece in pieces[here.rank :: here.size] if not piece.path.is_file()]
        if here.is_main:
            say_conversion(name, (piece.part for piece in pieces), encoder.config.in_chans or 1)
        n_cpus = max(1, available_cpus() // here.size)
        sources = [piece.extracted for piece in mine]
        computed = embed_sections([piece.part for piece in mine], encoder, settings, n_cpus, sources)
        with _failure_kept(shards.values()), closing(computed) as features:
            done = (_embed_piece(piece, features) for piece in mine)
            n_patches = sum(track(done, "embed", total=len(mine), unit="sections"))
        here.barrier()
        if here.is_main:
            seconds_a_patch = (time.perf_counter() - began) / max(1, sum(len(piece.part.rows) for piece in pieces))
            for graph in todo:
                seconds = seconds_a_patch * sum(len(piece.part.rows) for piece in pieces if piece.graph is graph)
                _assemble(run, name, graph, encoder, settings, shards[graph.name], inputs[graph.name], seconds)
        here.barrier()
    if not todo:
        log(f"{name}: features are up to date, kept")
    seconds = time.perf_counter() - began
    return {
        "encoder": name,
        "dim": encoder.dim,
        "graphs": len(graphs),
        "nodes": sum(graph.n_nodes for graph in graphs),
        "linked": sum(int(graph.is_linked.sum()) for graph in graphs),
        "sections_embedded": len({piece.part.section.name for piece in pieces}),
        "seconds": seconds,
        "images_per_second": n_patches * here.size / seconds,
    }


def embed_inputs(
    run: Path,
    study: Study,
    graph: CortexGraph,
    folder: Path,
    encoder: PatchEncoder,
    settings: EmbedConfig,
    digests: FileDigests,
) -> Inputs:
    """Return what the features of a graph are computed from."""
    left_out = NOT_IN_KEY | {name for name, value in LATER.items() if getattr(settings, name) == value}
    own = encoder_read(run, folder, encoder, digests).merge(Inputs(flat_settings(settings, left_out)))
    return own.merge(images_of(run, study, [graph], digests))


def _plan(run: Path, name: str, inputs: Mapping[str, Inputs], digests: FileDigests, seed: int, *, resume: bool) -> None:
    """Make a folder for the sections of each graph that is to be embedded; remove those of other settings or data."""
    folder = run / "features" / name
    folder.mkdir(parents=True, exist_ok=True)
    clear_partial(folder)
    wanted = {}
    for graph, now in inputs.items():
        reasons = feature_changes(run, name, graph, now, digests) if resume else ["--no-resume"]
        if reasons:
            record = Record("features", f"{name}/{graph}", now, made=made_now(seed))
            wanted[folder / f"{SECTIONS}{graph}-{now.key}"] = record
            if (folder / f"{graph}.npy").is_file():
                log(f"{folder.name}: {graph} embedded again: {said(reasons)}")
    for path in folder.glob(f"{SECTIONS}*"):
        if path not in wanted or not resume:
            remove(path)
    for path, record in wanted.items():
        path.mkdir(exist_ok=True)
        write_record(path / UNFINISHED, record)


@contextmanager
def _failure_kept(shards: Iterable[Path]) -> Iterator[None]:
    """Leave an error that ends the work beside what is done, for `cytomesh status`."""
    try:
        yield
    except Exception as error:
        for path in shards:
            record = read_record(path / UNFINISHED)
            if record is not None:
                write_failure(path / UNFINISHED, record, error)
        raise


def embed_sections(
    parts: Sequence[SectionPatches],
    encoder: PatchEncoder,
    settings: EmbedConfig,
    n_cpus: int,
    extracted: Sequence[ExtractedPatches | None] = (),
) -> Generator[NDArray[Any], None, None]:
    """Yield the features of some sections' patches, (n, d) of the dtype that is stored, in order.

    Batches of all sections follow one another: the next section is read while one is encoded.

    Parameters
    ----------
    parts : sequence of SectionPatches
    encoder : PatchEncoder
        In evaluation mode; what it computes with tells the device.
    settings : EmbedConfig
    n_cpus : int
        Threads that read, and on a CPU as many that compute (see `computing_threads`).
    extracted : sequence of ExtractedPatches or None
        Of each section, where its patches are to be had without its image, if they are; empty: of none.
    """
    patches, device, offsets = encoder.patches, next(encoder.parameters()).device, offsets_deg(settings)
    precision = getattr(torch, settings.precision)

    def batches(part: SectionPatches) -> list[slice]:
        return batch_slices(len(part.rows), patches.size_px, device, settings.batch_size)

    sources = zip(parts, extracted or [None] * len(parts), strict=True)
    turns = ((part, ready, rows, offset) for part, ready in sources for rows in batches(part) for offset in offsets)
    images = OpenImages(n_cpus)

    def read(turn: tuple[SectionPatches, ExtractedPatches | None, slice, float]) -> NDArray[np.uint8]:
        part, ready, rows, offset = turn
        if ready is not None and offset == 0.0:
            return ready.read(part.rows[rows])
        image, angles = images[part.section], part.angles_deg[rows] + offset
        return read_patches(
            image, part.section.um_per_px, part.pixels[rows], angles, patches.size_px, patches.um_per_px
        )

    def encode(pixels: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
            return encoder.embed(pixels).cpu()

    computers = computing_threads(patches.size_px, device, n_cpus)
    with closing(encode_patches(encode, read, turns, readers=n_cpus, computers=computers)) as features:
        for part in parts:
            means = [np.mean([next(features).numpy() for _ in offsets], axis=0) for _ in batches(part)]
            yield np.concatenate(means).astype(settings.dtype)


def _embed_piece(piece: Piece, computed: Iterator[NDArray[Any]]) -> int:
    """Write the features of a piece, the next of those that are computed."""
    part, features = piece.part, next(computed)
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        node = int(part.rows[np.argmax(bad)])
        place = f"{part.section.name}, node {node} of {piece.graph.name}"
        hint = "the encoder's weights are damaged, or float16 is too narrow for its features: set dtype float32"
        found = f"{int(bad.sum())} features that are not finite"
        raise FeatureError(part.image, place, found=found, expected="finite features", hint=hint)
    write_array(piece.path, features)
    return len(features)


def offsets_deg(settings: EmbedConfig) -> list[float]:
    """Return the angles that each patch is turned by: evenly over the range, or around the circle."""
    if settings.rotations == 1:
        return [0.0]
    is_circle = settings.rotation_deg == 180.0
    return [
        float(angle)
        for angle in np.linspace(
            -settings.rotation_deg, settings.rotation_deg, settings.rotations, endpoint=not is_circle
        )
    ]


def _assemble(
    run: Path,
    name: str,
    graph: CortexGraph,
    encoder: PatchEncoder,
    settings: EmbedConfig,
    shards: Path,
    inputs: Inputs,
    seconds: float,
) -> None:
    """Put the sections of a graph together; nodes without image link stay NaN."""
    features = np.full((graph.n_nodes, encoder.dim), np.nan, settings.dtype)
    section = graph.section
    for index in np.unique(section[graph.is_linked]):
        rows = np.flatnonzero(graph.is_linked & (section == index))
        with reading(shards / f"{index}.npy", FeatureError):
            features[rows] = open_npy(shards / f"{index}.npy")
    facts = {
        "um_per_px": encoder.patches.um_per_px,
        "size_px": encoder.patches.size_px,
        "precision": settings.precision,
    }
    if not np.isfinite(features[graph.is_linked]).all():
        raise QualityError(graph.name, found="linked nodes without features")
    keep_features(run, name, graph, features, facts, inputs, settings.seed, round(seconds, 3))
    remove(shards)
