"""What all benchmarks share: options, fair timing, peak memory, tables with the claim last, JSON with versions."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cytomesh.core.files import write_json
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import speak
from cytomesh.core.provenance import made_now

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


class MissingDataError(RuntimeError):
    """The real data that a benchmark needs is not on this machine."""


@dataclass(frozen=True)
class Options:
    """Options that every benchmark takes."""

    data: Path
    quick: bool
    json: Path | None = None
    run: Path | None = None

    def bigbrain(self) -> Path:
        """Return the BigBrain folder of the data."""
        folder = self.data / "bigbrain"
        if not folder.is_dir():
            raise MissingDataError(f"no BigBrain data in {self.data}: give --data or set CYTOMESH_REAL_DATA")
        return folder


@dataclass(frozen=True)
class Result:
    """One table of numbers.

    Parameters
    ----------
    title : str
    columns : sequence of str
        The first column names the row.
    rows : list of lists
        Numbers or strings, one list a row.
    claim : str
        The last line: what the numbers show, against what.
    facts : dict
        Anything else worth keeping in the JSON.
    """

    title: str
    columns: Sequence[str]
    rows: list[list[Any]]
    claim: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs."""

    seconds: list[float]

    @property
    def median(self) -> float:
        """Median, s."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:.3g} s ({min(self.seconds):.3g}-{max(self.seconds):.3g})"


def default_data() -> Path:
    """Return the folder of the real data: CYTOMESH_REAL_DATA, or ../shared/data beside the checkout."""
    return Path(os.environ.get("CYTOMESH_REAL_DATA", DEFAULT_DATA))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks take."""
    result = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    result.add_argument("--data", type=Path, default=default_data(), help="folder of the real data")
    result.add_argument("--json", type=Path, default=None, help="write the numbers to this file")
    return result


def main(measure: Callable[[Options], Result], description: str | None, takes_run: bool = False) -> None:
    """Parse the command line of a benchmark, measure, print the table, write the JSON."""
    arguments = parser(description)
    arguments.add_argument("--quick", action="store_true", help="a smaller form, for a glance")
    if takes_run:
        arguments.add_argument("--run", type=Path, default=None, help="run directory; built where it is not given")
    options = Options(**vars(arguments.parse_args()))
    speak()
    try:
        result = measure(options)
    except MissingDataError as problem:
        sys.exit(f"skipped: {problem}")
    print(table(result))
    if options.json:
        write_result(options.json, result)


def interleave(
    functions: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Timing]:
    """Time functions in turns, A B A B ..., so that a slow minute of the machine hits all of them; one warm-up each.

    With `time.process_time` as the clock, seconds are those of the processor: what else the machine does is left out.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round_ in range(rounds + 1):
        for name, function in functions.items():
            start = clock()
            function()
            if round_:
                seconds[name].append(clock() - start)
    return {name: Timing(values) for name, values in seconds.items()}


def peak_memory_mb(code: str, *arguments: str) -> float:
    """Run Python code in a fresh process and return its peak resident memory, MB."""
    # VmHWM begins anew at exec; ru_maxrss would begin at the size of this process
    report = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    program = f"import sys\n{code}\n{report}"
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1]) / 1024.0


def own_peak_memory_mb() -> float:
    """Return the peak resident memory of this process and its children, MB."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024.0


def table(result: Result) -> str:
    """Return a result as aligned text, the claim last."""
    lines = [[str(column) for column in result.columns], *[[_cell(value) for value in row] for row in result.rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(result.columns))]

    def text(cells: list[str]) -> str:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    ruler = "  ".join("-" * width for width in widths)
    return "\n".join(["", result.title, text(lines[0]), ruler, *map(text, lines[1:]), result.claim, ""])


def write_result(path: Path, result: Result) -> None:
    """Write a result with versions, processor and date."""
    write_json(path, {**as_dict(result), **machine()})


def as_dict(result: Result) -> dict[str, Any]:
    """Return a result as plain data, one dict a row."""
    rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
    return {"title": result.title, "rows": rows, "claim": result.claim, **result.facts}


def machine() -> dict[str, Any]:
    """Return versions, processor, number of processors and date."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "n_cpus": available_cpus(),
        "python": platform.python_version(),
        "packages": made_now(0)["packages"],
    }


def last_json(text: str) -> Any:
    """Parse the JSON that a command printed with --json."""
    return json.loads(text[text.index("{") :])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cell(value: Any) -> str:
    return (
        f"{value:.4g}"
        if isinstance(value, float) and abs(value) < 1e4
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
