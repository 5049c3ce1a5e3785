"""`cytomesh finetune`."""

from __future__ import annotations

from typing import Annotated

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    ConfigPath,
    OutDir,
    Overrides,
    Overwrite,
    Resume,
    Seed,
    load_settings,
    show,
)

app = typer.Typer()


@app.command("finetune")
def finetune(
    out: OutDir,
    encoder: Annotated[
        str, typer.Option("--encoder", "-e", help="Encoder to begin with: of this run, or the folder of another.")
    ] = "spatialnce",
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the tuned encoder.")] = "tuned",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    overwrite: Overwrite = False,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a pretrained encoder end to end: together with a graph network, on annotated training sections.

    Writes RUN/encoders/NAME, for embed --encoder NAME and then classify --set inputs.names=[features:NAME]. Labels
    of validation sections choose the round that is exported; those of test sections and other brains are not read.
    If it is stopped, the same command continues from the last round.
    """
    from cytomesh.finetune.config import FinetuneConfig
    from cytomesh.finetune.run import finetune_run

    settings = load_settings(FinetuneConfig, config, overrides, seed)
    summary = finetune_run(out, name, encoder, settings, resume=resume, overwrite=overwrite, allow_stale=allow_stale)
    show(summary, as_json)
