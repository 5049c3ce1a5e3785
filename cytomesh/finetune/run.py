"""`cytomesh finetune`: from a pretrained encoder and annotated sections to an encoder tuned through the graph."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cytomesh.classify.networks import make_network
from cytomesh.core.config import read_yaml, validate_stored
from cytomesh.core.counted import counted
from cytomesh.core.digests import file_digests
from cytomesh.core.distributed import World, world
from cytomesh.core.errors import ConfigError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.progress import log
from cytomesh.core.provenance import Inputs, flat_settings
from cytomesh.core.random import isolated_seed
from cytomesh.core.run import product
from cytomesh.finetune.config import FinetuneConfig
from cytomesh.finetune.model import JointModel
from cytomesh.finetune.nodes import involved_graphs, training_nodes
from cytomesh.finetune.trainer import JointTrainer
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import ANNOTATION, SURFACE, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.imaging.normalise import open_run_study
from cytomesh.pretrain.checkpoints import go_on
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.encoder import PatchEncoder, checkpoint_activations
from cytomesh.pretrain.export import encoder_folder, encoder_parts, encoder_read, load_encoder, save_encoder
from cytomesh.pretrain.find_bank import find_patches
from cytomesh.pretrain.job import refuse_others
from cytomesh.pretrain.patches import PatchSource, images_of, say_conversion
from cytomesh.pretrain.pool import build_pool
from cytomesh.study.study import Study

ROLES = ("train", "transfer", "unseen")
# Settings that change how fast, not what comes out.
NOT_IN_KEY = {"device", "threads", "readers", "keep_checkpoints"}


def finetune_run(
    run: Path,
    name: str,
    encoder: str,
    settings: FinetuneConfig,
    *,
    resume: bool = True,
    overwrite: bool = False,
    allow_stale: bool = False,
) -> dict[str, Any]:
    """Tune an encoder together with a graph network, and export it as `RUN/encoders/<name>`.

    Parameters
    ----------
    run : Path
        Run directory, with graphs.
    name : str
        Name of the tuned encoder; the course of the tuning is in `RUN/encoders/<name>/tuning`.
    encoder : str
        The encoder to begin with: one of this run, `RUN/encoders/<encoder>`, or the folder of another.
    settings : FinetuneConfig
    resume : bool
        Go on from the last round of the same settings and data, or keep the finished encoder; False starts from
        nothing.
    overwrite : bool
        Let an encoder of other settings take the place of the one with this name.
    allow_stale : bool
        Tune on graphs, or from an encoder, that are not what their inputs would give now.

    Returns
    -------
    dict
        Plain numbers; `validation_macro_f1` of the exported weights, and `_first` of those it began with.

    Raises
    ------
    ConfigError
        If the name is that of an encoder of other settings.
    SplitError, TrainingError, CheckpointError, MissingStageError, StaleError
    """
    start = encoder_folder(run, encoder)
    target = product(run, "encoders", name)
    if target.folder.resolve() == start.resolve():
        found = "the encoder to begin with"
        raise ConfigError("--name", name, found=found, hint="choose another --name")
    tuned, pretrained = open_pretrained(start)
    study = open_run_study(run)
    graphs = load_graphs(run)
    involved = involved_graphs(graphs, settings.split, settings.seed)
    # with the brains of pretraining, so that the patches it extracted serve again
    roles = {*pretrained.sampling.roles, *(graph.brain_role for graph, _ in involved)}
    pooled = [graph for graph in graphs if graph.brain_role in roles]
    nodes = training_nodes(involved, pooled)
    with world(settings.device, settings.threads) as here, file_digests(run) as digests, target.open():
        if here.size > 1:
            raise ConfigError("torchrun", found=f"{here.size} processes", expected="one", hint="call cytomesh alone")
        freshness = Freshness(run, digests)
        inputs = encoder_read(run, start, tuned, digests).merge(Inputs(flat_settings(settings, NOT_IN_KEY)))
        inputs = inputs.merge(parts_read(run, nodes.graphs, (SURFACE, ANNOTATION), digests))
        inputs = inputs.merge(images_of(run, study, pooled, digests))
        freshness.check(inputs, allow_stale=allow_stale)
        if resume and target.is_current(inputs):
            log(f"{name}: finished before, kept")
            return dict(read_json(target.folder / "summary.json"))
        if not overwrite:
            refuse_others(target, inputs, resume=resume)
        target.announce(inputs, "tuned again")
        with target.writing(inputs, settings, settings.seed, resume=resume) as work:
            clock = time.perf_counter()
            tuning = work.folder / "tuning"
            tuning.mkdir(exist_ok=True)
            (work.folder / "config.yaml").replace(tuning / "config.yaml")  # an encoder's own is that of pretraining
            source = _patches(run, study, pooled, tuned, pretrained, name, inputs, freshness, here, resume=resume)
            with isolated_seed(settings.seed, "finetune"):
                network = make_network(settings.model, tuned.dim, len(nodes.classes))
            model = JointModel(tuned, network).to(here.device)
            trainer = JointTrainer(settings, pretrained, model, nodes, source, tuning, inputs.key)
            if go_on(tuning / "checkpoints", inputs.key, trainer.restore):
                log(f"{name}: going on from round {trainer.round}")
            trainer.train()
            summary = _summary(name, start.name, settings, trainer) | {"seconds": time.perf_counter() - clock}
            save_encoder(work.folder, name, model.encoder, pretrained, _facts(study, start.name, settings, trainer))
            write_json(work.folder / "summary.json", summary)
            work.finish(encoder_parts(work.folder))
    return summary


def open_pretrained(start: Path) -> tuple[PatchEncoder, PretrainConfig]:
    """Return an encoder and the settings of its pretraining, of this or an earlier version of the program."""
    encoder = load_encoder(start)  # refuses weights that these settings are not of
    path = start / "config.yaml"
    settings = validate_stored(PretrainConfig, read_yaml(path, ConfigError), str(path), ConfigError)
    if settings.encoder.activation_checkpointing:
        checkpoint_activations(encoder.backbone, settings.encoder.name)
    return encoder, settings


def _patches(
    run: Path,
    study: Study,
    pooled: list[CortexGraph],
    encoder: PatchEncoder,
    pretrained: PretrainConfig,
    name: str,
    data: Inputs,
    freshness: Freshness,
    here: World,
    *,
    resume: bool,
) -> PatchSource:
    """Open the patches of the pooled graphs' linked nodes, extracted before or now."""
    pool = build_pool(study, pooled, ROLES)
    say_conversion(name, pool.sections, encoder.config.in_chans or 1)
    return find_patches(run, pool, pretrained.patches, data, name, freshness, here, resume=resume)


def _summary(name: str, start: str, settings: FinetuneConfig, trainer: JointTrainer) -> dict[str, Any]:
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


def _facts(study: Study, start: str, settings: FinetuneConfig, trainer: JointTrainer) -> dict[str, Any]:
    """Return what the model card says: of the tuning where it would speak of pretraining."""
    sampling, nodes = settings.sampling, trainer.nodes
    steps = int(trainer.score["best_round"]) * settings.schedule.steps_per_round
    brains = ", ".join(sorted({graph.brain for graph in nodes.graphs}))
    n_train = int(nodes.is_train.sum())
    return {
        "Objective": f"cross-entropy of {counted(len(nodes.classes), 'area')}, jointly with a network "
        f"({settings.model.kind}) over the cortical graph; started from `{start}`, whose settings `config.yaml` holds",
        "Steps": f"{steps:,}" + ("" if steps else " (none scored better than the encoder it started from)"),
        "Batch": f"{sampling.seeds_per_batch} annotated nodes and {sampling.neighbours} in the graph around each",
        "Data": f"{study.name} ({study.species}, {study.stain}): {n_train:,} annotated nodes of {brains}",
        "Validation macro-F1": f"{trainer.score['best']:.4g} ({trainer.score['first']:.4g} at the start)",
    }
