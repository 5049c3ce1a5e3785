"""What `study check` reports: what a study consists of, and everything that is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cytomesh.core.errors import CytomeshError
from cytomesh.core.remote import RemotePath
from cytomesh.study.manifest import BrainConfig
from cytomesh.study.section_order import positions
from cytomesh.study.sections import Section

# Of equal problems, so many are named.
NAMED = 3
# Names that no table has, as readers of contours and drawn areas say it.
UNKNOWN = re.compile(r"unknown class '(.+)'")
MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class BrainSummary:
    """What one brain consists of, as far as files are there; `first_mm` and `last_mm`: planes along the stack."""

    id: str
    role: str
    hemispheres: str
    n_sections: int
    n_images: int
    n_contours: int
    n_annotations: int
    n_missing: int
    n_damaged: int
    first_mm: float
    last_mm: float


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a study consists of, and everything that is wrong with it.

    Parameters
    ----------
    path : Path
        The manifest.
    name, species, stain, space : str
        As in the manifest; empty if it cannot be read.
    n_areas : int
        Rows of the label table.
    has_probability_maps : bool
        Whether there are probability maps.
    brains : tuple of BrainSummary
        One per brain that could be read.
    problems : tuple of CytomeshError
        Each names its file and the place in it; empty if all is well.
    warnings : tuple of CytomeshError
        What may be meant so, and is often a mistake.
    """

    path: Path
    name: str = ""
    species: str = ""
    stain: str = ""
    space: str = ""
    n_areas: int = 0
    has_probability_maps: bool = False
    brains: tuple[BrainSummary, ...] = ()
    problems: tuple[CytomeshError, ...] = ()
    warnings: tuple[CytomeshError, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        facts = {
            name: getattr(self, name)
            for name in ("name", "species", "stain", "space", "n_areas", "has_probability_maps")
        }
        return {
            "path": str(self.path),
            **facts,
            "brains": [asdict(brain) for brain in self.brains],
            "problems": [_facts(problem) for problem in self.problems],
            "warnings": [_facts(warning) for warning in self.warnings],
        }


def _facts(problem: CytomeshError) -> dict[str, str]:
    return {
        "file": problem.source,
        "place": problem.place,
        "found": problem.found,
        "expected": problem.expected,
        "hint": problem.hint,
    }


def grouped(problems: Sequence[CytomeshError]) -> list[CytomeshError]:
    """Return problems as they are shown: those that differ in their place and in numbers only as one, with a count.

    So are unknown classes if there are more than `NAMED`: that is another label table, not some misspelt names.
    """
    unknown: dict[str, set[str]] = {}
    for problem in problems:
        if name := _unknown_class(problem):
            unknown.setdefault(problem.expected, set()).add(name)
    groups: dict[tuple[str, ...], list[CytomeshError]] = {}
    for problem in problems:
        facts = [problem.found, problem.expected, problem.hint]
        if _unknown_class(problem) and len(unknown[problem.expected]) > NAMED:
            facts = ["unknown classes", problem.expected]
        facts = [re.sub(r"\b\d+(\.\d+)?\b", "#", fact) for fact in facts]
        groups.setdefault((type(problem).__name__, *facts), []).append(problem)
    return [group[0] if len(group) == 1 else _together(group) for group in groups.values()]


def _unknown_class(problem: CytomeshError) -> str:
    """Return the class that a problem says no table has, "" of others."""
    found = UNKNOWN.fullmatch(problem.found)
    return found[1] if found else ""


def _together(group: Sequence[CytomeshError]) -> CytomeshError:
    first = group[0]
    facts = {"found": first.found, "expected": first.expected, "hint": first.hint}
    unknown = sorted({name for problem in group if (name := _unknown_class(problem))})
    if len(unknown) > 1:
        more = f" and {len(unknown) - MOST_NAMES} more" * (len(unknown) > MOST_NAMES)
        facts["found"] = f"{len(unknown)} unknown classes: {', '.join(map(repr, unknown[:MOST_NAMES]))}{more}"
        facts["hint"] = re.sub(r"^did you mean '.*?'\? ", "", first.hint)  # of one name
    source, sources = f"({len(group)} times) {first.source}", {problem.source for problem in group}
    if len(sources) == 1:
        return type(first)(source, _first([problem.place for problem in group]), **facts)
    names = [": ".join(filter(None, (os.path.basename(p.source), p.place))) for p in group]  # noqa: PTH119 (or words)
    names[0] = ": ".join(filter(None, (first.source, first.place)))
    return type(first)(f"({len(group)} times) {_first(names)}", **facts)


def _first(names: Sequence[str]) -> str:
    some = list(dict.fromkeys(names))
    return "; ".join(some[:NAMED]) + ("; ..." if len(some) > NAMED else "")


def summarise(settings: BrainConfig, sections: tuple[Section, ...]) -> BrainSummary:
    """Count what the sections of a brain have; files that are not there are none."""
    offsets = positions(sections)
    statuses = [section.status for section in sections]
    return BrainSummary(
        id=settings.id,
        role=settings.role,
        hemispheres="".join(settings.hemispheres),
        n_sections=len(sections),
        n_images=sum(_is_there(section.image) for section in sections),
        n_contours=sum(_is_there(section.contours) for section in sections),
        n_annotations=sum(_is_there(section.annotation) for section in sections),
        n_missing=statuses.count("missing"),
        n_damaged=statuses.count("damaged"),
        first_mm=float(offsets[0]) if len(offsets) else 0.0,
        last_mm=float(offsets[-1]) if len(offsets) else 0.0,
    )


def _is_there(path: Path | None) -> bool:
    # whether something is at an address is seen when it is read
    return path is not None and (isinstance(path, RemotePath) or path.exists())
