"""`cytomesh segment-layers`: cortical layers in whole sections and their thickness at every node."""

from __future__ import annotations

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    ConfigPath,
    Name,
    OutDir,
    Overrides,
    Resume,
    Seed,
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
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Segment layers I-VI by a light decoder on an encoder, learnt from drawn layers and put in order along depth.

    Scores stand beside intensity profiles, depth alone and, where named, other encoders.
    """
    from cytomesh.analyze.layers.config import LayersConfig
    from cytomesh.analyze.layers.run import layers_run

    settings = load_settings(LayersConfig, config, overrides, seed)
    show_table(layers_run(out, name, settings, resume=resume, allow_stale=allow_stale), as_json)
