"""`cytomesh register`: all hemispheres on one sphere."""

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
    Workers,
    load_settings,
    show_table,
)

app = typer.Typer()


@app.command()
def register(
    out: OutDir,
    name: Name = "folding",
    config: ConfigPath = None,
    overrides: Overrides = None,
    workers: Workers = 0,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Make an inflated surface and a sphere for every hemisphere, and align all with a template by their folding.

    The template is fsaverage, or the mean of the study's own hemispheres (--set template=study). Spheres serve spin
    tests; registered ones carry maps, areas and features from brain to brain ('cytomesh resample').
    """
    from cytomesh.register.config import RegisterConfig
    from cytomesh.register.run import register_run

    settings = load_settings(RegisterConfig, config, overrides, None)
    found = register_run(out, name, settings, workers=workers, resume=resume, allow_stale=allow_stale)
    show_table(found, as_json)
