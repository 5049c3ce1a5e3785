"""`cytomesh doctor`: what this installation and this machine are fit for."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cytomesh.cli.options import AsJson

app = typer.Typer()


@app.command()
def doctor(
    folder: Annotated[
        Path, typer.Argument(help="Where runs are to be written: its disk is looked at.", file_okay=False)
    ] = Path(),
    with_self_test: Annotated[
        bool, typer.Option("--self-test", help="Map one small brain there, too: about a minute.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check packages, GPU, memory, disk and threads, and say what to do; exits with 1 if something is a problem."""
    from cytomesh.core.doctor import examine, findings_table

    found = examine(folder)
    if with_self_test:
        from cytomesh.self_test import self_test

        found.append(self_test(folder))
    typer.echo(json.dumps([asdict(item) for item in found], indent=2) if as_json else findings_table(found))
    if any(item.level == "problem" for item in found):
        raise typer.Exit(1)
