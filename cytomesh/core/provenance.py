"""What a product was made from: the one place that says whether kept work is still right, and if not, why.

A stage declares its inputs: settings, values taken from the study, files, and products of earlier stages. The digest
of all is the key of what it makes; since products are known by digests of their own, keys form a Merkle tree (Merkle,
1987): what is made again with the same result leaves everything after it as it is.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cytomesh.core.digests import FileDigests, content_digest
from cytomesh.core.files import digest, read_json, write_json
from cytomesh.core.remote import RemotePath
from cytomesh.core.renamed import current_names

RECORD, UNFINISHED = "provenance.json", "unfinished.json"
FORMAT = 1
SMALL_BYTES = 2**20
"""Files up to this size are known by their content: reading them takes a millisecond."""
SHOWN = 3
"""Changed things of one kind that are named before the rest is counted."""
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


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a product depends on, by names that a user understands ("image: B01 section 12").

    Parameters
    ----------
    settings : dict of str to JSON value
        Settings that change the result, flat: "schedule.steps".
    values : dict of str to JSON value
        What the study says: rows of its tables, keys of its manifest, sizes of images.
    files : dict of str to (str, str)
        Place (see `place`) and content digest of each file that is read. The place serves to look again; only the
        content counts.
    products : dict of str to (str, str, str)
        Products of earlier stages: folder below the run, part of it ("image links"), digest of that part.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    products: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Identity of whatever is made from these inputs."""
        return digest(self.settings, self._data())

    def without(self, *settings: str) -> Inputs:
        """Leave some settings out."""
        kept = {name: value for name, value in self.settings.items() if name not in settings}
        return Inputs(kept, self.values, self.files, self.products)

    def of_kinds(self, *kinds: str) -> Inputs:
        """Take the values, files and products of some kinds ("image" of "image: B01 section 12")."""
        some = ({n: v for n, v in part.items() if n.partition(": ")[0] in kinds} for part in self._parts())
        return Inputs({}, *some)

    def without_kinds(self, *kinds: str) -> Inputs:
        """Leave out the values, files and products of some kinds."""
        some = ({n: v for n, v in part.items() if n.partition(": ")[0] not in kinds} for part in self._parts())
        return Inputs(self.settings, *some)

    def merge(self, other: Inputs) -> Inputs:
        """Put two sets of inputs together."""
        parts = zip(self._parts(), other._parts(), strict=True)
        return Inputs({**self.settings, **other.settings}, *({**mine, **its} for mine, its in parts))

    def changed_settings(self, now: Inputs) -> list[str]:
        """Say which settings differ now, "schedule.steps 300 -> 160"."""
        # through JSON and back, as stored ones came
        before, after = _plain(self.settings), _plain(now.settings)
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return [f"{name} {_short(before.get(name))} -> {_short(after.get(name))}" for name in names]

    def changed_data(self, now: Inputs) -> list[str]:
        """Say what else differs now, things of one kind together: "image of B01 section 12 changed"."""
        before, after = self._data(), now._data()
        words = {
            "changed": [name for name in before if name in after and before[name] != after[name]],
            "new": [name for name in after if name not in before],
            "gone": [name for name in before if name not in after],
        }
        named = {name: [self._with_file(item) for item in items] for name, items in words.items()}
        return [line for word, names in named.items() for line in _grouped(names, word)]

    def changes(self, now: Inputs) -> list[str]:
        """Say all that differs now; nothing if the product is what would be made now."""
        return self.changed_settings(now) + self.changed_data(now)

    def _with_file(self, name: str) -> str:
        """Return a name, with that of its file where neither study nor run says which it is."""
        where, _ = self.files.get(name, ("", ""))
        file = where.rpartition("/")[2]
        return f"{name} ({file})" if where.startswith("file:") and ": " in name and file not in name else name

    def _parts(self) -> tuple[Mapping[str, Any], ...]:
        return self.values, self.files, self.products

    def _data(self) -> dict[str, Any]:
        files = {name: content for name, (_, content) in self.files.items()}
        return {**_plain(self.values), **files, **{name: content for name, (*_, content) in self.products.items()}}


@dataclass(frozen=True, slots=True)
class Record:
    """`provenance.json` of a finished product.

    Parameters
    ----------
    stage, name : str
        Such as "classify", "gat".
    inputs : Inputs
    outputs : dict of str to str
        Digest of each part that later stages may depend on.
    files : dict of str to int
        Size of each file of the product, bytes: what is lost or cut off later is noticed.
    made : dict
        Seed, versions, command, time: what is needed to run the same again.
    seconds : float
    contents : dict of str to str
        Digest of each of these files that is small: of what somebody edits, or a disk spoils, the size may stay.
    phases : dict of str to float
        Seconds of parts of the work; "outer: inner" are in those of "outer", and what is in none is in `seconds` only.
    """

    stage: str
    name: str
    inputs: Inputs
    outputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    contents: Mapping[str, str] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)


def write_record(path: Path, record: Record) -> None:
    """Write a record, last of a product's files."""
    facts = asdict(record)
    made = facts.pop("made")
    write_json(path, {"format": FORMAT, "key": record.inputs.key, **made, **facts})


def write_failure(path: Path, record: Record, error: Exception) -> None:
    """Write the record of what is begun, with the error that its last attempt ended with."""
    write_record(path, replace(record, made={**record.made, "error": str(error)}))


def read_record(path: Path) -> Record | None:
    """Read a record; None if there is none, or none that this program understands."""
    try:
        data = read_json(path)
        found = data["inputs"]
        inputs = Inputs(
            current_names(found["settings"]),
            dict(found["values"]),
            {name: (str(place), str(content)) for name, (place, content) in found["files"].items()},
            {
                name: (str(product), str(part), str(content))
                for name, (product, part, content) in found["products"].items()
            },
        )
        known = {"format", "key", "stage", "name", "inputs", "outputs", "files", "contents", "seconds", "phases"}
        made = {name: value for name, value in data.items() if name not in known}
        outputs, files, contents = (dict(data.get(name, {})) for name in ("outputs", "files", "contents"))
        facts = inputs, outputs, files, made, float(data["seconds"]), contents, dict(data.get("phases", {}))
        return Record(str(data["stage"]), str(data["name"]), *facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def file_sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file of a product; those that users may edit or remove are not among them."""
    names = {path: path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()}
    free = {"checkpoints", "tensorboard", "README.md", "config.yaml", UNFINISHED, RECORD}
    return {name.as_posix(): path.stat().st_size for path, name in names.items() if not free & set(name.parts)}


def file_contents(folder: Path, names: Mapping[str, int]) -> dict[str, str]:
    """Return the digest of each file of a product that has at most `SMALL_BYTES`."""
    return {name: content_digest(folder / name) for name, size in names.items() if size <= SMALL_BYTES}


def damage(folder: Path, record: Record) -> list[str]:
    """Say which files of a product are no longer as they were written."""
    now = file_sizes(folder)
    same = {name: size for name, size in record.files.items() if now.get(name) == size}
    contents = file_contents(folder, {name: size for name, size in same.items() if name in record.contents})
    changed = {name for name in same if contents.get(name) != record.contents.get(name)}
    return [
        f"{name} {'changed' if name in now else 'gone'}" for name in record.files if name not in same or name in changed
    ]


def flat_settings(settings: BaseModel, exclude: Iterable[str] = ()) -> dict[str, Any]:
    """Return settings as "group.name" to JSON value, without those that change how fast, not what comes out."""
    flat: dict[str, Any] = {}

    def add(data: Mapping[str, Any], prefix: str) -> None:
        for name, value in data.items():
            if isinstance(value, dict) and value:
                add(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = value

    add(settings.model_dump(mode="json", exclude=set(exclude)), "")
    return flat


def made_now(seed: int) -> dict[str, Any]:
    """Return what is needed to run the same again: seed, versions, command, platform, time (UTC)."""
    return {
        "seed": seed,
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def place(path: Path, run: Path, study: Path | None = None) -> str:
    """Return where a file is found again: below the run, from the study's folder, or an absolute path.

    Runs and studies may move: only files that belong to neither are known by their whole path.
    """
    if isinstance(path, RemotePath):
        return f"address:{path}"
    where = os.path.abspath(path)  # noqa: PTH100 (no look at the disk: this is asked for thousands of files)
    below = os.path.relpath(where, run)
    if not below.startswith(".."):
        return f"run:{below}"
    return f"study:{os.path.relpath(where, study)}" if study else f"file:{where}"


def find(where: str, run: Path, study: Path | None) -> Path | None:
    """Return the path of a place; None if it belongs to a study that is not here."""
    root, _, path = where.partition(":")
    if root == "address":
        return RemotePath(path)
    folder = {"run": run, "study": study, "file": Path("/")}[root]
    return None if folder is None else folder / path


def look_again(inputs: Inputs, run: Path, study: Path | None, digests: FileDigests) -> Inputs:
    """Return the inputs with the files' contents of now; values, settings and products stay as they were."""
    paths = {name: find(where, run, study) for name, (where, _) in inputs.files.items()}
    here = [name for name, path in paths.items() if path is not None]
    contents = dict(zip(here, digests.digest_all(paths[name] or run for name in here), strict=True))
    files = {name: (where, contents.get(name, content)) for name, (where, content) in inputs.files.items()}
    return Inputs(inputs.settings, inputs.values, files, inputs.products)


def said(reasons: Sequence[str]) -> str:
    """Return the first few reasons in one line."""
    return "; ".join(reasons[:SHOWN]) + (f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else "")


def _grouped(names: Iterable[str], word: str) -> list[str]:
    kinds: dict[str, list[str]] = {}
    for name in names:
        kind, _, item = name.partition(": ")
        kinds.setdefault(kind, []).append(item)
    lines = []
    for kind, items in kinds.items():
        named = ", ".join(item for item in items[:SHOWN] if item)
        rest = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
        lines.append(f"{kind}{' of ' if named else ''}{named}{rest} {word}")
    return lines


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON gives them back: tuples are lists."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
