"""What `pretrain` and `embed` would do (`--dry-run`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cytomesh.core.digests import DIGESTS, FileDigests
from cytomesh.core.distributed import world
from cytomesh.core.outlook import outlook
from cytomesh.core.provenance import said
from cytomesh.core.run import product
from cytomesh.graph.features import feature_changes
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.normalise import open_run_study
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_inputs
from cytomesh.pretrain.export import encoder_folder, load_encoder
from cytomesh.pretrain.job import STEPS, open_data, pretrain_inputs, refuse_others, steps_done
from cytomesh.pretrain.pool import graph_sections
from cytomesh.pretrain.run import resolve


def plan_pretrain(
    run: Path,
    name: str,
    settings: PretrainConfig,
    *,
    resume: bool = True,
    overwrite: bool = False,
    allow_stale: bool = False,
) -> dict[str, Any]:
    """Return whether an encoder would be trained, on what and how long; nothing is written.

    Raises
    ------
    ConfigError
        Also if the name is that of an encoder of other settings.
    StaleError
        If the graphs are stale, unless `allow_stale`.
    """
    digests = FileDigests(run / DIGESTS, writes=False)
    data = open_data(run, settings, digests)
    with world(settings.device, settings.threads) as here:
        settings = resolve(settings, data, here)
        device = here.device.type
    encoder = product(run, "encoders", name)
    inputs = pretrain_inputs(data, settings, digests)
    Freshness(run, digests).check(inputs, allow_stale=allow_stale)
    if not overwrite and not (resume and encoder.is_current(inputs)):
        refuse_others(encoder, inputs, resume=resume)
    would_be, done = outlook(encoder, inputs, resume=resume), 0
    before = encoder.begun or (encoder.record.inputs if encoder.record else None)
    if resume and before and not before.without(STEPS).changes(inputs.without(STEPS)):
        done = steps_done(encoder.work_folder if encoder.begun else encoder.folder)
        would_be = would_be if would_be == "kept" else f"gone on with from step {done}"
    return {
        "result": encoder.place,
        "would_be": would_be,
        "encoder": settings.encoder.name,
        "objectives": ", ".join(settings.objectives.named()),
        "device": device,
        "sections": len(data.pool.sections),
        "patches": len(data.pool),
        "size_px": settings.patches.size_px,
        "um_per_px": settings.patches.um_per_px,
        "batch_size": settings.sampling.batch_size,
        "steps": settings.schedule.steps,
        "steps_done": done,
    }


def plan_embed(
    run: Path, encoder_name: str, settings: EmbedConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Return per graph whether its features would be computed, and of how many sections and patches.

    Nothing is written.

    Raises
    ------
    StaleError
        If the encoder or a graph is stale, unless `allow_stale`.
    """
    digests = FileDigests(run / DIGESTS, writes=False)
    study = open_run_study(run, digests)
    folder = encoder_folder(run, encoder_name)
    name, encoder = folder.resolve().name, load_encoder(folder)
    freshness = Freshness(run, digests)
    plan: dict[str, Any] = {}
    for graph in load_graphs(run):
        inputs = embed_inputs(run, study, graph, folder, encoder, settings, digests)
        freshness.check(inputs, allow_stale=allow_stale)
        reasons = feature_changes(run, name, graph.name, inputs, digests) if resume else ["--no-resume"]
        parts = list(graph_sections(study, graph))
        plan[graph.name] = {
            "would_be": f"computed: {said(reasons)}" if reasons else "kept",
            "sections": len(parts),
            "patches": sum(len(part.rows) for part in parts),
        }
    return plan
