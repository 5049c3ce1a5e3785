"""What has become of each section, in a file beside the results: done, or failed and why, and how often tried."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from cytomesh.core.errors import CytomeshError
from cytomesh.core.files import digest, write_text
from cytomesh.core.progress import warn

NAME = ".sections.jsonl"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class SectionState:
    """What is known of a section.

    Parameters
    ----------
    section : str
        Name, "B01 section 12".
    key : str
        Identity of what it was made from; empty: it is made each time.
    state : {"done", "failed"}
    attempts : int
        How often it was tried, over all calls of the command.
    reason : str
        What the last attempt failed with.
    result : JSON value
        What the work returned.
    output : (int, int) or None
        Size and modification time of what was written, see `stamp`.
    """

    section: str
    key: str
    state: Literal["done", "failed"]
    attempts: int
    reason: str = ""
    result: Any = None
    output: tuple[int, int] | None = None


class SectionLog:
    """The states of sections, a line of JSON each; the last line of a section counts.

    One process writes it, by adding lines: what a kill cuts off is one line, and its section is done again.

    Parameters
    ----------
    folder : Path
        Where the results are written; the file in it is `.sections.jsonl`.
    resume : bool
        False: forget what is known.
    """

    def __init__(self, folder: Path, *, resume: bool = True) -> None:
        self.path = folder / NAME
        self.states = _read(self.path) if resume else {}
        head = json.dumps({"format": FORMAT, "token": uuid4().hex})
        write_text(self.path, "\n".join([head, *map(_line, self.states.values())]) + "\n")

    def is_done(self, section: str, key: str, output: Path | None) -> bool:
        """Return whether a section was made from the same, and what it left is still there as it was written."""
        known = self.states.get(section)
        is_same = known is not None and known.state == "done" and key != "" and known.key == key
        return is_same and known is not None and known.output == stamp(output)

    def add_done(self, section: str, key: str, result: Any, output: Path | None) -> None:
        """Write that a section is done."""
        self._add(SectionState(section, key, "done", self._attempts(section), "", result, stamp(output)))

    def add_failed(self, section: str, key: str, problem: CytomeshError) -> None:
        """Write that a section failed, and why."""
        self._add(SectionState(section, key, "failed", self._attempts(section), str(problem)))

    def remove(self) -> None:
        """Remove the file, once all is done."""
        self.path.unlink(missing_ok=True)

    def _attempts(self, section: str) -> int:
        known = self.states.get(section)
        return 1 if known is None else known.attempts + 1

    def _add(self, state: SectionState) -> None:
        self.states[state.section] = state
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(_line(state) + "\n")


def stamp(path: Path | None) -> tuple[int, int] | None:
    """Return size (0 of a folder) and modification time, ns; None where there is nothing."""
    with suppress(OSError):
        if path is not None:
            status = path.stat()
            return (0 if path.is_dir() else status.st_size), status.st_mtime_ns
    return None


def file_key(path: Path, **facts: object) -> str:
    """Return the identity of what is made from a file, known by size and time, and other facts.

    Empty for a folder: nothing of it as a whole changes with the files in it.
    """
    with suppress(OSError):  # who refuses to say (an address) refuses the work, too
        if path.is_dir():
            return ""
    return digest(os.fspath(path), stamp(path), facts)


def _line(state: SectionState) -> str:
    return json.dumps({name: value for name, value in asdict(state).items() if value not in ("", None)})


def _read(path: Path) -> dict[str, SectionState]:
    """Read what is known; what cannot be read is not known, and its sections are made again."""
    try:
        head, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return {}
    states: dict[str, SectionState] = {}
    n_lost = 0
    with suppress(ValueError, TypeError, KeyError):
        if json.loads(head)["format"] != FORMAT:
            warn(f"{path}: written by another version of cytomesh: all sections are processed again")
            return {}
    if not head.startswith("{"):
        n_lost += 1
    *whole, _cut = lines or [""]  # a kill may have cut off the last line
    for line in whole:
        state = _state(line)
        if state is None:
            n_lost += 1
        else:
            states[state.section] = state
    if n_lost:
        warn(f"{path}: {n_lost} lines cannot be read: the sections that they describe are processed again")
    return states


def _state(line: str) -> SectionState | None:
    try:
        facts: Mapping[str, Any] = json.loads(line)
        output = facts.get("output")
        state = SectionState(
            section=str(facts["section"]),
            key=str(facts.get("key", "")),
            state=facts["state"],
            attempts=int(facts["attempts"]),
            reason=str(facts.get("reason", "")),
            result=facts.get("result"),
            output=None if output is None else (int(output[0]), int(output[1])),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
    return state if state.state in ("done", "failed") else None
