"""The run directory: where stages write, what was run with which settings, and which pieces are finished."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

from cytomesh.core.config import write_config
from cytomesh.core.errors import CytomeshError, MissingStageError
from cytomesh.core.files import read_json, write_json, write_text

PACKAGES = (
    "cytomesh",
    "torch",
    "torch_geometric",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "nibabel",
    "trimesh",
    "zarr",
)


@contextmanager
def stage_directory(folder: Path, settings: BaseModel, seed: int) -> Iterator[Path]:
    """Open a stage's output folder: one writer at a time, settings and versions written beside the output.

    Yields the folder. `config.yaml` (the resolved settings) and `provenance.json` (seed, versions, command,
    start time) are written on entry, so that they are there even if the run is killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as cause:
        hint = "wait for it, or choose another --name or --out"
        raise CytomeshError(folder, found="another cytomesh process is writing here", hint=hint) from cause
    try:
        write_text(folder / "config.yaml", write_config(settings))
        write_json(folder / "provenance.json", provenance(seed))
        yield folder
    finally:
        lock.release()


def provenance(seed: int) -> dict[str, Any]:
    """Return what is needed to run the same again: seed, versions, command, platform, time (UTC)."""
    return {
        "seed": seed,
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def is_finished(marker: Path, key: str) -> bool:
    """Return whether the piece that `marker` stands for was finished with this key (see `core.files.digest`)."""
    if not marker.is_file():
        return False
    try:
        return bool(read_json(marker).get("key") == key)
    except ValueError:
        return False


def mark_finished(marker: Path, key: str) -> None:
    """Record that a piece is finished; call it after its last file is in place."""
    write_json(marker, {"key": key})


def write_study_path(run: Path, manifest: Path) -> None:
    """Record which study a run belongs to; later stages find the images by it."""
    write_json(run / "study.json", {"manifest": manifest.resolve()})


def read_study_path(run: Path) -> Path:
    """Return the manifest of the run's study.

    Raises
    ------
    MissingStageError
        If build-graph has not run here, or the study has moved.
    """
    record = run / "study.json"
    if not record.is_file():
        raise MissingStageError(
            record, found="no study", hint=f"run 'cytomesh build-graph STUDY.yaml --out {run}' first"
        )
    manifest = Path(read_json(record)["manifest"])
    if not manifest.is_file():
        raise MissingStageError(
            record, "manifest", found=f"{manifest}, which does not exist", hint="if the study moved, correct this path"
        )
    return manifest


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
