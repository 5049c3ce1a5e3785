"""`cytomesh embed`: features of every linked node, section by section, the same bytes for any number of ranks."""

from __future__ import annotations

import hashlib
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cytomesh.core.distributed import find_device, world
from cytomesh.core.errors import FeatureError, QualityError
from cytomesh.core.files import digest, read_json, write_array
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import log, track
from cytomesh.core.run import read_study_path
from cytomesh.graph.storage import CortexGraph, load_graphs, save_features
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_image
from cytomesh.pretrain.config import EmbedConfig
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.export import WEIGHTS, load_encoder
from cytomesh.pretrain.pool import SectionPatches, graph_sections
from cytomesh.study.study import open_study


@dataclass(frozen=True, slots=True)
class Piece:
    """The nodes of one graph in one section, and the file of their features."""

    graph: CortexGraph
    part: SectionPatches
    path: Path


def embed_run(run: Path, encoder_name: str, settings: EmbedConfig, *, resume: bool = True) -> dict[str, Any]:
    """Compute features of every linked node of a run; alone, or on every rank that torchrun starts.

    Sections are shared out over the ranks and, in each, over threads. A section is always encoded in the same
    batches and, on a CPU, by one thread, so that the features do not depend on how many there are. Each section is
    written as soon as it is there; a killed run goes on with the missing ones.

    Parameters
    ----------
    run : Path
        Run directory, with graphs.
    encoder_name : str
        An encoder of this run, `RUN/encoders/<name>`, or the folder of another.
    settings : EmbedConfig
    resume : bool
        Keep features and sections that are there; False computes all again.

    Raises
    ------
    FeatureError
        If a feature is not finite, naming section and node.
    """
    began = time.perf_counter()
    study = open_study(read_study_path(run))
    graphs = load_graphs(run)
    folder = run / "encoders" / encoder_name
    if not folder.is_dir() and Path(encoder_name, WEIGHTS).is_file():
        folder = Path(encoder_name)
    with world(settings.device, threads=1 if find_device(settings.device).type == "cpu" else None) as here:
        encoder = load_encoder(folder).to(here.device)
        weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        keys = {
            graph.name: digest(
                weights, graph.name, graph.digest, settings.batch_size, settings.dtype, *offsets_deg(settings)
            )
            for graph in graphs
        }
        todo = [graph for graph in graphs if not (resume and _is_finished(run, folder.name, graph, keys[graph.name]))]
        shards = {graph.name: run / "features" / folder.name / f".sections-{keys[graph.name]}" for graph in todo}
        here.barrier()  # all ranks agree on what is to do before any of it is done
        if here.is_main and not resume:
            for place in shards.values():
                shutil.rmtree(place, ignore_errors=True)
        here.barrier()
        pieces = [
            Piece(graph, part, shards[graph.name] / f"{part.section.index}.npy")
            for graph in todo
            for part in graph_sections(study, graph)
        ]
        mine = [piece for piece in pieces[here.rank :: here.size] if not piece.path.is_file()]
        n_threads = max(1, available_cpus() // here.size)
        with ThreadPoolExecutor(n_threads) as threads:
            done = threads.map(lambda piece: _embed_piece(piece, encoder, settings), mine)
            n_patches = sum(track(done, "embed", total=len(mine), unit="sections"))
        here.barrier()
        if here.is_main:
            for graph in todo:
                _assemble(run, folder.name, graph, encoder, settings, shards[graph.name], keys[graph.name])
        here.barrier()
    if not todo:
        log(f"{folder.name}: features are there, kept")
    seconds = time.perf_counter() - began
    return {
        "encoder": folder.name,
        "dim": encoder.dim,
        "graphs": len(graphs),
        "nodes": sum(graph.n_nodes for graph in graphs),
        "linked": sum(int(graph.is_linked.sum()) for graph in graphs),
        "sections_embedded": len(pieces),
        "seconds": seconds,
        "images_per_second": n_patches * here.size / seconds,
    }


def _embed_piece(piece: Piece, encoder: PatchEncoder, settings: EmbedConfig) -> int:
    part, patches = piece.part, encoder.patches
    blocks: list[NDArray[Any]] = []
    with open_image(part.image) as image:
        for start in range(0, len(part.rows), settings.batch_size):
            batch = slice(start, start + settings.batch_size)
            turned = []
            for offset in offsets_deg(settings):
                angles = part.angles_deg[batch] + offset
                pixels = read_patches(
                    image, part.section.um_per_px, part.pixels[batch], angles, patches.size_px, patches.um_per_px
                )
                turned.append(encoder.embed(torch.from_numpy(pixels)).cpu().numpy())
            blocks.append(np.mean(turned, axis=0).astype(settings.dtype))
    features = np.concatenate(blocks)
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
    run: Path, name: str, graph: CortexGraph, encoder: PatchEncoder, settings: EmbedConfig, shards: Path, key: str
) -> None:
    """Put the sections of a graph together; nodes without image link stay NaN."""
    features = np.full((graph.n_nodes, encoder.dim), np.nan, settings.dtype)
    section = graph.section
    for index in np.unique(section[graph.is_linked]):
        rows = np.flatnonzero(graph.is_linked & (section == index))
        features[rows] = np.load(shards / f"{index}.npy", allow_pickle=False)
    facts = {"um_per_px": encoder.patches.um_per_px, "size_px": encoder.patches.size_px, "key": key}
    if not np.isfinite(features[graph.is_linked]).all():
        raise QualityError(graph.name, found="linked nodes without features")
    save_features(run, name, graph, features, facts)
    shutil.rmtree(shards, ignore_errors=True)


def _is_finished(run: Path, name: str, graph: CortexGraph, key: str) -> bool:
    record = run / "features" / name / f"{graph.name}.json"
    return record.is_file() and record.with_suffix(".npy").is_file() and read_json(record).get("key") == key
