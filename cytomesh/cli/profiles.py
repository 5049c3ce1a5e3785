"""`cytomesh profiles`: staining profiles as features."""

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
def profiles(
    out: OutDir,
    name: Name = "profiles",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Sample the staining profile of every linked node, pial to white, as features to compare encoders with."""
    from cytomesh.analyze.profiles import ProfilesConfig, profiles_run

    settings = load_settings(ProfilesConfig, config, overrides, seed)
    show(profiles_run(out, name, settings, resume=resume, allow_stale=allow_stale), as_json)
