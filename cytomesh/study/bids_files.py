"""Bright-field images of a BIDS dataset, and the sidecars that apply to each (inheritance principle)."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.errors import StudyError
from cytomesh.core.files import read_json
from cytomesh.study.units import micrometres, square_um

SUFFIXES = (".ome.zarr", ".ome.tif", ".ome.btf", ".tif", ".png")
NAME = re.compile(r"(?P<entities>(?:[a-z]+-[^_]+_)*)BF(?P<suffix>\..+)")
FOLDERS = ("micr", "ses-*/micr")

Entities = frozenset[tuple[str, str]]


class BidsFiles:
    """The `_BF` images and sidecars of a dataset; each folder is listed once.

    Parameters
    ----------
    folder : Path
        The dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._images: dict[str, dict[str, list[Path]]] = {}
        self._sidecars: dict[Path, dict[Entities, Path]] = {}

    def image(self, brain: str, sample: str) -> Path | None:
        """Return the image of a sample, whatever further entities (session, chunk, ...) its name has; None without one.

        Raises
        ------
        StudyError
            If there are several, such as chunks of one section or two sessions.
        """
        found = self._samples(brain).get(sample, [])
        names = sorted({path.name.partition("BF.")[0] for path in found})
        if len(names) > 1:
            some = ", ".join(f"{name}BF" for name in names[:3])
            hint = "join the chunks of a section to one image, give each session's section a sample of its own"
            place = f"sub-{brain}, sample-{sample}"
            table = self.folder / "samples.tsv"
            raise StudyError(table, place, found=f"{len(names)} images: {some}", expected="one image", hint=hint)
        return min(found, key=lambda path: SUFFIXES.index(_parse(path)[1]), default=None)

    def sidecar(self, image: Path) -> dict[str, Any]:
        """Return what the JSON sidecars say of an image: those of its folder and of all above it in the dataset.

        A sidecar applies if the image has all entities of its name; those further down and of more entities come last
        and win (BIDS, "The Inheritance Principle").
        """
        facts: dict[str, Any] = {}
        entities = sorted(_parse(image)[0])
        for folder in reversed([level for level in image.parents if level.is_relative_to(self.folder)]):
            known = self._listed(folder)
            for n in range(len(entities) + 1):
                for some in itertools.combinations(entities, n):
                    if (path := known.get(frozenset(some))) is not None:
                        facts |= read_object(path)
        return facts

    def um_per_px(self, image: Path) -> float:
        """Return the pixel size that the sidecars state, um.

        Raises
        ------
        StudyError
            If they state none, or one of an unknown unit.
        ImageError
            If pixels are not square.
        """
        facts = self.sidecar(image)
        path = sidecar_path(image)
        expected = "PixelSize ([x, y]) and PixelSizeUnits (nm, um, mm, cm or m)"
        try:
            column, row = np.asarray(facts["PixelSize"][:2], float).reshape(2)
            unit = facts["PixelSizeUnits"]
        except (KeyError, TypeError, ValueError) as cause:
            hint = "write the JSON sidecar of the image, or one for all images at the top of the dataset"
            raise StudyError(path, found="no pixel size", expected=expected, hint=hint) from cause
        scale = micrometres(unit)
        size = square_um(path, float(column * scale), float(row * scale)) if scale else None
        if size is None:
            raise StudyError(path, found=f"PixelSize {facts['PixelSize']} in '{unit}'", expected=expected)
        return size

    def _samples(self, brain: str) -> dict[str, list[Path]]:
        """Return the images of each sample of a brain."""
        if brain not in self._images:
            images = defaultdict(list)
            for path in itertools.chain(*((self.folder / f"sub-{brain}").glob(f"{folder}/*") for folder in FOLDERS)):
                entities, suffix = _parse(path)
                if suffix in SUFFIXES and ("sub", brain) in entities:
                    images[dict(entities).get("sample", "")].append(path)
            self._images[brain] = images
        return self._images[brain]

    def _listed(self, folder: Path) -> dict[Entities, Path]:
        """Return the sidecars of one folder by the entities of their names."""
        if folder not in self._sidecars:
            self._sidecars[folder] = {_parse(path)[0]: path for path in folder.glob("*BF.json") if _parse(path)[1]}
        return self._sidecars[folder]


def sidecar_path(image: Path) -> Path:
    """Return the JSON sidecar of an image."""
    return image.with_name(re.sub(r"(_BF|_dseg)\..*$", r"\1.json", image.name))


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; an absent file is an empty one."""
    if not path.is_file():
        return {}
    try:
        data = read_json(path)
    except ValueError as cause:
        raise StudyError(path, found=f"invalid JSON ({cause})") from cause
    return data if isinstance(data, dict) else {}


def _parse(path: Path) -> tuple[Entities, str]:
    """Split the name of an image or sidecar into entities and suffix; nothing and "" if it is none."""
    match = NAME.fullmatch(path.name)
    if match is None:
        return frozenset(), ""
    pairs = (pair.split("-", 1) for pair in match["entities"].split("_") if pair)
    return frozenset((key, value) for key, value in pairs), match["suffix"]
