"""Run the quick form of every benchmark and print one table: `python -m benchmarks [--full] [--json FILE]`."""

from __future__ import annotations

import importlib
import pkgutil
import time
from typing import Any

import benchmarks
from benchmarks.common import MissingDataError, Options, Result, as_dict, machine, parser, table
from cytomesh.core.files import write_json


def measurable() -> list[str]:
    """Return the modules that measure something, `benchmarks.<area>.<figure>`."""
    names = [info.name for info in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.") if not info.ispkg]
    return [
        name for name in sorted(names) if name.count(".") == 2 and hasattr(importlib.import_module(name), "measure")
    ]


def run() -> None:
    """Measure everything; a benchmark without its data is listed as skipped."""
    arguments = parser(__doc__)
    arguments.add_argument("--full", action="store_true", help="the full forms: much longer")
    parsed = arguments.parse_args()
    rows: list[list[Any]] = []
    results: dict[str, Any] = {}
    for name in measurable():
        figure = name.removeprefix("benchmarks.")
        start = time.perf_counter()
        try:
            result = importlib.import_module(name).measure(Options(parsed.data, quick=not parsed.full))
        except MissingDataError as problem:
            rows.append([figure, 0.0, f"skipped: {problem}"])
            continue
        print(table(result), flush=True)
        rows.append([figure, time.perf_counter() - start, result.claim])
        results[figure] = as_dict(result)
    summary = Result("All benchmarks", ("figure", "seconds", "result"), rows, f"{len(results)} of {len(rows)} measured")
    print(table(summary))
    if parsed.json:
        write_json(parsed.json, {"results": results, **machine()})


if __name__ == "__main__":
    run()
