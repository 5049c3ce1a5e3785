"""`log.txt` of a run directory: what was called on it, by which version, what was said, and how it ended."""

from __future__ import annotations

import logging
import os
import re
import shlex
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from cytomesh.core.progress import LOGGER

NAME = "log.txt"
DRY_RUN = "--dry-run"
"""Writes nothing, and so no log."""
SECRETS = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)|(?<=\?)[^\s'\"]+(?=['\"\s]|$)")
"""In addresses: name and password before the host, and queries, which signed addresses have."""
ADDRESS = re.compile(r"\w+://\S+")


class RunLog(logging.Handler):
    """Adds lines to the log of a run as soon as its directory is there: no command makes it for the log's sake.

    Several processes may add to one file: each line is written at once, and has the process's number.
    """

    def __init__(self, run: Path) -> None:
        super().__init__(logging.INFO)
        self._path = run / NAME
        self._waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Add a message; what has no place yet waits."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        word = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        message = ADDRESS.sub(lambda address: SECRETS.sub("...", address[0]), record.getMessage())
        self._waiting.append(f"{moment} [{os.getpid()}] {word}{message}\n")
        if not self._path.parent.is_dir():
            return
        try:
            # one call of the system for all: lines of other processes stay whole beside them
            with self._path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1 << 20) as file:
                file.write("".join(self._waiting))
        except OSError:
            pass  # a full disk, or a run that may only be read: what the command does says so
        self._waiting.clear()


_arguments: list[str] = []
_log: RunLog | None = None


def begin_log(run: Path) -> None:
    """Let what is logged from now on go to the log of a run, too; on the first rank only."""
    global _log
    if _log is None and os.environ.get("RANK", "0") == "0" and DRY_RUN not in _arguments:
        _log = RunLog(run)
        LOGGER.addHandler(_log)
        _note(logging.INFO, f"cytomesh {version('cytomesh')}: {shlex.join(_arguments)}")


@contextmanager
def logged(arguments: Sequence[str]) -> Iterator[None]:
    """Log the call of a command, if it has a run, and how it ends: with the traceback, where that is an error."""
    global _arguments, _log
    _arguments = list(arguments)
    began = time.perf_counter()
    try:
        yield
    except SystemExit as stop:
        if stop.code:
            _note(logging.INFO, f"ended with exit code {stop.code} after {time.perf_counter() - began:.1f} s")
        else:
            _note(logging.INFO, f"done in {time.perf_counter() - began:.1f} s")
        raise
    except KeyboardInterrupt:
        _note(logging.WARNING, f"interrupted after {time.perf_counter() - began:.1f} s")
        raise
    except BaseException as error:
        _note(logging.ERROR, "".join(traceback.format_exception(error)).rstrip())
        raise
    else:
        _note(logging.INFO, f"done in {time.perf_counter() - began:.1f} s")
    finally:
        if _log is not None:
            LOGGER.removeHandler(_log)
            _log = None


def _note(level: int, message: str) -> None:
    """Add a line to the log only: the console does not show it."""
    if _log is not None:
        _log.handle(LOGGER.makeRecord(LOGGER.name, level, "", 0, message, (), None))
