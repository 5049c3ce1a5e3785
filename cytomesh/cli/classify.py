"""`cytomesh classify`: name the area of every node."""

from __future__ import annotations

import typer

from cytomesh.cli.options import AsJson, ConfigPath, Name, OutDir, Overrides, Resume, Seed, load_settings, show

app = typer.Typer()


@app.command()
def classify(
    out: OutDir,
    name: Name = "gat",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    as_json: AsJson = False,
) -> None:
    """Name the cytoarchitectonic area of every node."""
    from cytomesh.classify.config import ClassifyConfig
    from cytomesh.classify.run import classify_run

    settings = load_settings(ClassifyConfig, config, overrides, seed)
    show(classify_run(out, name, settings, resume=resume), as_json)
