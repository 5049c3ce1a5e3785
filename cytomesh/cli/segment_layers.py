"""`cytomesh segment-layers`: cortical layers in whole sections and their thickness at every node."""

from __future__ import annotations

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    BadSection,
    ConfigPath,
    Name,
    OutDir,
    Overrides,
    Resume,
    Scheduler,
    SchedulerFile,
    Seed,
    Workers,
    bad_section_setting,
    load_settings,
    show_table,
)

app = typer.Typer()


@app.command("segment-layers")
def segment_layers(
    out: OutDir,
    name: Name = "layers",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    on_bad_section: BadSection = None,
    workers: Workers = 0,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Segment layers I-VI by a light decoder on an encoder, learnt from drawn layers and put in order along depth.

    Scores stand beside intensity profiles, depth alone and, where named, other encoders.
    """
    from cytomesh.analyze.layers.config import LayersConfig
    from cytomesh.analyze.layers.run import layers_run
    from cytomesh.core.sections import scheduler_address

    choices = [*(overrides or ()), *bad_section_setting(on_bad_section)]
    settings = load_settings(LayersConfig, config, choices, seed)
    address = scheduler_address(scheduler, scheduler_file)
    keeping = {"resume": resume, "allow_stale": allow_stale}
    show_table(layers_run(out, name, settings, **keeping, workers=workers, scheduler=address), as_json)
