"""`cytomesh pretrain`: from the graphs and images of a run to an exported encoder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from cytomesh.core.distributed import World, world
from cytomesh.core.errors import ConfigError
from cytomesh.core.files import digest, read_json, write_json
from cytomesh.core.progress import log
from cytomesh.core.random import isolated_seed
from cytomesh.core.run import is_finished, mark_finished, read_study_path, stage_directory
from cytomesh.graph.geodesics import LocalGeodesics
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.pretrain.checkpoints import clear_checkpoints, load_last
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.encoder import ProjectionHead, Projector
from cytomesh.pretrain.export import WEIGHTS, build_encoder, save_encoder
from cytomesh.pretrain.monitor import read_metrics
from cytomesh.pretrain.patches import build_bank, count_channels, open_patches
from cytomesh.pretrain.pool import PatchPool, build_pool
from cytomesh.pretrain.sampling import PatchSampler, check_seeds
from cytomesh.pretrain.template import open_geodesics, place_on_template
from cytomesh.pretrain.trainer import Trainer
from cytomesh.study.study import Study, open_study

IN_CARD = ("loss", "spread", "effective_rank", "held_out_linear", "held_out_knn", "best_step")
LAST = ("loss", "spread", "effective_rank", "uniformity", "images_per_second")
# Settings that change how fast or how often, not what comes out.
NOT_IN_KEY = {"device", "threads", "readers", "log_every", "checkpoint_every", "keep_checkpoints", "collapse_spread"}


def pretrain_run(run: Path, name: str, settings: PretrainConfig, *, resume: bool = True) -> dict[str, Any]:
    """Train an encoder on the images of a run; alone, or on every rank that torchrun starts.

    Parameters
    ----------
    run : Path
        Run directory, with graphs.
    name : str
        Name of the encoder: it is written to `RUN/encoders/<name>`.
    settings : PretrainConfig
    resume : bool
        Go on from the last checkpoint of the same settings and data, or keep the finished encoder; False starts again.

    Returns
    -------
    dict
        Plain numbers; `preempted` is 1 if SIGTERM stopped training after a checkpoint was written: call again to go on.

    Raises
    ------
    TrainingError, CheckpointError, ConfigError, MissingStageError, ImageError
    """
    study = open_study(read_study_path(run))
    graphs = load_graphs(run)
    spatial = settings.objectives.spatial_nce
    pool = build_pool(study, graphs, settings.sampling.roles, mirrored=bool(spatial and spatial.mirrored))
    settings = _resolve(settings, pool)
    data_key = digest([graph.digest for graph in graphs if graph.brain_role in settings.sampling.roles])
    key = digest(settings.model_dump(mode="json", exclude=NOT_IN_KEY), data_key)
    surface = None
    if spatial and spatial.distance == "geodesic":
        pool, surface = place_on_template(pool, study)
        key = digest(key, surface.vertices, surface.faces)
    folder = run / "encoders" / name
    with world(settings.device, settings.threads) as here, _directory(folder, settings, here):
        if resume and is_finished(folder / "finished.json", key):
            log(f"{name}: finished before, kept")
            summary: dict[str, Any] = read_json(folder / "summary.json")
            return summary
        geodesics = None
        if spatial and surface and settings.schedule.steps:
            radius = max(spatial.reach_mm, settings.sampling.radius_mm)
            geodesics = open_geodesics(run, pool, surface, radius, here)
        return _train(run, folder, settings, study, graphs, pool, geodesics, here, data_key, key, resume=resume)


def _train(
    run: Path,
    folder: Path,
    settings: PretrainConfig,
    study: Study,
    graphs: list[CortexGraph],
    pool: PatchPool,
    geodesics: LocalGeodesics | None,
    here: World,
    data_key: str,
    key: str,
    *,
    resume: bool,
) -> dict[str, Any]:
    began = time.perf_counter()
    if settings.schedule.steps:
        check_seeds(settings.sampling, here.size)
    objectives = settings.objectives
    with isolated_seed(settings.seed, "init"):  # the same weights on all ranks
        encoder = build_encoder(settings)
        head = ProjectionHead(encoder.dim, settings.head) if objectives.is_contrastive else None
        classifier = nn.Linear(encoder.dim, len(pool.areas)) if objectives.supervised else None
    projector = Projector(encoder, head, classifier).to(here.device)
    checkpoint = load_last(folder / "checkpoints", key) if resume else None
    here.barrier()  # all ranks have read before the main one writes
    if here.is_main:
        # weights of other settings must not pass for this run's while it trains, or after it was stopped
        for stale in ("finished.json", "summary.json", WEIGHTS):
            (folder / stale).unlink(missing_ok=True)
        if checkpoint is None:
            clear_checkpoints(folder / "checkpoints")
            (folder / "metrics.jsonl").unlink(missing_ok=True)
        if settings.schedule.steps:
            build_bank(run, pool, settings.patches, data_key, settings.encoder.in_chans or 1)
    here.barrier()
    is_done = True
    if settings.schedule.steps:
        sampler = PatchSampler(pool, settings.sampling, settings.seed, geodesics)
        source = open_patches(run, pool, settings.patches, data_key)
        trainer = Trainer(settings, projector, sampler, source, here, folder, key)
        if checkpoint:
            trainer.restore(checkpoint)
            log(f"{folder.name}: going on from step {checkpoint.step}")
        is_done = trainer.train()
        if is_done:
            trainer.settle()
    summary = _summary(folder, settings, encoder.dim, pool, time.perf_counter() - began, is_done)
    if here.is_main and is_done:
        used = sorted({graph.brain for graph in graphs if graph.brain_role in settings.sampling.roles})
        facts: dict[str, Any] = {
            "Data": f"{study.name} ({study.species}, {study.stain}): brains {', '.join(used)}; "
            f"{len(pool.sections)} sections, {len(pool):,} patches; reference space {study.space}",
            **{key: summary[key] for key in IN_CARD if key in summary},
        }
        save_encoder(folder, encoder, settings, facts)
        write_json(folder / "summary.json", summary)
        mark_finished(folder / "finished.json", key)
    here.barrier()
    return summary


def _resolve(settings: PretrainConfig, pool: PatchPool) -> PretrainConfig:
    """Fill in the channels of the study's images, and check what only the data can tell."""
    n_channels = count_channels(pool)
    wanted = settings.encoder.in_chans
    if wanted is not None and wanted != n_channels:
        raise ConfigError("encoder.in_chans", found=str(wanted), expected=f"{n_channels}, as the study's images have")
    if settings.objectives.probability_guided and not pool.probability.nnz:
        hint = "give the study an atlas with probability maps and build the graph again"
        raise ConfigError("objectives.probability_guided", found="no probability map at any node", hint=hint)
    objectives, sampling = settings.objectives, settings.sampling
    wants_labels = {
        "objectives.supervised_contrastive": objectives.supervised_contrastive is not None,
        "objectives.supervised": objectives.supervised is not None,
        "sampling.annotated_only": sampling.annotated_only,
    }
    for place, is_wanted in wants_labels.items():
        if is_wanted and not pool.annotation.any():
            hint = "annotate sections of role train in a brain of role train"
            raise ConfigError(place, found="no annotated node to learn from", hint=hint)
    encoder = settings.encoder.model_copy(update={"in_chans": n_channels})
    return settings.model_copy(update={"encoder": encoder})


def _summary(
    folder: Path, settings: PretrainConfig, dim: int, pool: PatchPool, seconds: float, is_done: bool
) -> dict[str, Any]:
    lines = read_metrics(folder)
    summary: dict[str, Any] = {
        "encoder": folder.name,
        "model": settings.encoder.name,
        "dim": dim,
        "steps": settings.schedule.steps,
        "patches": len(pool),
        "sections": len(pool.sections),
        "preempted": int(not is_done),
        "seconds": seconds,
    }
    if lines:
        steps = [line for line in lines if "loss" in line]
        late = [line for line in steps if line["step"] > settings.schedule.warmup_steps]
        summary |= {"first_loss": steps[0]["loss"]} if steps else {}
        summary |= {name: steps[-1][name] for name in LAST if steps}
        summary["collapsed"] = int(any(line["spread"] < settings.collapse_spread for line in late[-1:]))
        scored = [line for line in lines if "held_out/linear" in line]
        if scored:
            best = max(scored, key=lambda line: line["held_out/linear"])
            summary |= {"held_out_linear": best["held_out/linear"], "held_out_knn": best["held_out/knn"]}
            summary["best_step"] = best["step"]
    return summary


@contextmanager
def _directory(folder: Path, settings: PretrainConfig, here: World) -> Iterator[None]:
    """Open the encoder's folder on the main rank; the others wait until it is there."""
    if not here.is_main:
        here.barrier()
        yield
        return
    with stage_directory(folder, settings, settings.seed):
        here.barrier()
        yield
