"""`cytomesh resample`: maps and labels from one surface to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytomesh.cli.options import AsJson, OutDir, show

app = typer.Typer()

Surface = Annotated[
    str,
    typer.Option(
        "--from",
        help="Graph of the run (B01_hemi-L), fsaverage5, or the file of a registered sphere.",
        show_default=False,
    ),
]
Target = Annotated[str, typer.Option("--to", help="Target, given in the same way.", show_default=False)]


@app.command()
def resample(
    file: Annotated[Path, typer.Argument(help="One value per vertex: GIFTI, CIFTI-2, FreeSurfer, NumPy, table.")],
    to_file: Annotated[
        Path, typer.Argument(help=".label.gii, .annot or .dlabel.nii for labels; .func.gii or .shape.gii for numbers.")
    ],
    out: OutDir,
    source: Surface,
    target: Target,
    registration: Annotated[str, typer.Option("--registration", "-r", help="Name of the registration.")] = "folding",
    as_json: AsJson = False,
) -> None:
    """Resample vertex values between brains and templates, along a registration ('cytomesh register').

    Numbers by adaptive barycentric means, labels by the largest area, as Connectome Workbench does.
    """
    from cytomesh.register.carry import resample_file

    show(resample_file(out, file, source, target, to_file, registration), as_json)
