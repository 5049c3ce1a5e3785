"""Options and printing that all commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cytomesh.core.progress import is_quiet

if TYPE_CHECKING:
    from pydantic import BaseModel

StudyPath = Annotated[Path, typer.Argument(help="Study manifest (YAML).", metavar="STUDY.yaml")]


def _logged(run: Path) -> Path:
    """Keep a log in the run directory of a command."""
    from cytomesh.core.run_log import begin_log

    begin_log(run)
    return run


OutDir = Annotated[
    Path,
    typer.Option("--out", "-o", help="Run directory.", file_okay=False, show_default=False, callback=_logged),
]
ReadDir = Annotated[Path, typer.Option("--out", "-o", help="Run directory.", file_okay=False, show_default=False)]
"""Of a command that writes nothing there."""
StudyDir = Annotated[
    Path, typer.Option("--out", "-o", help="Directory of the study.", file_okay=False, show_default=False)
]
Name = Annotated[str, typer.Option("--name", "-n", help="Name of this result within the run.")]
ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Settings: a YAML file, or the name of a preset; 'cytomesh settings STAGE' lists both.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Override one setting: KEY.SUBKEY=VALUE.", show_default=False)
]
Seed = Annotated[int | None, typer.Option("--seed", help="Same as --set seed=N.", show_default=False)]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume", help="Keep finished results and continue what was stopped, or start from scratch."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an encoder that has other settings.")]
AllowStale = Annotated[
    bool, typer.Option("--allow-stale", help="Continue although something that this reads is stale.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", help="Process sections on a Dask cluster: its scheduler, tcp://HOST:8786.", show_default=False
    ),
]
SchedulerFile = Annotated[
    Path | None, typer.Option("--scheduler-file", help="The same, by the scheduler's file.", show_default=False)
]
Workers = Annotated[int, typer.Option("--workers", "-j", help="Number of processes; 0 uses every available processor.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done and what kept, without writing anything.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


class OnBadSection(StrEnum):
    """What to do with a section that cannot be used."""

    stop = "stop"
    skip = "skip"


BadSection = Annotated[
    OnBadSection | None,
    typer.Option("--on-bad-section", help="Stop at a bad section, or leave it out and report it.", show_default="stop"),
]

LARGE, SMALL = 100.0, 10.0
SettingsT = TypeVar("SettingsT", bound="BaseModel")


def load_settings(
    kind: type[SettingsT], config: Path | None, overrides: Sequence[str] | None, seed: int | None
) -> SettingsT:
    """Load a stage's settings from file, `--set` and `--seed`, in this order."""
    from cytomesh.core.config import load_config  # pydantic and YAML: not for --help

    seed_override = [] if seed is None else [f"seed={seed}"]
    return load_config(kind, config, [*(overrides or ()), *seed_override])


def bad_section_setting(choice: OnBadSection | None) -> list[str]:
    """Return the option as an override of the setting of that name."""
    return [] if choice is None else [f"on_bad_section={choice.value}"]


def show(summary: dict[str, Any], as_json: bool) -> None:
    """Print a stage's summary to standard output: JSON, or one aligned line a value, which --quiet leaves out."""
    if as_json or not is_quiet():
        tell(summary, as_json)


def say(text: object) -> None:
    """Print a line or a page to standard output, which --quiet leaves out."""
    if not is_quiet():
        typer.echo(text)


def tell(summary: dict[str, Any], as_json: bool) -> None:
    """Print what a command was asked for, as `show` does, with --quiet, too."""
    if as_json:
        typer.echo(json.dumps(summary, indent=2, default=float))
        return
    rows = list(_flat(summary))
    width = max((len(key) for key, _ in rows), default=0)
    for key, value in rows:
        typer.echo(f"{key:<{width}}  {value}")


def show_table(summary: dict[str, Any], as_json: bool) -> None:
    """Print a summary to standard output: JSON, or its single values and then its rows, each by column.

    --quiet leaves the latter out. Columns of large numbers have no decimals; where small ones stand among them, rows
    of large numbers have none.
    """
    if as_json or is_quiet():
        show(summary, as_json)
        return
    rows = {name: row for name, row in summary.items() if isinstance(row, dict)}
    show({name: value for name, value in summary.items() if name not in rows}, as_json)
    columns = [["", *rows]]
    is_large = [max((abs(value or 0.0) for value in row.values()), default=0.0) >= LARGE for row in rows.values()]
    for column in dict.fromkeys(column for row in rows.values() for column in row):
        numbers = [row.get(column) for row in rows.values()]
        if all(isinstance(value, int | None) for value in numbers):  # counts, and yes or no
            columns.append([column, *("-" if value is None else _count(value) for value in numbers)])
            continue
        known = [abs(value) for value in numbers if value]
        is_mixed = min(known, default=0.0) < SMALL
        digits = [0 if max(known, default=0.0) >= LARGE and (large or not is_mixed) else 3 for large in is_large]
        columns.append(
            [column, *("-" if value is None else f"{value:,.{n}f}" for value, n in zip(numbers, digits, strict=True))]
        )
    widths = [max(map(len, cells)) for cells in columns]
    for name, *cells in zip(*columns, strict=True):
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        typer.echo("  ".join([name.ljust(widths[0]), *aligned]))


def _flat(data: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in data.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, _shown(value)))
    return rows


def _count(value: int) -> str:
    return _shown(value) if isinstance(value, bool) else f"{value:,}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
