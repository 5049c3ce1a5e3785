"""The `cytomesh` program: its commands, and the one place where errors are printed."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cytomesh.cli import (
    build_graph,
    cells,
    classify,
    contours,
    demo,
    doctor,
    embed,
    evaluate,
    export,
    finetune,
    graph,
    images,
    init,
    inspect,
    measures,
    parcellate,
    patches,
    phantom,
    pretrain,
    profiles,
    register,
    report,
    resample,
    segment_layers,
    settings,
    status,
    study,
    variation,
)
from cytomesh.core.errors import CytomeshError, StorageError, did_you_mean
from cytomesh.core.progress import speak
from cytomesh.core.run_log import logged


def _print_version(wanted: bool) -> None:
    if wanted:
        from cytomesh import __version__

        typer.echo(__version__)
        raise typer.Exit


class _Program(TyperGroup):
    """All commands; of a word that is none of those that an argument or option takes, it asks for the nearest."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was called."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            # typer and click say which words there are, in the same way, and in words only
            if found := re.search(r"'([^']*)' is not one of (.*)", error.message):
                error.message += " " + did_you_mean(found[1], re.findall(r"'([^']*)'", found[2])).capitalize()
            raise


app = typer.Typer(cls=_Program, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def cytomesh(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors, and what was asked for.")] = False,
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Map the cerebral cortex from microscopy: surfaces, image features, areas and parcels.

    --quiet and --debug may stand before or after the command.
    """
    speak(quiet=quiet)


# Order of the help page. Modules that hold several commands are groups; the others are commands themselves.
app.add_typer(study.app, name="study")
app.add_typer(contours.app, name="contours")
app.add_typer(images.app, name="images")
app.add_typer(patches.app, name="patches")
app.add_typer(graph.app, name="graph")
app.add_typer(export.app, name="export")
for _module in (
    init,
    phantom,
    build_graph,
    register,
    resample,
    pretrain,
    embed,
    profiles,
    finetune,
    classify,
    parcellate,
    segment_layers,
    cells,
    measures,
    variation,
    evaluate,
    inspect,
    report,
    status,
    settings,
    doctor,
    demo,
):
    app.add_typer(_module.app)


def main(arguments: list[str] | None = None) -> None:
    """Run the program; a CytomeshError is printed as one message and exits with 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Flags of the whole program are wanted after the command, too, where typer would not look for them.
    anywhere = [word for word in arguments if word in ("--quiet", "-q", "--debug")]
    arguments = anywhere + [word for word in arguments if word not in anywhere]
    try:
        with logged(arguments):
            app(arguments)
    except CytomeshError as error:
        if "--debug" in anywhere:
            raise
        typer.echo(f"cytomesh: {error}", err=True)
        sys.exit(1)
    except OSError as error:  # what no stage has named: a folder that cannot be made, a log that cannot be written
        from cytomesh.core.files import storage_fault  # NumPy: not for --help

        fault = storage_fault(error)
        if fault is None or "--debug" in anywhere:
            raise
        named = StorageError(error.filename or "disk", found=fault[0], hint=fault[1])
        typer.echo(f"cytomesh: {named}", err=True)
        sys.exit(1)
