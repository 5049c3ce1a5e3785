"""`cytomesh export`: a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytomesh.cli.options import AsJson, OutDir, show
from cytomesh.core.counted import counted

app = typer.Typer(no_args_is_help=True, help="Give a run to FreeSurfer, Connectome Workbench or BIDS.")


@app.command("freesurfer")
def freesurfer(
    out: OutDir,
    subjects: Annotated[
        Path, typer.Option("--to", help="Folder of subjects (SUBJECTS_DIR).", file_okay=False, show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Write every brain as a subject: surfaces and measures (surf/lh.pial), areas and parcels (label/lh.NAME.annot)."""
    from cytomesh.export.freesurfer import export_freesurfer

    written = export_freesurfer(out, subjects)
    show(written if as_json else {brain: counted(len(files), "file") for brain, files in written.items()}, as_json)


@app.command("workbench")
def workbench(out: OutDir, as_json: AsJson = False) -> None:
    """Write RUN/workbench: one spec file per brain, and run.scene with areas and parcels (wb_view opens both)."""
    from cytomesh.export.workbench import export_workbench

    written = export_workbench(out)
    show({"files": [str(path) for path in written]} if as_json else {path.name: path for path in written}, as_json)


@app.command("bids")
def bids(
    out: OutDir,
    folder: Annotated[
        Path,
        typer.Option("--to", help="Folder of the derivative (derivatives/NAME).", file_okay=False, show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Write a BIDS derivative: hemi-L_atlas-areas_seg-NAME_dseg.label.gii with its label table, and surfaces."""
    from cytomesh.export.bids import export_bids

    written = export_bids(out, folder)
    show(written if as_json else {brain: counted(len(files), "file") for brain, files in written.items()}, as_json)
