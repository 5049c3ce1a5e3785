"""`cytomesh phantom`: the built-in study; `phantom-cells`: cells that it was drawn from; `phantom-maps`: surfaces."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cytomesh.cli.options import AsJson, ConfigPath, Overrides, Resume, Seed, StudyDir, Workers, load_settings, show

app = typer.Typer()


class Style(StrEnum):
    """How surfaces and maps are written."""

    freesurfer = "freesurfer"
    hcp = "hcp"


@app.command("phantom")
def phantom(
    out: StudyDir,
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Score mean grey and intensity profiles.")
    ] = True,
    workers: Workers = 0,
    resume: Resume = True,
    as_json: AsJson = False,
) -> None:
    """Write the built-in study: simulated sections of brains made from real cortex, with the truth."""
    from cytomesh.phantom.baselines import phantom_baselines
    from cytomesh.phantom.config import PhantomConfig
    from cytomesh.phantom.write import write_phantom

    settings = load_settings(PhantomConfig, config, overrides, seed)
    summary = write_phantom(out, settings, workers=workers, resume=resume)
    if baselines:
        summary["macro_f1"] = phantom_baselines(out)
    show(summary, as_json)


@app.command("phantom-cells")
def phantom_cells(
    folder: Annotated[Path, typer.Argument(help="Folder of a phantom study.", metavar="DIR")],
    brains: Annotated[
        list[str] | None, typer.Option("--brain", help="Whose; may be repeated. All without it.", show_default=False)
    ] = None,
    every: Annotated[int, typer.Option("--every", min=1, help="Every n-th section only.")] = 1,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Write the cells that a phantom's sections were drawn from: up to a million rows per section, beside the truth."""
    from cytomesh.phantom.cells import write_phantom_cells

    show(write_phantom_cells(folder, brains=brains or (), every=every, workers=workers), as_json)


@app.command("phantom-maps")
def phantom_maps(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder.", file_okay=False, show_default=False)],
    style: Annotated[
        Style,
        typer.Option("--style", help="fsaverage5 in FreeSurfer's files; 32,492 vertices a side in GIFTI and CIFTI."),
    ] = Style.freesurfer,
    areas: Annotated[int, typer.Option("--areas", min=2, max=200, help="Number of areas.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of areas and noise.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write surfaces, maps of layer thickness and areas, to try 'graph import' with: no sections, no images."""
    from cytomesh.phantom.maps import write_phantom_maps

    show(write_phantom_maps(out, style.value, n_areas=areas, seed=seed), as_json)
