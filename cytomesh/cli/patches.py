"""`cytomesh patches`: what encoders are trained on, extracted beforehand."""

from __future__ import annotations

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    BadSection,
    ConfigPath,
    OnBadSection,
    OutDir,
    Overrides,
    Resume,
    Scheduler,
    SchedulerFile,
    Workers,
    load_settings,
    show,
)

app = typer.Typer(no_args_is_help=True, help="Extract the patches that encoders are trained on.")


@app.callback()
def patches() -> None:
    """Keep the name of the only command."""


@app.command("export")
def export(
    out: OutDir,
    config: ConfigPath = None,
    overrides: Overrides = None,
    on_bad_section: BadSection = None,
    workers: Workers = 0,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Extract the patches of a pretraining, section by section, on CPUs before GPUs wait for them.

    Takes the configuration of `cytomesh pretrain`, which then reads them instead of the images, whatever
    patches.bank_gib says. A command that was killed goes on with the sections that are missing. With --on-bad-section
    skip, it extracts all others before it names those that cannot be read. With patches.bank_address, they are put
    into an object store.
    """
    from cytomesh.core.sections import scheduler_address
    from cytomesh.pretrain.config import PretrainConfig
    from cytomesh.pretrain.export_bank import export_run

    settings = load_settings(PretrainConfig, config, overrides, None)
    address = scheduler_address(scheduler, scheduler_file)
    keeping = {"resume": resume, "allow_stale": allow_stale, "skip_bad": on_bad_section is OnBadSection.skip}
    show(export_run(out, settings, workers=workers, scheduler=address, **keeping), as_json)
