"""`cytomesh variation`: how much of cortical structure features explain."""

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
    show_table,
)

app = typer.Typer()


@app.command()
def variation(
    out: OutDir,
    name: Name = "variation",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Explain thickness, curvature, coordinates or any node column by features, on held-out cortex.

    R2 of regressions on principal components, beside what location explains alone and, with spins, a null.
    """
    from cytomesh.analyze.config import VariationConfig
    from cytomesh.analyze.variation import variation_run

    settings = load_settings(VariationConfig, config, overrides, seed)
    show_table(variation_run(out, name, settings, resume=resume, allow_stale=allow_stale), as_json)
