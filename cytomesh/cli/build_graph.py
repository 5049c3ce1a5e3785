"""`cytomesh build-graph`: section contours to cortical surfaces and linked graphs."""

from __future__ import annotations

from typing import Annotated

import typer

from cytomesh.cli.options import (
    AsJson,
    ConfigPath,
    OnBadSection,
    OutDir,
    Overrides,
    Resume,
    Scheduler,
    SchedulerFile,
    Seed,
    StudyPath,
    Workers,
    load_settings,
    show,
)

app = typer.Typer()


@app.command("build-graph")
def build_graph(
    study: StudyPath,
    out: OutDir,
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    on_bad_section: Annotated[
        OnBadSection | None,
        typer.Option("--on-bad-section", help="Stop at a bad section, or leave it out.", show_default="stop"),
    ] = None,
    workers: Workers = 0,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    resume: Resume = True,
    as_json: AsJson = False,
) -> None:
    """Reconstruct cortical surfaces from contours, or take those that the study gives; link every node to its image."""
    from cytomesh.core.sections import scheduler_address
    from cytomesh.graph.build import build_graphs
    from cytomesh.graph.config import BuildGraphConfig

    choices = [*(overrides or ()), *([f"on_bad_section={on_bad_section.value}"] if on_bad_section else ())]
    settings = load_settings(BuildGraphConfig, config, choices, seed)
    address = scheduler_address(scheduler, scheduler_file)
    show(build_graphs(study, out, settings, resume=resume, workers=workers, scheduler=address), as_json)
