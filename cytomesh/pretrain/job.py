"""What an encoder is trained from, and whether a training begins, goes on, or is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.distributed import World
from cytomesh.core.errors import ConfigError
from cytomesh.core.provenance import Inputs, flat_settings, place
from cytomesh.core.run import NO_RECORD, Product, Work, product
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import ANNOTATION, AREAS, MAPS, REFERENCE, SURFACE, parts_read, template_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.imaging.normalise import open_run_study
from cytomesh.pretrain.checkpoints import list_checkpoints, step_of
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.objectives.kinds import need
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCEConfig
from cytomesh.pretrain.patches import images_of
from cytomesh.pretrain.pool import PatchPool, build_pool
from cytomesh.register.run import registration_read
from cytomesh.study.study import Study

# Settings that change how fast or how often, not what comes out.
NOT_IN_KEY = {
    "device",
    "threads",
    "readers",
    "by_section",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "collapse_spread",
}
STEPS = "schedule.steps"


@dataclass(frozen=True, slots=True)
class Data:
    """What a training reads.

    Parameters
    ----------
    run : Path
    study : Study
    graphs : list of CortexGraph
        Those of the brains that are trained on.
    pool : PatchPool
    """

    run: Path
    study: Study
    graphs: Sequence[CortexGraph]
    pool: PatchPool


def open_data(run: Path, settings: PretrainConfig, digests: FileDigests | None = None) -> Data:
    """Open what an encoder of these settings is trained from; see `open_run_study`."""
    study = open_run_study(run, digests)
    graphs = load_graphs(run)
    spatial = settings.objectives.of(SpatialNCEConfig)
    pool = build_pool(study, graphs, settings.sampling.roles, mirrored=bool(spatial and spatial.mirrored))
    return Data(run, study, [graph for graph in graphs if graph.brain_role in settings.sampling.roles], pool)


@dataclass(frozen=True, slots=True)
class Job:
    """A training that is to be done.

    Parameters
    ----------
    folder : Path
        Where it writes.
    inputs : Inputs
    resume : bool
        Whether anything that is there may serve again.
    work, freshness : Work, Freshness or None
        On the main rank, which writes what exists once.
    """

    folder: Path
    inputs: Inputs
    resume: bool
    work: Work | None = None
    freshness: Freshness | None = None

    @property
    def key(self) -> str:
        """Identity of the training that checkpoints belong to: it may go on for more steps than it was meant to."""
        return self.inputs.without(STEPS).key


@contextmanager
def open_job(
    name: str,
    data: Data,
    settings: PretrainConfig,
    here: World,
    *,
    resume: bool,
    overwrite: bool,
    allow_stale: bool,
) -> Iterator[Job | None]:
    """Yield the training of an encoder on every rank; None if it is finished with these settings and data.

    Raises
    ------
    ConfigError
        If the name is that of an encoder of other settings (see `refuse_others`).
    StaleError
        If the graphs are stale, unless that is allowed.
    """
    encoder = product(data.run, "encoders", name)
    if not here.is_main:
        is_wanted = here.told(False)
        begun = encoder.begun
        yield Job(encoder.work_folder, begun, resume) if is_wanted and begun else None
        return
    with file_digests(data.run) as digests, encoder.open():
        freshness = Freshness(data.run, digests)
        inputs = pretrain_inputs(data, settings, digests)
        freshness.check(inputs, allow_stale=allow_stale)
        if resume and encoder.is_current(inputs):
            here.told(False)
            yield None
            return
        if not overwrite:
            refuse_others(encoder, inputs, resume=resume)
        encoder.announce(inputs, "trained again")
        with encoder.writing(
            inputs,
            settings,
            settings.seed,
            resume=resume,
            is_same=lambda before: (
                not before.without(STEPS).changes(inputs.without(STEPS))
                and steps_done(encoder.work_folder) <= settings.schedule.steps
            ),
            start_from=partial(_copy_training, encoder, inputs),
        ) as work:
            here.told(True)
            yield Job(work.folder, inputs, resume, work, freshness)


def pretrain_inputs(data: Data, settings: PretrainConfig, digests: FileDigests) -> Inputs:
    """Return what an encoder is trained from."""
    objectives = settings.objectives
    reads_labels = need(objectives, "labels") or settings.monitor.every_steps
    parts = [SURFACE, REFERENCE, AREAS]
    parts += [ANNOTATION] if reads_labels or settings.sampling.annotated_only else []
    parts += [MAPS] if need(objectives, "maps") else []
    own = Inputs(settings=flat_settings(settings, NOT_IN_KEY))
    spatial = objectives.of(SpatialNCEConfig)
    if spatial and spatial.distance == "geodesic":
        own = own.merge(
            registration_read(data.run, spatial.registration, data.graphs)
            if spatial.registration
            else template_read(data.run, data.study, digests)
        )
    if settings.encoder.weights not in ("random", "pretrained"):
        path = Path(settings.encoder.weights)
        own = own.merge(Inputs(files={"weights to begin with": (place(path, data.run), digests.digest(path))}))
    images = images_of(data.run, data.study, data.graphs, digests)
    return own.merge(parts_read(data.run, data.graphs, parts, digests)).merge(images)


def refuse_others(encoder: Product, inputs: Inputs, *, resume: bool) -> None:
    """Refuse to write over an encoder, or a stopped training, of other settings; more steps are none.

    Raises
    ------
    ConfigError
        That names the settings which differ.
    """
    if encoder.is_finished:
        done = steps_done(encoder.folder)
        before = encoder.record.inputs if encoder.record else None
        _refuse(encoder, "finished", before, inputs, done + 1 if resume and done else None)
    done = steps_done(encoder.work_folder)
    if resume and encoder.begun and done:
        _refuse(encoder, f"stopped after {done} steps", encoder.begun, inputs, done)


def _refuse(encoder: Product, state: str, before: Inputs | None, inputs: Inputs, fewest_steps: int | None) -> None:
    """Raise ConfigError if settings differ; with `fewest_steps` the number of steps may, if it is not below that."""
    changed = before.changed_settings(inputs) if before else [NO_RECORD]
    is_longer = (
        before is not None
        and fewest_steps is not None
        and STEPS in inputs.settings
        and not before.without(STEPS).changed_settings(inputs.without(STEPS))
        and int(inputs.settings[STEPS]) >= fewest_steps
    )
    if changed and not is_longer:
        kept = encoder.settings_path
        hint = f"to keep or continue it, add --config {kept}; else use another --name, or --overwrite to replace it"
        found = f"{state} with other settings (its -> asked for): {'; '.join(changed)}"
        raise ConfigError("--name", encoder.folder.name, found=found, hint=hint)


def steps_done(folder: Path) -> int:
    """Return the steps of the last checkpoint of a training or tuning; 0 without one."""
    found = [path for place in ("checkpoints", "tuning/checkpoints") for path in list_checkpoints(folder / place)]
    return max(map(step_of, found), default=0)


def _copy_training(encoder: Product, inputs: Inputs, folder: Path) -> None:
    """Begin with the checkpoints of a finished training that is to go on for more steps."""
    record = encoder.record
    if record is None or record.inputs.without(STEPS).changes(inputs.without(STEPS)):
        return
    for name in ("checkpoints", "tensorboard"):
        if (encoder.folder / name).is_dir():
            shutil.copytree(encoder.folder / name, folder / name)
    if (encoder.folder / "metrics.jsonl").is_file():
        shutil.copyfile(encoder.folder / "metrics.jsonl", folder / "metrics.jsonl")
