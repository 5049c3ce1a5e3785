"""What an export writes into a folder, and takes away again: its own files, and no others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cytomesh.core.counted import counted
from cytomesh.core.digests import content_digest
from cytomesh.core.errors import DamagedError, StorageError
from cytomesh.core.files import PARTIAL, clear_orphans, relative_place, remove, write_json
from cytomesh.core.progress import log, warn
from cytomesh.core.reading import reading

RECORD = ".cytomesh-export.json"
"""In the folder: whose run wrote which files."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A file of an export.

    Parameters
    ----------
    run : str
        Run that wrote it, as a path from the folder.
    contents : tuple of str
        Digests of what was written; two while one takes the place of the other.
    """

    run: str
    contents: tuple[str, ...]


@contextmanager
def exporting(run: Path, folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write an export of a run to; in the end its files take their places in `folder`.

    Files that an earlier export of the run wrote there and this one does not are removed, but not those that have
    changed since. What this run did not export, or others changed, is not replaced. If anything is raised, what is
    there stays as it was.

    Raises
    ------
    DamagedError
        If the record of earlier exports cannot be read.
    StorageError
        If a file would be replaced that no export of this run wrote, or that was changed since; or if the disk is full,
        may not be written to, or fails.
    """
    known = _read_record(folder)
    clear_orphans(folder)
    stage = folder / f"{PARTIAL}{os.getpid()}-export"
    try:
        stage.mkdir(parents=True)
        yield stage
        _take_places(stage, folder, known, relative_place(run.resolve(), folder.resolve()))
    except StorageError as error:
        place = Path(error.source)
        if not place.is_relative_to(stage):
            raise
        raise StorageError(folder / place.relative_to(stage), found=error.found, hint=error.hint) from error
    finally:
        with suppress(OSError):  # where nothing can be written, there is nothing to remove
            remove(stage)


def was_exported(folder: Path) -> bool:
    """Whether an export has written to a folder."""
    return (folder / RECORD).is_file()


def _take_places(stage: Path, folder: Path, known: Mapping[str, Exported], run: str) -> None:
    files = {path.relative_to(stage).as_posix(): path for path in sorted(stage.rglob("*")) if path.is_file()}
    made = {name: content_digest(path) for name, path in files.items()}
    for name in files:
        if found := _not_ours(folder / name, known.get(name), run, made[name]):
            hint = "choose another folder, or move away what is there"
            raise StorageError(folder / name, found=found, expected="a file that this run exported", hint=hint)
    before = {name: known[name].contents if name in known else () for name in files}
    # first: of an export that is killed, the next one knows all files, whether they had taken their places or not
    _write_record(folder, {**known, **{name: Exported(run, (*before[name], made[name])) for name in files}})
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        path.replace(folder / name)
    gone = {name: file for name, file in known.items() if file.run == run and name not in files}
    _take_away(folder, gone)
    left = {name: file for name, file in known.items() if name not in gone}
    _write_record(folder, {**left, **{name: Exported(run, (made[name],)) for name in files}})


def _not_ours(path: Path, written: Exported | None, run: str, made: str) -> str:
    """Say why a file is not to be replaced; empty if there is none, or it is what an export of the run wrote there."""
    if not os.path.lexists(path):
        return ""
    there = content_digest(path) if path.is_file() else None
    if there == made:
        return ""
    if written is None or there is None:
        return "something that no export wrote"
    if written.run != run:
        return f"a file of another run, {written.run}"
    return "" if there in written.contents else "a file that was changed since it was exported"


def _take_away(folder: Path, gone: Mapping[str, Exported]) -> None:
    """Remove files of results that a run no longer has, where they still are what was written."""
    places = {name: folder / name for name in gone if (folder / name).is_file()}
    changed = [name for name, path in places.items() if content_digest(path) not in gone[name].contents]
    for name in places.keys() - set(changed):
        places[name].unlink()
        with suppress(OSError):  # the first that is not empty
            for parent in places[name].relative_to(folder).parents[:-1]:
                (folder / parent).rmdir()
    if len(places) > len(changed):
        n_removed = counted(len(places) - len(changed), "file")
        log(f"{folder}: {n_removed} of earlier exports removed, of results that the run has no more")
    if changed:
        warn(f"{folder}: {', '.join(changed)}: of results that the run has no more, kept, since changed by others")


def _read_record(folder: Path) -> dict[str, Exported]:
    path = folder / RECORD
    if not path.exists():
        return {}
    hint = "remove it; files of earlier exports then stay where they are"
    with reading(path, DamagedError, expected="the files of earlier exports", hint=hint):
        files = {
            name: Exported(file["run"], tuple(file["contents"])) for name, file in json.loads(path.read_bytes()).items()
        }
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
            raise ValueError("files outside the folder")
        if not all(isinstance(text, str) for file in files.values() for text in (file.run, *file.contents)):
            raise ValueError("digests that are no text")
    return files


def _write_record(folder: Path, files: Mapping[str, Exported]) -> None:
    write_json(folder / RECORD, {name: {"run": file.run, "contents": file.contents} for name, file in files.items()})
