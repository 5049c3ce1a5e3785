"""`cytomesh contours`: look at contours, cut a classified volume into them, find the tissue of raw sections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytomesh.cli.options import (
    AsJson,
    BadSection,
    ConfigPath,
    OnBadSection,
    Overrides,
    Scheduler,
    SchedulerFile,
    StudyPath,
    Workers,
    load_settings,
    say,
    show,
)

app = typer.Typer(no_args_is_help=True, help="Draw, check and make section contours.")


@app.command("check")
def check(
    study: StudyPath,
    out: Annotated[Path, typer.Option("--out", "-o", help="Page to write (HTML).", dir_okay=False)],
    workers: Workers = 1,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    as_json: AsJson = False,
) -> None:
    """Draw every section's rings over its image on one page and list problems; exits with 1 if there is one."""
    from cytomesh.core.parallel import available_cpus
    from cytomesh.core.sections import scheduler_address
    from cytomesh.report.contours import contour_page

    summary = contour_page(study, out, workers or available_cpus(), scheduler_address(scheduler, scheduler_file))
    show(summary, as_json)
    if summary["problems"]:
        raise typer.Exit(1)


@app.command("extract")
def extract(
    source: Annotated[Path, typer.Argument(help="Study manifest, or one image.", metavar="STUDY|IMAGE")],
    out: Annotated[Path, typer.Option("--out", "-o", help="GeoJSON to write; for a study, a folder.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
    on_bad_section: BadSection = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    as_json: AsJson = False,
) -> None:
    """Find the outer tissue boundary of raw sections; QuPath GeoJSON of class `tissue`."""
    from cytomesh.core.errors import ConfigError
    from cytomesh.core.parallel import available_cpus
    from cytomesh.core.sections import scheduler_address
    from cytomesh.imaging.tissue import TissueConfig, extract_all
    from cytomesh.study.manifest import is_manifest

    settings = load_settings(TissueConfig, config, overrides, None)
    address = scheduler_address(scheduler, scheduler_file)
    if address is not None and not is_manifest(source):
        raise ConfigError("--scheduler", found=str(source), expected="a study", hint="leave it out: one image is quick")
    skip_bad = on_bad_section is OnBadSection.skip
    facts = extract_all(source, out, settings, workers or available_cpus(), scheduler=address, skip_bad=skip_bad)
    show(facts, as_json)


@app.command("from-volume")
def from_volume(
    volume: Annotated[Path, typer.Argument(help="Labels of grey and white matter (NIfTI).", metavar="VOLUME.nii.gz")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study.", file_okay=False)],
    axis: Annotated[int, typer.Option("--axis", min=0, max=2, help="0 sagittal, 1 coronal, 2 axial.")] = 1,
    gm: Annotated[list[int] | None, typer.Option("--gm", help="Label of grey matter; may be repeated.")] = None,
    wm: Annotated[
        list[int] | None, typer.Option("--wm", help="Label of white matter, or of what it encloses; may be repeated.")
    ] = None,
    every: Annotated[int, typer.Option("--every", min=1, help="Take every n-th plane.")] = 1,
    midline_mm: Annotated[float, typer.Option("--midline-mm", help="World x between the hemispheres.")] = 0.0,
    brain: Annotated[str, typer.Option("--brain", help="Id of the brain.")] = "B01",
) -> None:
    """Cut a classified volume into sections: contours, section table and manifest."""
    from cytomesh.study.volume import VolumeCut, cut_volume

    cut = VolumeCut(axis, tuple(gm or (1,)), tuple(wm or (2,)), every, midline_mm, brain)
    say(cut_volume(volume, cut, out))
