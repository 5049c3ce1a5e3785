"""`cytomesh graph`: graphs of surfaces and values that exist already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytomesh.cli.options import AsJson, OutDir, Resume, show

app = typer.Typer(no_args_is_help=True, help="Bring your own surfaces and features.")


@app.callback()
def graph() -> None:
    """Bring your own surfaces and features."""


@app.command("import")
def import_(
    manifest: Annotated[Path, typer.Argument(help="What to import (YAML).", metavar="SURFACES.yaml")],
    out: OutDir,
    resume: Resume = True,
    as_json: AsJson = False,
) -> None:
    """Make graphs and features of surfaces, vertex values and labels from other programs.

    Afterwards classify, classify-predict, parcellate and report work as with graphs that were built from sections.
    """
    from cytomesh.graph.imports import import_graphs

    show(import_graphs(manifest, out, resume=resume), as_json)
