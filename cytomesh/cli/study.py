"""`cytomesh study`: check a study, describe a BIDS dataset as one, show where sections lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cytomesh.cli.options import AsJson, Scheduler, SchedulerFile, StudyPath, Workers, say
from cytomesh.core.counted import counted
from cytomesh.core.errors import ConfigError, CytomeshError

if TYPE_CHECKING:
    from cytomesh.study.check_report import CheckReport

app = typer.Typer(no_args_is_help=True, help="Check a study, describe a BIDS dataset as one, show where sections lie.")


@app.command("check")
def check(
    study: StudyPath,
    quick: Annotated[bool, typer.Option("--quick", help="Read no pixels: tables, contours and headers only.")] = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="Decode every pixel of every image.")] = False,
    workers: Workers = 0,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    as_json: AsJson = False,
) -> None:
    """Print what a study consists of and every problem, each with file and field; exits with 1 if there is one."""
    import json

    from cytomesh.core.parallel import available_cpus
    from cytomesh.core.sections import scheduler_address
    from cytomesh.graph.own_surfaces import check_own_surfaces
    from cytomesh.imaging.image_look import ImageLook
    from cytomesh.study.check import check_study
    from cytomesh.surface.gifti import read_surface

    if quick and thorough:
        raise ConfigError("--quick", found="--thorough, too", expected="one of them", hint="leave one out")
    depth: Literal["quick", "usual", "thorough"] = "quick" if quick else "thorough" if thorough else "usual"
    reads = ImageLook(), workers or available_cpus(), lambda path: read_surface(path).vertices
    address = scheduler_address(scheduler, scheduler_file)
    report = check_study(study, depth, *reads, check_own_surfaces, address)
    typer.echo(json.dumps(report.to_dict(), indent=2, default=str) if as_json else _text(report))
    if report.problems:
        raise typer.Exit(1)


@app.command("from-bids")
def from_bids(
    folder: Annotated[Path, typer.Argument(help="BIDS microscopy dataset.", metavar="DIR", file_okay=False)],
    space: Annotated[str, typer.Option("--space", help="Name of the reference space.")] = "native",
) -> None:
    """Write study.yaml (and section tables where there are none) into a BIDS microscopy dataset."""
    from cytomesh.study.bids import from_bids as describe

    say(describe(folder, space))


@app.command("to-ome-zarr")
def to_ome_zarr(
    study: StudyPath,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the scenes; 'scenes' beside the manifest.",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Write where sections lie as OME-Zarr 0.6 scenes, one per brain: viewers such as napari show the stack.

    Images are linked, not copied; they have to be copies by 'cytomesh images convert'.
    """
    from cytomesh.imaging.scene import write_scene
    from cytomesh.study.study import open_study

    for brain in open_study(study).brains:
        path = (out or study.parent / "scenes") / f"{brain.id}.ome.zarr"
        count = write_scene(path, brain)
        say(f"{path}: {counted(count, 'section')}")


def _text(report: CheckReport) -> str:
    if not report.name:  # no manifest that can be read
        return "\n".join(_listed(report.problems, "problem"))
    maps = "with probability maps" if report.has_probability_maps else "no probability maps"
    areas = counted(report.n_areas, "area")
    lines = [
        f"{report.name}: {report.species}, {report.stain}; space {report.space}; {areas}, {maps}",
        "",
        f"{'brain':<12}{'role':<10}{'sides':<7}{'sections':>9}{'images':>8}{'contours':>10}{'annotated':>11}{'missing':>9}"
        f"{'damaged':>9}{'first mm':>11}{'last mm':>11}",
    ]
    for brain in report.brains:
        lines.append(
            f"{brain.id:<12}{brain.role:<10}{brain.hemispheres:<7}{brain.n_sections:>9}{brain.n_images:>8}"
            f"{brain.n_contours:>10}{brain.n_annotations:>11}{brain.n_missing:>9}{brain.n_damaged:>9}"
            f"{brain.first_mm:>11.2f}{brain.last_mm:>11.2f}"
        )
    lines += ["", *_listed(report.problems, "problem")] if report.problems else ["", "No problem found."]
    lines += ["", *_listed(report.warnings, "warning")] if report.warnings else []
    return "\n".join(lines)


def _listed(problems: Sequence[CytomeshError], word: str) -> list[str]:
    from cytomesh.study.check_report import grouped

    n, groups = len(problems), grouped(problems)
    kinds = f" of {len(groups)} kinds" if 1 < len(groups) < n else ""
    count = f"{n} {word}{'s' if n > 1 else ''}{kinds}:"
    return [count, *(f"{i}. {problem}" for i, problem in enumerate(groups, start=1))]
