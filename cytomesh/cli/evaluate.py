"""`cytomesh evaluate`: encoders side by side, by one protocol."""

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


@app.command()
def evaluate(
    out: OutDir,
    name: Name = "evaluate",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Compare the features of several encoders: areas, few annotated sections, structure, probes, uncertainty.

    Needs embeddings ('cytomesh embed'); scores of an encoder are kept when another one is added.
    """
    from cytomesh.analyze.evaluate.config import EvaluateConfig
    from cytomesh.analyze.evaluate.run import evaluate_run

    settings = load_settings(EvaluateConfig, config, overrides, seed)
    show_table(evaluate_run(out, name, settings, resume=resume, allow_stale=allow_stale), as_json)
