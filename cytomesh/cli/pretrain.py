"""`cytomesh pretrain`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    ConfigPath,
    DryRun,
    Name,
    OutDir,
    Overrides,
    Overwrite,
    Resume,
    Seed,
    load_settings,
    show,
    show_table,
    tell,
)

app = typer.Typer()

# EX_TEMPFAIL of sysexits.h: not an error, call again. Slurm scripts requeue on it.
PREEMPTED = 75


@app.command("pretrain")
def pretrain(
    out: OutDir,
    name: Name = "spatialnce",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    overwrite: Overwrite = False,
    allow_stale: AllowStale = False,
    benchmark: Annotated[
        bool,
        typer.Option("--benchmark", help="Measure how fast training runs, by how it is fed; keeps nothing."),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train an image encoder without labels, from the positions of patches; alone or under torchrun.

    Stopped by SIGTERM, it writes a checkpoint and exits with 75: run the same command again to continue. Other
    settings under the name of an existing encoder are refused, except more schedule.steps, which continue it.
    """
    from cytomesh.pretrain.config import PretrainConfig
    from cytomesh.pretrain.plan import plan_pretrain
    from cytomesh.pretrain.run import pretrain_run

    settings = load_settings(PretrainConfig, config, overrides, seed)
    if benchmark:
        from cytomesh.pretrain.speed import benchmark_run

        speeds = benchmark_run(out, settings)
        if os.environ.get("RANK", "0") == "0":
            show_table(speeds, as_json)
        return
    if dry_run:
        choices = {"resume": resume, "overwrite": overwrite, "allow_stale": allow_stale}
        tell(plan_pretrain(out, name, settings, **choices), as_json)
        return
    summary = pretrain_run(out, name, settings, resume=resume, overwrite=overwrite, allow_stale=allow_stale)
    show(summary, as_json)
    if summary["preempted"]:
        raise typer.Exit(PREEMPTED)
