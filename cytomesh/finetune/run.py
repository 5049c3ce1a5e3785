"""`cytomesh finetune`: from a pretrained encoder and annotated sections to an encoder tuned through the graph."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from cytomesh.classify.networks import make_network
from cytomesh.core.config import load_config
from cytomesh.core.distributed import world
from cytomesh.core.errors import ConfigError
from cytomesh.core.files import digest, read_json, write_json
from cytomesh.core.progress import log
from cytomesh.core.random import isolated_seed
from cytomesh.core.run import is_finished, mark_finished, read_study_path, stage_directory
from cytomesh.finetune.config import FinetuneConfig
from cytomesh.finetune.model import JointModel
from cytomesh.finetune.nodes import involved_graphs, training_nodes
from cytomesh.finetune.trainer import Trainer
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.pretrain.checkpoints import clear_checkpoints, load_last
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.export import WEIGHTS, load_encoder, save_encoder
from cytomesh.pretrain.patches import PatchSource, build_bank, count_channels, open_patches
from cytomesh.pretrain.pool import build_pool
from cytomesh.study.study import Study, open_study

ROLES = ("train", "transfer", "unseen")
# Settings that change how fast, not what comes out.
NOT_IN_KEY = {"device", "threads", "readers", "keep_checkpoints"}


def finetune_run(
    run: Path, name: str, encoder: str, settings: FinetuneConfig, *, resume: bool = True
) -> dict[str, Any]:
    """Tune an encoder together with a graph network, and export it as `RUN/encoders/<name>`.

    Parameters
    ----------
    run : Path
        Run directory, with graphs.
    name : str
        Name of the tuned encoder; its record and checkpoints are in `RUN/finetune/<name>`.
    encoder : str
        The encoder to begin with: one of this run, `RUN/encoders/<encoder>`, or the folder of another.
    settings : FinetuneConfig
    resume : bool
        Go on from the last round of the same settings and data, or keep the finished encoder; False starts again.

    Returns
    -------
    dict
        Plain numbers; `validation_macro_f1` of the exported weights, and `_first` of those it began with.

    Raises
    ------
    ConfigError
        If the name is that of an encoder which was not tuned here, or the encoder does not fit the images.
    SplitError, TrainingError, CheckpointError, MissingStageError
    """
    start = _start(run, name, encoder)
    tuned = load_encoder(start)
    pretrained = load_config(PretrainConfig, start / "config.yaml")
    study = open_study(read_study_path(run))
    graphs = load_graphs(run)
    involved = involved_graphs(graphs, settings.split, settings.seed)
    # with the brains of pretraining, so that the patches it extracted serve again
    roles = {*pretrained.sampling.roles, *(graph.brain_role for graph, _ in involved)}
    pooled = [graph for graph in graphs if graph.brain_role in roles]
    nodes = training_nodes(involved, pooled)
    folder, target = run / "finetune" / name, run / "encoders" / name
    with world(settings.device, settings.threads) as here, stage_directory(folder, settings, settings.seed):
        if here.size > 1:
            raise ConfigError("torchrun", found=f"{here.size} processes", expected="one", hint="call cytomesh alone")
        weights = hashlib.sha256((start / WEIGHTS).read_bytes()).hexdigest()
        identity = [graph.digest for graph in nodes.graphs], nodes.targets, nodes.is_train, nodes.classes
        key = digest(settings.model_dump(mode="json", exclude=NOT_IN_KEY), weights, *identity)
        if resume and is_finished(folder / "finished.json", key) and (target / WEIGHTS).is_file():
            log(f"{name}: finished before, kept")
            summary: dict[str, Any] = read_json(folder / "summary.json")
            return summary
        for stale in (folder / "finished.json", target / WEIGHTS):
            stale.unlink(missing_ok=True)  # weights of other settings must not pass for these
        clock = time.perf_counter()
        source = _patches(run, study, pooled, tuned, pretrained)
        with isolated_seed(settings.seed, "finetune"):
            network = make_network(settings.model, tuned.dim, len(nodes.classes))
        model = JointModel(tuned, network).to(here.device)
        trainer = Trainer(settings, pretrained, model, nodes, source, folder, key)
        checkpoint = load_last(folder / "checkpoints", key) if resume else None
        if checkpoint:
            trainer.restore(checkpoint)
            log(f"{name}: going on from round {trainer.round}")
        else:
            clear_checkpoints(folder / "checkpoints")
            (folder / "metrics.jsonl").unlink(missing_ok=True)
        trainer.train()
        summary = _summary(name, start.name, settings, trainer) | {"seconds": time.perf_counter() - clock}
        save_encoder(target, model.encoder, pretrained, _facts(study, start.name, settings, trainer))
        write_json(folder / "summary.json", summary)
        mark_finished(folder / "finished.json", key)
    return summary


def _start(run: Path, name: str, encoder: str) -> Path:
    """Return the folder of the encoder to begin with; refuse to write over one that was not tuned here."""
    known = run / "encoders" / encoder
    start = Path(encoder) if not known.is_dir() and Path(encoder, WEIGHTS).is_file() else known
    target = run / "encoders" / name
    is_own = (run / "finetune" / name).is_dir()
    if target.resolve() == start.resolve() or ((target / WEIGHTS).is_file() and not is_own):
        hint = "choose another --name"
        raise ConfigError("--name", name, found="an encoder with this name that was not tuned here", hint=hint)
    return start


def _patches(
    run: Path, study: Study, pooled: list[CortexGraph], encoder: PatchEncoder, pretrained: PretrainConfig
) -> PatchSource:
    """Open the patches of the pooled graphs' linked nodes, extracted before or now."""
    pool = build_pool(study, pooled, ROLES)
    n_channels = count_channels(pool)
    if encoder.config.in_chans != n_channels:
        found = f"an encoder of {encoder.config.in_chans} channel(s)"
        raise ConfigError("--encoder", found=found, expected=f"{n_channels}, as the study's images have")
    key = digest([graph.digest for graph in pooled])  # as in pretraining
    build_bank(run, pool, pretrained.patches, key, n_channels)
    return open_patches(run, pool, pretrained.patches, key)


def _summary(name: str, start: str, settings: FinetuneConfig, trainer: Trainer) -> dict[str, Any]:
    score = trainer.score
    return {
        "encoder": name,
        "start": start,
        "model": settings.model.kind,
        "n_classes": len(trainer.nodes.classes),
        "n_train": int(trainer.nodes.is_train.sum()),
        "n_validation": int(trainer.nodes.is_validation.sum()),
        "rounds": trainer.round,
        "best_round": int(score["best_round"]),
        "validation_macro_f1_first": score["first"],
        "validation_macro_f1": score["best"],
    }


def _facts(study: Study, start: str, settings: FinetuneConfig, trainer: Trainer) -> dict[str, Any]:
    """Return what the model card says: of the tuning where it would speak of pretraining."""
    sampling, nodes = settings.sampling, trainer.nodes
    steps = int(trainer.score["best_round"]) * settings.schedule.steps_per_round
    brains = ", ".join(sorted({graph.brain for graph in nodes.graphs}))
    n_train = int(nodes.is_train.sum())
    return {
        "Objective": f"cross-entropy of {len(nodes.classes)} areas, jointly with a network ({settings.model.kind}) "
        f"over the cortical graph; started from `{start}`, whose settings `config.yaml` holds",
        "Steps": f"{steps:,}" + ("" if steps else " (none scored better than the encoder it started from)"),
        "Batch": f"{sampling.seeds_per_batch} annotated nodes and {sampling.neighbours} in the graph around each",
        "Data": f"{study.name} ({study.species}, {study.stain}): {n_train:,} annotated nodes of {brains}",
        "Validation macro-F1": f"{trainer.score['best']:.4g} ({trainer.score['first']:.4g} at the start)",
    }
