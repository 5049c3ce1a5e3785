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


@app.command("init")
def init(
    manifest: Annotated[Path, typer.Argument(help="What to write (YAML).", metavar="SURFACES.yaml", dir_okay=False)],
    folders: Annotated[
        list[Path],
        typer.Option(
            "--from",
            help="Folder of surfaces, maps and labels, or of a FreeSurfer subject; may be given again.",
            exists=True,
            file_okay=False,
            show_default=False,
        ),
    ],
    brain: Annotated[str, typer.Option("--brain", help="Name of the brain, subject or template.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Write the manifest of 'graph import' from folders of surfaces and maps; what does not fit is named in it."""
    from cytomesh.graph.import_start import start_manifest

    show(start_manifest(manifest, folders, brain), as_json)


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
