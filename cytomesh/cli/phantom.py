"""`cytomesh phantom`: write the built-in study."""

from __future__ import annotations

from typing import Annotated

import typer

from cytomesh.cli.options import AsJson, ConfigPath, OutDir, Overrides, Resume, Seed, Workers, load_settings, show

app = typer.Typer()


@app.command("phantom")
def phantom(
    out: OutDir,
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Score mean grey and intensity profiles.")
    ] = True,
    workers: Workers = 0,
    resume: Resume = True,
    as_json: AsJson = False,
) -> None:
    """Write the built-in study: simulated sections of brains made from real cortex, with the truth."""
    from cytomesh.phantom.baselines import phantom_baselines
    from cytomesh.phantom.config import PhantomConfig
    from cytomesh.phantom.write import write_phantom

    settings = load_settings(PhantomConfig, config, overrides, seed)
    summary = write_phantom(out, settings, workers=workers, resume=resume)
    if baselines:
        summary["macro_f1"] = phantom_baselines(out)
    show(summary, as_json)
