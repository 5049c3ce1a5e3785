"""`cytomesh report`: one self-contained HTML page of a run."""

from __future__ import annotations

import typer

from cytomesh.cli.options import AsJson, OutDir, show

app = typer.Typer()


@app.command()
def report(out: OutDir, as_json: AsJson = False) -> None:
    """Write report.html: surfaces, curves, scores, sections, patches and quality on one page that needs no network."""
    from cytomesh.report.run import report_run

    show(report_run(out), as_json)
