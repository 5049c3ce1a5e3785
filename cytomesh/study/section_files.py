"""Files of a series of sections in a folder, and the numbers of the sections by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.core.files import read_object
from cytomesh.core.progress import warn

# One of them is in every folder that is a Zarr image.
ZARR = ("zarr.json", ".zattrs", ".zgroup")


def files_by_stem(folder: Path, readers: Mapping[str, type[Any]]) -> dict[str, Path]:
    """Return what one of some readers can read in a folder, by its name without suffix, in the order of the names.

    Raises
    ------
    StudyError
        If there is no such folder, nothing in it that can be read, or two files with one stem.
    """
    if not folder.is_dir():
        raise StudyError(folder, found="no such folder", hint="check the path")
    suffixes = [end for reader in readers.values() for end in reader.suffixes]
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        # "" is that of folders, whatever they are called
        end = max((end for end in suffixes if path.name.lower().endswith(end)), key=len, default=None)
        is_read = any((path / name).is_file() for name in ZARR) if path.is_dir() else bool(end)
        if path.name.startswith(".") or end is None:
            continue
        if is_read and path.is_dir() and is_scene(path):
            warn(f"{path}: left out: a scene, which says where images lie, and no image")
            continue
        if not is_read:
            if any(end and path.name.lower().endswith(end) for end in suffixes):
                warn(f"{path}: left out: a folder, and no OME-Zarr image")
            continue
        stem = path.name[: len(path.name) - len(end)]
        stem = re.sub(r"(\.ome)?(\.zarr)?$", "", stem, flags=re.IGNORECASE)
        if stem in found:
            hint = "keep one file per section in this folder"
            raise StudyError(folder, found=f"{found[stem].name} and {path.name}", expected="one of them", hint=hint)
        found[stem] = path
    if not found:
        expected = f"files that end in {', '.join(filter(None, suffixes))}"
        hint = "name the folder that holds all sections: those within it are not looked into"
        raise StudyError(folder, found="no file of a section", expected=expected, hint=hint)
    return found


def is_scene(path: Path) -> bool:
    """Return whether a folder is an OME-Zarr scene, as `cytomesh study to-ome-zarr` writes it."""
    try:
        attributes = read_object(path / "zarr.json").get("attributes")
    except CytomeshError:  # who needs the image will say so
        return False
    return isinstance(attributes, dict) and "scene" in (attributes.get("ome") or {})


def section_numbers(stems: Sequence[str], source: Path) -> dict[str, int]:
    """Return the number of the section that each name stands for.

    Of the numbers in the names, counted from their ends, it is the last one that differs between all of them:
    12 in "B01_s0012_10x".

    Raises
    ------
    StudyError
        If there is none.
    """
    numbers = {stem: [int(digits) for digits in re.findall(r"\d+", stem)] for stem in stems}
    fewest = min(map(len, numbers.values()))
    for place in range(1, fewest + 1):
        found = {stem: values[-place] for stem, values in numbers.items()}
        if len(set(found.values())) == len(found):
            return found
    without = next((stem for stem, values in numbers.items() if not values), "")
    what = f"no number in {without}" if without else f"no number that differs between all of {stems[0]}, ..."
    hint = "rename the files, such as s0001.tif, s0002.tif: numbers that rise from section to section"
    if without and len(stems) > 1:
        hint = f"take out what is no section, or {hint}"
    raise StudyError(source, found=what, expected="the number of the section in each name", hint=hint)


def absent_numbers(numbers: Iterable[int]) -> list[int]:
    """Return the numbers that are left out of an otherwise even row; none of a row that is not even.

    Examples
    --------
    >>> absent_numbers([410, 420, 430, 440, 450, 470]), absent_numbers([1, 2, 4, 7])
    ([460], [])
    """
    present = sorted(numbers)
    steps = np.diff(present)
    if len(steps) < 2:
        return []
    step = int(steps.min())
    whole = range(present[0], present[-1] + 1, step)
    is_even = not (steps % step).any() and (steps == step).mean() > 0.5 and len(whole) < 2 * len(present)
    return sorted(set(whole) - set(present)) if is_even else []


def of_sections(files: Mapping[str, Path], numbers: Mapping[str, int], source: Path) -> dict[int, Path]:
    """Return files by the section that they belong to: that of an image of the same stem, else by their number.

    Parameters
    ----------
    files : dict
        By stem.
    numbers : dict
        Section of each image's stem.
    """
    own = {} if files.keys() <= numbers.keys() else section_numbers(list(files), source)
    return {numbers.get(stem, own.get(stem, -1)): path for stem, path in files.items()}
