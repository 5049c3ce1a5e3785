"""`cytomesh embed`."""

from __future__ import annotations

from typing import Annotated

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    ConfigPath,
    DryRun,
    OutDir,
    Overrides,
    Resume,
    Seed,
    load_settings,
    show,
    tell,
)

app = typer.Typer()

EncoderName = Annotated[str, typer.Option("--encoder", "-e", help="Encoder of this run, or the folder of another.")]


@app.command("embed")
def embed(
    out: OutDir,
    encoder: EncoderName = "spatialnce",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Compute the features of every linked node; alone or under torchrun."""
    from cytomesh.pretrain.config import EmbedConfig
    from cytomesh.pretrain.embed import embed_run
    from cytomesh.pretrain.plan import plan_embed

    settings = load_settings(EmbedConfig, config, overrides, seed)
    if dry_run:
        tell(plan_embed(out, encoder, settings, resume=resume, allow_stale=allow_stale), as_json)
        return
    show(embed_run(out, encoder, settings, resume=resume, allow_stale=allow_stale), as_json)
