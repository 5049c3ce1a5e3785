"""`cytomesh demo`: run everything on the built-in study."""

from __future__ import annotations

import typer

from cytomesh.cli.options import AsJson, ConfigPath, OutDir, Overrides, Resume, Seed, load_settings
from cytomesh.core.progress import is_quiet

app = typer.Typer()


@app.command()
def demo(
    out: OutDir,
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    as_json: AsJson = False,
) -> None:
    """Run everything on the built-in study: sections, surfaces, features, areas, parcels, one report."""
    import json

    from cytomesh.demo import DemoConfig, demo_run, summary_table

    summary = demo_run(out, load_settings(DemoConfig, config, overrides, seed), resume=resume)
    if as_json or not is_quiet():
        typer.echo(json.dumps(summary, indent=2) if as_json else summary_table(summary))
