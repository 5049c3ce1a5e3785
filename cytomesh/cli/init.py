"""`cytomesh init`: write a study from a folder of images."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cytomesh.core.progress import is_quiet

app = typer.Typer()


class Kind(StrEnum):
    """What is to be studied."""

    hemispheres = "hemispheres"
    block = "block"
    surfaces = "surfaces"
    new_brain = "new-brain"


class Cut(StrEnum):
    """How sections were cut."""

    coronal = "coronal"
    sagittal = "sagittal"
    horizontal = "horizontal"


def _folder(name: str, words: str) -> typer.models.OptionInfo:
    return typer.Option(f"--{name}", help=words, file_okay=False, show_default=False)


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="Where to write study.yaml.", metavar="DIR", file_okay=False)],
    images: Annotated[Path, _folder("images", "Folder of images, one per section, with numbers in their names.")],
    spacing_mm: Annotated[
        float,
        typer.Option(
            "--spacing-mm",
            help="Distance of sections whose numbers differ by one, towards anterior (coronal), right (sagittal) or "
            "superior (horizontal); negative: towards the other end.",
            show_default=False,
        ),
    ],
    kind: Annotated[
        Kind,
        typer.Option(
            "--kind", "-k", help="Whole hemispheres; a block; a brain with your own surfaces; one for a trained model."
        ),
    ] = Kind.hemispheres,
    contours: Annotated[
        Path | None, _folder("contours", "Folder of contours, by the names of the images or with their numbers.")
    ] = None,
    annotations: Annotated[
        Path | None, _folder("annotations", "Folder of annotated areas: QuPath GeoJSON, or label images.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Label table of the areas; else one is written.", show_default=False),
    ] = None,
    surfaces: Annotated[Path | None, _folder("surfaces", "Folder of the brain's own surfaces.")] = None,
    um_per_px: Annotated[
        float | None,
        typer.Option("--um-per-px", help="Pixel size of images that do not say it.", show_default=False),
    ] = None,
    cut: Annotated[Cut, typer.Option("--cut", help="How the sections were cut.")] = Cut.coronal,
    species: Annotated[str, typer.Option("--species", help="Such as 'Homo sapiens'.")] = "TODO",
    stain: Annotated[str, typer.Option("--stain", help="Such as Nissl.")] = "TODO",
    space: Annotated[str, typer.Option("--space", help="Name of the reference space.")] = "native",
) -> None:
    """Write a commented study.yaml and its tables from a folder of images; TODO marks what only you can know.

    Pixel sizes, numbers, classes of contours and areas are read from the files. Nothing is overwritten.
    """
    from cytomesh.study.start import Start, start_study

    start = Start(
        kind=kind.value,
        images=images,
        spacing_mm=spacing_mm,
        contours=contours,
        annotations=annotations,
        labels=labels,
        surfaces=surfaces,
        um_per_px=um_per_px,
        cut=cut.value,
        species=species,
        stain=stain,
        space=space,
    )
    text = start_study(folder, start)
    if is_quiet():
        return
    lines = text.splitlines()
    typer.echo(folder / "study.yaml")
    for line in lines[1 : lines.index("")]:
        typer.echo(line.removeprefix("# ").replace(" study.yaml", f" {shlex.quote(str(folder / 'study.yaml'))}"))
    for number, line in enumerate(lines, start=1):
        if "TODO" in line and number > lines.index(""):
            typer.echo(f"line {number}: {line.strip()}")
