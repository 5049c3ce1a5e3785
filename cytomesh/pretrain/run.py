"""`cytomesh pretrain`: from the graphs and images of a run to an exported encoder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import nn

from cytomesh.core.counted import counted
from cytomesh.core.distributed import World, world
from cytomesh.core.errors import ConfigError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.phases import phase
from cytomesh.core.progress import log
from cytomesh.core.random import isolated_seed
from cytomesh.pretrain.checkpoints import go_on
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.correspondence import place_by_registration
from cytomesh.pretrain.defaults import from_data
from cytomesh.pretrain.export import build_encoder, encoder_parts, save_encoder
from cytomesh.pretrain.find_bank import find_patches
from cytomesh.pretrain.job import Data, Job, open_data, open_job
from cytomesh.pretrain.monitor import read_metrics
from cytomesh.pretrain.objectives.kinds import are_contrastive, need
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCEConfig
from cytomesh.pretrain.patches import count_channels, say_conversion
from cytomesh.pretrain.pool import PatchPool
from cytomesh.pretrain.projector import ProjectionHead, Projector
from cytomesh.pretrain.sampling import PatchSampler, check_seeds
from cytomesh.pretrain.template import open_geodesics, place_on_template
from cytomesh.pretrain.trainer import Trainer

IN_CARD = ("loss", "spread", "effective_rank", "held_out_linear", "held_out_knn", "best_step")
LAST = ("loss", "spread", "effective_rank", "uniformity", "images_per_second")


def pretrain_run(
    run: Path,
    name: str,
    settings: PretrainConfig,
    *,
    resume: bool = True,
    overwrite: bool = False,
    allow_stale: bool = False,
) -> dict[str, Any]:
    """Train an encoder on the images of a run; alone, or on every rank that torchrun starts.

    An encoder that is there stays usable until its successor is trained. Other settings are refused under its name,
    but for more `schedule.steps`, which go on from its last checkpoint; on other data it is trained again.

    Parameters
    ----------
    run : Path
        Run directory, with graphs.
    name : str
        Name of the encoder: it is written to `RUN/encoders/<name>`.
    settings : PretrainConfig
    resume : bool
        Go on from the last checkpoint of the same settings and data, or keep the finished encoder; False starts from
        nothing.
    overwrite : bool
        Let an encoder of other settings take the place of the one with this name.
    allow_stale : bool
        Train on graphs that are not what their inputs would give now.

    Returns
    -------
    dict
        Plain numbers; `preempted` is 1 if SIGTERM stopped training after a checkpoint was written: call again to go on.

    Raises
    ------
    ConfigError
        Also if the name is that of an encoder of other settings.
    TrainingError, CheckpointError, MissingStageError, ImageError, StaleError
    """
    data = open_data(run, settings)
    with world(settings.device, settings.threads) as here:
        settings = resolve(settings, data, here)
        with open_job(name, data, settings, here, resume=resume, overwrite=overwrite, allow_stale=allow_stale) as job:
            if job is None:
                log(f"{name}: finished before, kept")
                return dict(read_json(run / "encoders" / name / "summary.json"))
            return _train(name, data, settings, here, job)


def new_projector(settings: PretrainConfig, pool: PatchPool) -> Projector:
    """Make what is trained, with the weights that it begins with: the same on all ranks."""
    with isolated_seed(settings.seed, "init"):
        encoder = build_encoder(settings)
        head = ProjectionHead(encoder.dim, settings.head) if are_contrastive(settings.objectives) else None
        has_labels = "supervised" in settings.objectives.named()
        classifier = nn.Linear(encoder.dim, len(pool.areas)) if has_labels else None
    return Projector(encoder, head, classifier)


def new_sampler(data: Data, settings: PretrainConfig, here: World) -> PatchSampler:
    """Make what draws batches; the patches of its pool know their place on the template if need be.

    Raises
    ------
    ConfigError
        If there are fewer seeds in a batch than ranks.
    """
    check_seeds(settings.sampling, here.size)
    pool, spatial, geodesics = data.pool, settings.objectives.of(SpatialNCEConfig), None
    if spatial and spatial.distance == "geodesic":
        if spatial.registration:
            pool, surface = place_by_registration(pool, data.run, spatial.registration, data.graphs)
        else:
            pool, surface = place_on_template(pool, data.study)
        radius = max(spatial.reach_mm, settings.sampling.radius_mm)
        geodesics = open_geodesics(data.run, pool, surface, radius, here)
    return PatchSampler(pool, settings.sampling, settings.seed, geodesics)


def _train(name: str, data: Data, settings: PretrainConfig, here: World, job: Job) -> dict[str, Any]:
    began = time.perf_counter()
    run, pool = data.run, data.pool
    projector = new_projector(settings, pool).to(here.device)
    encoder = projector.encoder
    is_done, step = True, 0
    if settings.schedule.steps:
        sampler = new_sampler(data, settings, here)
        if job.freshness:
            say_conversion(name, pool.sections, settings.encoder.in_chans or 1)
        with phase("patches"):
            source = find_patches(run, pool, settings.patches, job.inputs, name, job.freshness, here, resume=job.resume)
        trainer = Trainer(settings, projector, sampler, source, here, job.folder, job.key)
        checkpoint = go_on(job.folder / "checkpoints", job.key, trainer.restore)
        here.barrier()  # all ranks have read before the main one writes
        if checkpoint:
            log(f"{name}: going on from step {checkpoint.step}")
        is_done, step = trainer.train(), trainer.step
        if is_done:
            trainer.settle()
        else:
            log(f"{name}: stopped at step {step} of {settings.schedule.steps}; the same command goes on from there")
    facts: dict[str, Any] = {"dim": encoder.dim, "steps": step, "preempted": int(not is_done)}
    summary = _summary(name, job.folder, settings, pool) | facts | {"seconds": time.perf_counter() - began}
    if job.work and is_done:
        brains = sorted({graph.brain for graph in data.graphs})
        study = data.study
        card: dict[str, Any] = {
            "Data": f"{study.name} ({study.species}, {study.stain}): brains {', '.join(brains)}; "
            f"{counted(len(pool.sections), 'section')}, {counted(len(pool), 'patch', 'patches')}; "
            f"reference space {study.space}",
            **{key: summary[key] for key in IN_CARD if key in summary},
        }
        save_encoder(job.folder, name, encoder, settings, card)
        write_json(job.folder / "summary.json", summary)
        job.work.finish(encoder_parts(job.folder))
    here.barrier()
    return summary


def resolve(settings: PretrainConfig, data: Data, here: World) -> PretrainConfig:
    """Fill in what settings leave to the data, such as channels, and check what only the data can tell."""
    pool = data.pool
    settings = from_data(settings, pool, data.graphs, here.device.type, log if here.is_main else None)
    # one rank looks at the images
    n_channels = 3 if here.told(here.is_main and count_channels(pool.sections) == 3) else 1
    for name in [] if pool.probability.nnz else need(settings.objectives, "maps"):
        hint = "give the study an atlas with probability maps and build the graph again"
        raise ConfigError(f"objectives.{name}", found="no probability map at any node", hint=hint)
    want_labels = [f"objectives.{name}" for name in need(settings.objectives, "labels")]
    want_labels += ["sampling.annotated_only"] if settings.sampling.annotated_only else []
    for place in [] if pool.annotation.any() else want_labels:
        hint = "annotate sections of role train in a brain of role train"
        raise ConfigError(place, found="no annotated node to learn from", hint=hint)
    encoder = settings.encoder.model_copy(update={"in_chans": settings.encoder.in_chans or n_channels})
    return settings.model_copy(update={"encoder": encoder})


def _summary(name: str, folder: Path, settings: PretrainConfig, pool: PatchPool) -> dict[str, Any]:
    lines = read_metrics(folder)
    summary: dict[str, Any] = {
        "encoder": name,
        "model": settings.encoder.name,
        "patches": len(pool),
        "sections": len(pool.sections),
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
