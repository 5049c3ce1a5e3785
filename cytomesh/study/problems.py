"""Several problems at once: collect errors instead of stopping at the first, then raise them as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cytomesh.core.errors import CytomeshError, StudyError

T = TypeVar("T")


def attempt(problems: list[CytomeshError], function: Callable[[], T]) -> T | None:
    """Call `function`; on a CytomeshError append it, or all that it names together, to `problems` and return None."""
    try:
        return function()
    except CytomeshError as problem:
        problems.extend(problem.parts or (problem,))
        return None


def absent_files(manifest: Path, field: str, files: Mapping[str, Path]) -> list[CytomeshError]:
    """Name the files of a field of a manifest, paths relative to it or absolute, that are not there."""
    absent = {name: manifest.parent / file for name, file in files.items() if not (manifest.parent / file).is_file()}
    return [StudyError(manifest, f"{field}.{name}", found=f"no such file: {file}") for name, file in absent.items()]


def raise_problems(problems: Sequence[CytomeshError]) -> None:
    """Raise the only problem, or one error of the first one's kind that names them all; nothing if there is none."""
    if not problems:
        return
    first = problems[0]
    if len(problems) == 1:
        raise first
    texts = [f"({i}) {_facts(problem, first.source)}" for i, problem in enumerate(problems, start=1)]
    hints = list(dict.fromkeys(problem.hint for problem in problems if problem.hint))
    together = type(first)(first.source, found=f"{len(problems)} problems: {'; '.join(texts)}", hint="; ".join(hints))
    together.parts = tuple(problems)
    raise together


def _facts(problem: CytomeshError, source: str) -> str:
    """Return what an error says, with its own source where that is another than the one named for all."""
    own = "" if problem.source == source else problem.source
    facts = [problem.found, f"expected {problem.expected}" if problem.expected else ""]
    return ": ".join(part for part in (own, problem.place, ", ".join(fact for fact in facts if fact)) if part)
