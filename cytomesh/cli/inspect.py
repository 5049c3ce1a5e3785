"""`cytomesh inspect`: what features look like, and what an encoder looks at."""

from __future__ import annotations

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    ConfigPath,
    Name,
    OutDir,
    Overrides,
    Resume,
    Seed,
    load_settings,
    show,
)

app = typer.Typer()


@app.command()
def inspect(
    out: OutDir,
    name: Name = "inspect",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Map features, compare areas and brains, find the same cortex in other brains, show what the encoder attends to.

    inspect.html beside the results shows them.
    """
    from cytomesh.analyze.inspect.config import InspectConfig
    from cytomesh.analyze.inspect.run import inspect_run
    from cytomesh.core.errors import PackageError
    from cytomesh.core.progress import warn
    from cytomesh.report.inspection import inspect_page

    settings = load_settings(InspectConfig, config, overrides, seed)
    summary = inspect_run(out, name, settings, resume=resume, allow_stale=allow_stale)
    try:
        summary["page"] = str(inspect_page(out, name))
    except PackageError as error:  # the numbers are there, and other programs plot them
        warn(f"no inspect.html: {error}")
    show(summary, as_json)
