"""`cytomesh parcellate`: data-driven parcels from node features."""

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
def parcellate(
    out: OutDir,
    name: Name = "diffusion",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Divide every hemisphere into connected parcels of similar cortex; scores are printed with their nulls.

    parcels.html beside the results shows them on the surface.
    """
    from cytomesh.core.errors import PackageError
    from cytomesh.core.progress import warn
    from cytomesh.parcellate.config import ParcellateConfig
    from cytomesh.parcellate.run import parcellate_run
    from cytomesh.report.parcels import parcel_page

    settings = load_settings(ParcellateConfig, config, overrides, seed)
    summary = parcellate_run(out, name, settings, resume=resume, allow_stale=allow_stale)
    try:
        parcel_page(out, name)
    except PackageError as error:  # the parcels are there, and other programs open them
        warn(f"no parcels.html: {error}")
    show(summary, as_json)
