"""`cytomesh measures`: numbers of nodes from elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from cytomesh.cli.options import AllowStale, AsJson, Name, OutDir, Resume, show

app = typer.Typer()


@app.command()
def measures(
    files: Annotated[str, typer.Argument(help="Such as 'maps/{graph}.csv' or 'maps/{graph}_myelin.shape.gii'.")],
    out: OutDir,
    name: Name = "measures",
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Import your own values per node, for 'variation' ("NAME:COLUMN" as target) and the report.

    One row per node, in the order of nodes.parquet and of the vertices of the surfaces of a graph, as GIFTI, CIFTI-2,
    FreeSurfer, NumPy, Parquet or text.
    """
    from cytomesh.analyze.own_measures import MeasuresConfig, measures_run

    show(measures_run(out, name, MeasuresConfig(files=files), resume=resume, allow_stale=allow_stale), as_json)
