"""The error tree: each error names the file, the place in it, what was found and expected, and the way out."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is nearest to one that is not, whatever the case of letters; None without one near.

    Parameters
    ----------
    cutoff : float
        Least similarity, as `difflib.get_close_matches` has it.
    """
    names = {own.casefold(): own for own in known}
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=cutoff)
    return names[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Ask for the known name that is nearest to one that is not, as hints do; without one near, say something else.

    A command that would make what is not there ("run '...'") is said in either case.

    Examples
    --------
    >>> did_you_mean("thicknes", ["thickness", "curvature"])
    "did you mean 'thickness'?"
    >>> did_you_mean("x", ["thickness", "curvature"], "there are thickness, curvature")
    'there are thickness, curvature'
    >>> did_you_mean("vit-large", ["vit-base"], "run 'cytomesh embed'")
    "did you mean 'vit-base'? Or run 'cytomesh embed'"
    """
    near = nearest(name, known)
    if not near:
        return otherwise
    return f"did you mean '{near}'? Or {otherwise}" if otherwise.startswith("run ") else f"did you mean '{near}'?"


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as people would write it: without the ".." that paths relative to a manifest have in their middle.

    One that is another without it, behind a link to a folder, stays as it is.
    """
    text = os.fspath(path)
    if f"{os.sep}..{os.sep}" not in text or "://" in text:
        return text
    shorter = os.path.normpath(text)
    return shorter if os.path.realpath(shorter) == os.path.realpath(text) else text


class CytomeshError(Exception):
    """Base of all errors that a user can act on.

    Parameters
    ----------
    source : str or path
        File (or object) at fault; the whole message where no file is involved.
    place : str
        Where in the source: a line, a section, a field.
    found, expected : str
        What is there, and what should be.
    hint : str
        The way out: what the user can do about it.

    Attributes
    ----------
    parts : tuple of CytomeshError
        What it names together; empty of a single fault.

    Examples
    --------
    >>> from cytomesh import open_study
    >>> try:
    ...     open_study("study/nowhere.yaml")
    ... except CytomeshError as error:
    ...     error.found, error.hint
    ('no such file', 'check the path')
    """

    parts: tuple[CytomeshError, ...] = ()

    def __init__(
        self,
        source: str | os.PathLike[str],
        place: str = "",
        *,
        found: str = "",
        expected: str = "",
        hint: str = "",
    ) -> None:
        self.source = shown(source)
        self.place = place
        self.found = found
        self.expected = expected
        self.hint = hint
        super().__init__(self.source, place, found, expected, hint)

    def within(
        self, source: str | os.PathLike[str], kind: type[CytomeshError] | None = None, hint: str = ""
    ) -> CytomeshError:
        """Return the error of something larger, maybe of another kind: what was its source becomes part of the place.

        `hint` is the way out if this error knows none.
        """
        place = ": ".join(part for part in (self.source, self.place) if part)
        facts = {"found": self.found, "expected": self.expected, "hint": self.hint or hint}
        return (kind or type(self))(source, place, **facts)

    def __str__(self) -> str:
        message = ": ".join(part for part in (self.source, self.place) if part)
        facts = [f"found {self.found}" if self.found else "", f"expected {self.expected}" if self.expected else ""]
        if any(facts):
            message += ": " + ", ".join(fact for fact in facts if fact)
        end = "" if message.endswith("?") else "."
        return f"{message}{end} Way out: {self.hint}" if self.hint else message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries (section workers); keyword-only arguments need help to be pickled.
        state = {"found": self.found, "expected": self.expected, "hint": self.hint}
        return (_rebuild, (type(self), self.source, self.place, state))


def _rebuild(kind: type[CytomeshError], source: str, place: str, facts: dict[str, str]) -> CytomeshError:
    return kind(source, place, **facts)


class ConfigError(CytomeshError, ValueError):
    """A configuration file or override cannot be used."""


class StudyError(CytomeshError, ValueError):
    """A study manifest or one of its tables is wrong."""


class ContourError(CytomeshError, ValueError):
    """A contour cannot be used."""


class TransformError(CytomeshError, ValueError):
    """A transform is malformed, singular or not invertible."""


class ImageError(CytomeshError, OSError):
    """An image is missing, unreadable or not of the declared size."""

    # OSError.__str__ would win over ours and print the bare argument tuple.
    __str__ = CytomeshError.__str__


class AtlasError(CytomeshError, ValueError):
    """A label table or probability map does not fit the study."""


class SurfaceError(CytomeshError, ValueError):
    """A surface cannot be built, read or written."""


class GraphError(CytomeshError, ValueError):
    """A cortical graph is damaged or does not fit its data."""


class FeatureError(CytomeshError, ValueError):
    """Node features are not finite, constant, or of another graph."""


class CellError(CytomeshError, ValueError):
    """A table of cells cannot be used, or does not fit its section."""


class SplitError(CytomeshError, ValueError):
    """A split is empty or leaks: one section on both sides."""


class CheckpointError(CytomeshError, OSError):
    """A checkpoint is truncated, damaged or of another model."""

    __str__ = CytomeshError.__str__


class FormatError(CytomeshError, ValueError):
    """A stored file is of a version that this program does not know."""


class DamagedError(CytomeshError, ValueError):
    """A file of a run is truncated, damaged, or was written by another program."""


class TrainingError(CytomeshError, RuntimeError):
    """Training diverged or cannot go on."""


class QualityError(CytomeshError, RuntimeError):
    """A stage's own check on its result failed."""


class MissingStageError(CytomeshError, FileNotFoundError):
    """A stage needs what an earlier stage has not written yet."""

    __str__ = CytomeshError.__str__


class StorageError(CytomeshError, OSError):
    """A disk or folder does not take what is to be written."""

    __str__ = CytomeshError.__str__


class WorkerError(CytomeshError, RuntimeError):
    """The processes that worked on a section died, each time it was tried."""


class ClusterError(CytomeshError, ConnectionError):
    """A cluster cannot be reached, or cannot do this run's work."""

    __str__ = CytomeshError.__str__


class AddressError(CytomeshError, OSError):
    """A web server or object store refuses, does not answer, or answers otherwise than it was asked."""

    __str__ = CytomeshError.__str__


class PluginError(CytomeshError, RuntimeError):
    """What another package adds cannot be used."""


class PackageError(CytomeshError, ImportError):
    """A package that only some tasks need is not installed."""

    __str__ = CytomeshError.__str__


class StaleError(CytomeshError, RuntimeError):
    """A product was made from what has changed since."""
