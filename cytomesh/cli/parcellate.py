"""`cytomesh parcellate`: data-driven parcels from node features."""

from __future__ import annotations

from typing import Any

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    ConfigPath,
    DryRun,
    Name,
    OutDir,
    Overrides,
    Resume,
    Seed,
    load_settings,
    show_table,
    tell,
)

app = typer.Typer()
BRIEF = {
    "n_parcels": "parcels",
    "ami": "AMI with areas",
    "ami_over_spin": "above rotated areas",
    "ami_over_geometry": "above geometry alone",
    "halves_ami_over_noise": "AMI of halves above noise",
    "brains_ami_over_noise": "AMI of brains above noise",
    "variance_explained_over_geometry": "variance explained above geometry",
}
"""What the console shows of a graph, in words; `--json` and the pages have all."""


@app.command()
def parcellate(
    out: OutDir,
    name: Name = "parcels",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Divide every hemisphere into connected parcels of similar cortex; scores are printed with their nulls.

    parcels.html beside the results shows them on the surface.
    """
    from cytomesh.core.errors import PackageError
    from cytomesh.core.progress import warn
    from cytomesh.parcellate.config import ParcellateConfig
    from cytomesh.parcellate.plan import plan_parcellate
    from cytomesh.parcellate.run import parcellate_run
    from cytomesh.report.parcels import parcel_page

    settings = load_settings(ParcellateConfig, config, overrides, seed)
    if dry_run:
        tell(plan_parcellate(out, name, settings, resume=resume, allow_stale=allow_stale), as_json)
        return
    summary = parcellate_run(out, name, settings, resume=resume, allow_stale=allow_stale)
    try:
        parcel_page(out, name)
    except PackageError as error:  # the parcels are there, and other programs open them
        warn(f"no parcels.html: {error}")
    show_table(summary if as_json else {graph: _brief(row) for graph, row in summary.items()}, as_json)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """Return what fits into a line: agreement with areas, of the halves and of brains, above their nulls."""
    return {words: row[name] for name, words in BRIEF.items() if name in row}
