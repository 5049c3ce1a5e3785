"""`cytomesh status`: what a run holds, and what of it is stale."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from cytomesh.cli.options import AsJson, ReadDir

app = typer.Typer()


@app.command()
def status(out: ReadDir, as_json: AsJson = False) -> None:
    """Say whether each result of a run is done, stale (and why), stopped or failed."""
    from cytomesh.report.status import run_status, status_table

    found = run_status(out)
    typer.echo(json.dumps([asdict(item) for item in found], indent=2) if as_json else status_table(found))
