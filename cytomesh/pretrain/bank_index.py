"""The index of a bank, its last file: what its patches are cut from and how, and each section's file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cytomesh.core.errors import CytomeshError
from cytomesh.core.files import read_object, write_json
from cytomesh.core.object_store import new_file
from cytomesh.core.reading import reading
from cytomesh.core.remote import RemotePath, as_path
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.pool import PatchPool

INDEX = "bank.json"
FORMAT = 2
OLD_FORMATS = (1,)
"""Without key, and without digests of the files."""

# Of `.npy` before its numbers: 128 as they are written here.
MOST_HEAD_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class SectionFile:
    """The patches of a section, `.npy` of (n, c, s, s) uint8.

    Parameters
    ----------
    name : str
        Of the section, "B01 section 12".
    patches : int
        Their number.
    file : str
        Name of the file.
    bytes : int
        Its size.
    sha256 : str
        Of the file; empty in banks of an earlier version.
    """

    name: str
    patches: int
    file: str
    bytes: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class BankIndex:
    """What a bank holds, and where.

    Parameters
    ----------
    home : Path
        Folder or address of the sections' files.
    key : str
        Identity of what the patches are cut from and how, as in `bank_folder`; empty in banks of an earlier version.
    cut : dict of str to float
        `size_px`, `border_px` and `um_per_px`; nothing if it was made before banks said so.
    shape : (int, int, int)
        Of a patch: channels, height, width.
    sections : sequence of SectionFile
        In the order of the pool.
    """

    home: Path
    key: str
    cut: Mapping[str, float]
    shape: tuple[int, int, int]
    sections: Sequence[SectionFile]

    @property
    def hint(self) -> str:
        """The way out where a file is damaged."""
        if isinstance(self.home, RemotePath):
            return _hint(self.home)
        return f"remove {self.home}: the next training extracts its patches again"

    def at(self, home: Path) -> BankIndex:
        """Return that of the same files at another place."""
        return replace(self, home=home)

    def write(self, folder: Path, scratch: Path) -> None:
        """Write `bank.json` into a folder or to an address; see `new_file` for `scratch`."""
        facts = asdict(self)
        home = facts.pop("home")
        if home != folder:
            facts["address"] = str(home)
        with new_file(folder / INDEX, scratch) as temporary:
            write_json(temporary, {"format": FORMAT, **facts})


def read_index(folder: Path, pool: PatchPool | None = None) -> BankIndex:
    """Read the index in a folder or at an address.

    Parameters
    ----------
    folder : Path
    pool : PatchPool, optional
        Of which it must be.

    Raises
    ------
    DamagedError
        If there is none, or it is that of another bank.
    AddressError
    """
    hint = _hint(folder) if isinstance(folder, RemotePath) else f"remove {folder}: the next training makes it again"
    with reading(folder / INDEX, expected="the index of this bank, of this version", hint=hint):
        facts = read_object(folder / INDEX)
        if facts["format"] not in (FORMAT, *OLD_FORMATS):
            raise ValueError(f"format {facts['format']}, of another version of cytomesh")
        index = _index(folder, facts)
        if index.key not in ("", folder.name):
            raise ValueError(f"bank {index.key}, of other settings, image links or images")
        if pool is not None and [(part.name, part.patches) for part in index.sections] != contents(pool):
            raise ValueError("sections or patches of another pool")
        n_bytes = math.prod(index.shape)
        if not all(0 < part.bytes - part.patches * n_bytes <= MOST_HEAD_BYTES for part in index.sections):
            raise ValueError("files that are no arrays of such patches, by their sizes")
    return index


def _index(folder: Path, facts: dict[str, Any]) -> BankIndex:
    channels, height, width = map(int, facts["shape"])
    sections = [
        SectionFile(
            str(part["name"]), int(part["patches"]), file_name(i), int(part["bytes"]), str(part.get("sha256", ""))
        )
        for i, part in enumerate(facts["sections"])
    ]
    home = as_path(facts["address"]) if "address" in facts else folder
    cut = {name: float(value) for name, value in facts.get("cut", {}).items()}
    return BankIndex(home, str(facts.get("key", "")), cut, (channels, height, width), sections)


def _hint(home: RemotePath) -> str:
    again = "then call 'cytomesh patches export' again: it puts what is missing"
    return f"remove {INDEX} there and in the run's patches/{home.name}, {again}"


def home_of(folder: Path) -> Path | None:
    """Return where the files of a bank lie, its folder or an address; None if it is unfinished, or damaged."""
    try:
        return read_index(folder).home if is_whole(folder) else None
    except CytomeshError:
        return None


def is_whole(folder: Path) -> bool:
    """Return whether a bank is finished."""
    return (folder / INDEX).is_file()


def contents(pool: PatchPool) -> list[tuple[str, int]]:
    """Return the sections of a pool, in the order of its files, with their numbers of patches."""
    return [(part.section.name, len(part.rows)) for part in pool.sections]


def file_name(number: int) -> str:
    """Return the name of a section's file."""
    return f"{number:06d}.npy"


def how_cut(config: PatchConfig) -> dict[str, float]:
    """Return what an index says of how patches are cut."""
    return {name: float(getattr(config, name)) for name in ("size_px", "border_px", "um_per_px")}
