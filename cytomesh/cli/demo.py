"""`cytomesh demo`: run everything on the built-in study."""

from __future__ import annotations

import typer

from cytomesh.cli.options import AsJson, ConfigPath, OutDir, Overrides, Resume, Seed, load_settings, say

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
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        say(summary_table(summary))
