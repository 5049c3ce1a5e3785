"""The run directory: who writes where, what is finished, and how a new result takes the place of an old one."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout
from pydantic import BaseModel

from cytomesh.core.config import write_config
from cytomesh.core.errors import ConfigError, CytomeshError, MissingStageError
from cytomesh.core.files import (
    clear_orphans,
    clear_partial,
    read_json,
    remove,
    replace_folder,
    settle_folder,
    write_json,
    write_text,
)
from cytomesh.core.phases import spent, spent_since
from cytomesh.core.progress import log, warn
from cytomesh.core.provenance import (
    RECORD,
    UNFINISHED,
    Inputs,
    Record,
    damage,
    file_contents,
    file_sizes,
    made_now,
    read_record,
    said,
    write_failure,
    write_record,
)
from cytomesh.core.reading import is_imported, reading

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}
"""What file systems answer that know no locks."""
NAME = re.compile(r"\w[\w.+=,@-]*")
NAME_BYTES = 100
STAGES = ("graphs", "register", "encoders", "features", "classify", "parcellate", "analyze")
"""Folders of a run whose folders are products."""
NO_RECORD = "made by an earlier version, which did not record from what"


def check_name(name: str, option: str = "--name") -> str:
    """Return the name of a result if it is one: it becomes a folder, and nothing but a folder of this run.

    Raises
    ------
    ConfigError
        If it is empty, too long, or would lead elsewhere.
    """
    if NAME.fullmatch(name) and len(name.encode()) <= NAME_BYTES:
        return name
    expected = f"letters, digits and any of . _ + = , @ -, beginning with a letter or digit, at most {NAME_BYTES}"
    raise ConfigError(option, found=repr(name[:60]), expected=expected, hint="choose another name")


@contextmanager
def lock(run: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Let one process at a time write some part of a run ("classify/gat").

    What several stages share (patches cut from images) is worth waiting for.

    Raises
    ------
    CytomeshError
        If another one is at it.
    """
    path = run / ".locks" / f"{what.replace('/', '%2F')}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = _take(path, timeout=-1 if wait else 0)
    except Timeout as cause:
        hint = "wait for it, or choose another --name or --out"
        raise CytomeshError(run / what, found="another cytomesh process is writing here", hint=hint) from cause
    try:
        clear_orphans(run)
        yield
    finally:
        held.release()


def _take(path: Path, timeout: float) -> BaseFileLock:
    """Take a lock of the system, or a file that stands for it where the file system knows none (some NFS).

    Such a file outlives a process that is killed: one of this machine is noticed, one of another has to be removed.
    """
    try:
        held: BaseFileLock = FileLock(path)
        held.acquire(timeout=timeout)
    except OSError as cause:
        if isinstance(cause, Timeout) or cause.errno not in NO_LOCKS:
            raise
        held = SoftFileLock(path.with_suffix(".soft"))
        warn(f"no locks on this file system: {held.lock_file} stands for one; remove it if no cytomesh runs here")
        held.acquire(timeout=timeout)
    return held


class Product:
    """A folder that a stage writes, whole or not at all, with the record of what it was made from.

    What is finished stays in place and usable until its successor is finished: that one grows in a folder beside it,
    `.next-<name>`, and takes its place in the end. The first of its name grows in place.

    Parameters
    ----------
    run : Path
    place : str
        Folder below the run, `<stage>/<name>`.
    """

    def __init__(self, run: Path, place: str) -> None:
        self.run = run
        self.place = place
        self.folder = run / place
        self._beside = self.folder.with_name(f".next-{self.folder.name}")

    @property
    def is_finished(self) -> bool:
        """Whether a finished product stands here, be it of other inputs or of an earlier version."""
        has_files = self.folder.is_dir() and any(self.folder.iterdir())
        return (self.folder / RECORD).is_file() or (has_files and not (self.folder / UNFINISHED).is_file())

    @property
    def record(self) -> Record | None:
        """The record of the finished product."""
        return read_record(self.folder / RECORD)

    @property
    def settings_path(self) -> Path:
        """The settings that the finished product was made with; a tuned encoder's own are those of its pretraining."""
        tuning = self.folder / "tuning"
        return (tuning if tuning.is_dir() else self.folder) / "config.yaml"

    @property
    def work_folder(self) -> Path:
        """Where the product grows until it is finished."""
        return self._beside if self.is_finished else self.folder

    @property
    def unfinished(self) -> Record | None:
        """The record of what was begun and not finished; `made["error"]` is what the last attempt ended with."""
        return read_record(self.work_folder / UNFINISHED)

    @property
    def begun(self) -> Inputs | None:
        """The inputs of what was begun and not finished."""
        return self.unfinished.inputs if self.unfinished else None

    def changes(self, inputs: Inputs) -> list[str]:
        """Say why the product is not what these inputs would give; nothing if it is, or if there is none yet."""
        if not self.is_finished:
            return []
        record = self.record
        return [NO_RECORD] if record is None else record.inputs.changes(inputs) + damage(self.folder, record)

    def is_current(self, inputs: Inputs) -> bool:
        """Whether the finished product is what these inputs give."""
        return self.is_finished and not self.changes(inputs)

    def announce(self, inputs: Inputs, what: str) -> None:
        """Log why a finished product is made again ("trained again: schedule.steps 300 -> 160").

        Where settings differ, with the way to keep what is there: it stays until its successor is finished.
        """
        if reasons := self.changes(inputs):
            log(f"{self.place}: {what}: {said(reasons)}")
            if self.record and self.record.inputs.changed_settings(inputs):
                other = "--out" if self.place.startswith("graphs/") else "--name"  # graphs are named by the study
                log(
                    f"{self.place}: to keep it, stop this and add --config {self.settings_path}, or use another {other}"
                )

    @contextmanager
    def open(self) -> Iterator[Product]:
        """Lock the product for this process, and clear away what killed ones left."""
        with lock(self.run, self.place):
            settle_folder(self.folder)
            if (self._beside / RECORD).is_file():  # finished, and killed before it took its place
                replace_folder(self._beside, self.folder)
            for place in (self.folder, self._beside):
                clear_partial(place)
            yield self

    @contextmanager
    def writing(
        self,
        inputs: Inputs,
        settings: BaseModel,
        seed: int,
        *,
        resume: bool = True,
        is_same: Callable[[Inputs], bool] | None = None,
        start_from: Callable[[Path], None] | None = None,
    ) -> Iterator[Work]:
        """Yield the work, with the folder to write to; once it is finished, the folder becomes the product.

        Parameters
        ----------
        inputs : Inputs
        settings : BaseModel
            Written as `config.yaml`.
        seed : int
        resume : bool
            Whether anything that is there may serve again; else the two below are not asked.
        is_same : callable, optional
            Whether what was begun with some inputs may go on; by default with the same ones. Else it is removed.
        start_from : callable, optional
            Puts into a new folder what is to begin with.
        """
        folder = self.work_folder
        begun = self.begun
        may_go_on = is_same or (lambda before: not before.changes(inputs))
        if begun is None or not (resume and may_go_on(begun)):
            if begun and begun.changes(inputs):
                log(f"{self.place}: unfinished work is discarded: {said(begun.changes(inputs))}")
            remove(folder)
            folder.mkdir(parents=True)
            if resume and start_from:
                start_from(folder)
        stage, _, name = self.place.partition("/")
        work = Work(folder, Record(stage, name, inputs, made=made_now(seed)))
        write_record(folder / UNFINISHED, work.record)
        write_text(folder / "config.yaml", write_config(settings))
        try:
            yield work
        except Exception as error:
            write_failure(folder / UNFINISHED, work.record, error)
            raise
        if work.is_finished and folder != self.folder:
            replace_folder(folder, self.folder)


class Work:
    """A product that grows.

    Parameters
    ----------
    folder : Path
        Where to write.
    record : Record
        Of the product, as far as it is known.
    """

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record
        self.is_finished = False
        self._began = time.perf_counter()
        self._before = spent()

    def finish(self, outputs: Mapping[str, str] | None = None) -> None:
        """Declare the product whole; `outputs` are the digests of the parts that later stages read."""
        seconds = round(time.perf_counter() - self._began, 3)
        files = file_sizes(self.folder)
        contents = file_contents(self.folder, files)
        written = replace(self.record, outputs=dict(outputs or {}), files=files, contents=contents)
        record = replace(written, seconds=seconds, phases=spent_since(self._before))
        write_record(self.folder / RECORD, record)
        (self.folder / UNFINISHED).unlink()
        self.is_finished = True


def product(run: Path, stage: str, name: str) -> Product:
    """Return a product of a run by its name, checked."""
    return Product(run, f"{stage}/{check_name(name)}")


def product_folders(run: Path, stage: str) -> list[Path]:
    """Return the folders of a stage's products, sorted by name; those that grow beside another are not among them."""
    return sorted(path for path in (run / stage).glob("[!.]*") if path.is_dir())


def finished_folders(run: Path, stage: str) -> list[Path]:
    """Return the folders of a stage's products that are finished, sorted by name."""
    return [folder for folder in product_folders(run, stage) if Product(run, f"{stage}/{folder.name}").is_finished]


def write_study_path(run: Path, manifest: Path) -> None:
    """Record which study a run belongs to; later stages find the images by it, also after both have moved."""
    manifest = Path(os.path.abspath(manifest))  # noqa: PTH100 (paths are relative to the link, where it is one)
    write_json(run / "study.json", {"manifest": manifest, "from_run": os.path.relpath(manifest, run.resolve())})


def read_study_path(run: Path) -> Path:
    """Return the manifest of the run's study.

    Raises
    ------
    MissingStageError
        If build-graph has not run here, or the study has moved.
    """
    record = run / "study.json"
    hint = f"run 'cytomesh build-graph STUDY.yaml --out {run}': what is built is kept"
    if is_imported(run):
        hint = "its graphs were imported, and have no images: classify, parcellate and report work with their features"
    if not record.exists() and not record.is_symlink():
        raise MissingStageError(record, found="no study", hint=hint)
    facts = read_json(record)
    with reading(record, expected="where the manifest is", hint=hint):
        known = Path(facts["manifest"])
        for manifest in (run.resolve() / facts.get("from_run", known), known):
            if manifest.is_file():
                return Path(os.path.abspath(manifest))  # noqa: PTH100
    hint = f"run 'cytomesh build-graph STUDY.yaml --out {run}' with its new place: nothing is built again"
    raise MissingStageError(record, "manifest", found=f"{known}, which does not exist", hint=hint)
