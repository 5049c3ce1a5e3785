"""`cytomesh cells`: measure cells in the cortex; `cytomesh cells-segment`: find them in an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    ConfigPath,
    Name,
    OutDir,
    Overrides,
    Resume,
    load_settings,
    show,
    show_table,
)

app = typer.Typer()


@app.command()
def cells(
    out: OutDir,
    name: Name = "cells",
    config: ConfigPath = None,
    overrides: Overrides = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Measure density, size, shape and spacing of segmented cells by node, cortical layer and depth.

    Tables of cells come from any segmenter: QuPath, Cellpose, StarDist, celldetection, or cells-segment.
    """
    from cytomesh.analyze.cells.config import CellsConfig
    from cytomesh.analyze.cells.run import cells_run

    settings = load_settings(CellsConfig, config, overrides, None)
    show_table(cells_run(out, name, settings, resume=resume, allow_stale=allow_stale), as_json)


@app.command("cells-segment")
def cells_segment(
    image: Annotated[Path, typer.Argument(help="Image of a section, 2 um/px or finer.", metavar="IMAGE")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Table to write (Parquet).", dir_okay=False)],
    config: ConfigPath = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Find dark cells in a bright image, by background, local threshold and watershed.

    A plain method, for a first table and for comparison: a trained segmenter finds more, above all where cells crowd.
    """
    from cytomesh.analyze.cells.config import SegmentConfig
    from cytomesh.analyze.cells.segment import segment_image

    settings = load_settings(SegmentConfig, config, overrides, None)
    show(segment_image(image, out, settings), as_json)
