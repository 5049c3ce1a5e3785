"""`cytomesh build-graph`: section contours to cortical surfaces and linked graphs."""

from __future__ import annotations

import typer

from cytomesh.cli.options import (
    AsJson,
    BadSection,
    ConfigPath,
    DryRun,
    OutDir,
    Overrides,
    Resume,
    Scheduler,
    SchedulerFile,
    Seed,
    StudyPath,
    Workers,
    bad_section_setting,
    load_settings,
    show_table,
    tell,
)

app = typer.Typer()


@app.command("build-graph")
def build_graph(
    study: StudyPath,
    out: OutDir,
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    on_bad_section: BadSection = None,
    workers: Workers = 0,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    resume: Resume = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Reconstruct cortical surfaces from contours, or take those of the study, and link every node to its image."""
    from cytomesh.core.sections import scheduler_address
    from cytomesh.graph.build import build_graphs
    from cytomesh.graph.config import BuildGraphConfig
    from cytomesh.graph.plan import plan_graphs

    choices = [*(overrides or ()), *bad_section_setting(on_bad_section)]
    settings = load_settings(BuildGraphConfig, config, choices, seed)
    if dry_run:
        tell(plan_graphs(study, out, settings, resume=resume), as_json)
        return
    address = scheduler_address(scheduler, scheduler_file)
    show_table(build_graphs(study, out, settings, resume=resume, workers=workers, scheduler=address), as_json)
