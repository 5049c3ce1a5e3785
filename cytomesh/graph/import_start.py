"""`cytomesh graph init`: the manifest of `graph import`, from folders of surfaces, maps and labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.core.files import relative_place, write_text
from cytomesh.core.sides import SURFACE_NAMES, name_words, surface_of
from cytomesh.graph.import_config import NAME
from cytomesh.graph.vertex_columns import read_features
from cytomesh.surface.any_surface import read_any_surface, stated_side
from cytomesh.surface.vertex_data import BOTH_SIDES, read_vertex_labels

TODO = ": TODO  # "
LABELS = (".annot", ".label.gii", ".label.gii.gz", ".dlabel.nii")
CORTEX = {"atlasroi", "cortex"}
"""Words in the names of maps that are above 0 in cortex."""
BESIDE = ("surf", "label")
"""Folders of a FreeSurfer subject that are looked into, too."""


@dataclass
class Found:
    """What was found for one hemisphere: files by what they are, and why others were left out."""

    surfaces: dict[str, Path] = field(default_factory=dict)
    features: list[Path] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)
    cortex: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)


def start_manifest(manifest: Path, folders: Sequence[Path], brain: str) -> dict[str, Any]:
    """Write a commented manifest of the surfaces, maps and labels in some folders; nothing is overwritten.

    Files are told apart by their names, as FreeSurfer, HCP and BIDS have them, and by what is in them: what has not one
    number per vertex of its surface is left out, and named with the reason. Of several files of labels, the first is
    taken. In the `surf` and `label` folders of a FreeSurfer subject files are sought, too.

    Parameters
    ----------
    manifest : Path
        File to write (YAML).
    folders : sequence of Path
    brain : str
        Name of the brain, subject or template.

    Returns
    -------
    dict
        Of each hemisphere, the number of `features` and of files `left_out`; and lines `todo`.

    Raises
    ------
    StudyError
        If the manifest exists, or no folder has a surface of a known kind and side.
    """
    if not re.fullmatch(NAME, brain):
        raise StudyError("--brain", found=f"'{brain}'", expected="letters, digits and hyphens")
    if manifest.exists():
        raise StudyError(manifest, found="a file that exists", expected="a new one", hint="remove it, or name another")
    files = sorted(_files(folders))
    hemispheres = {side: found for side in "LR" if (found := _hemisphere(files, side)).surfaces}
    if not hemispheres:
        hint = "name them as FreeSurfer (lh.pial) or HCP (sub-01.L.pial.32k.surf.gii) do, or write the manifest by hand"
        expected = "midthickness, or pial and white, of a side that their names say"
        raise StudyError(", ".join(map(str, folders)), found="no surface", expected=expected, hint=hint)
    text = "\n".join(_lines(manifest, brain, hemispheres)) + "\n"
    write_text(manifest, text)
    counts = {
        f"{brain}_hemi-{side}": {"features": len(found.features), "left_out": len(found.left_out)}
        for side, found in hemispheres.items()
    }
    return {**counts, "todo": text.count(TODO)}


def _files(folders: Iterable[Path]) -> set[Path]:
    places = [place for folder in folders for place in (folder, *(folder / name for name in BESIDE))]
    return {path for place in places if place.is_dir() for path in place.iterdir() if path.is_file()}


def _hemisphere(files: Sequence[Path], side: str) -> Found:
    found = Found()
    own = [path for path in files if _is_of(path, side)]
    for path in own:
        kind = surface_of(path.name)
        if kind:
            found.surfaces.setdefault(kind, path)
    first = next((found.surfaces[kind] for kind in SURFACE_NAMES if kind in found.surfaces), None)
    if first is None:
        return found
    n = read_any_surface(first, is_sphere=first == found.surfaces.get("sphere"), hemisphere=side).n_vertices
    for path in own:
        if path in found.surfaces.values():
            continue
        is_label = path.name.endswith(LABELS)
        read: Callable[..., Any] = read_vertex_labels if is_label else read_features
        try:
            read(path, n, side)
        except CytomeshError as cause:
            found.left_out.append((path, str(cause).partition(": ")[2] or str(cause)))
            continue
        is_cortex = not is_label and bool(CORTEX & name_words(path.name))
        (found.labels if is_label else found.cortex if is_cortex else found.features).append(path)
    return found


def _is_of(path: Path, side: str) -> bool:
    if path.name.endswith(BOTH_SIDES):
        return True
    try:
        return stated_side(path) == side
    except CytomeshError:  # a damaged file says nothing; what has a side in its name is named when it is read
        return False


def _lines(manifest: Path, brain: str, hemispheres: dict[str, Found]) -> Iterable[str]:
    yield "# Surfaces, maps and labels, written by `cytomesh graph init`. Paths are relative to this file."
    yield f"# Look it over; then: cytomesh graph import {manifest.name} --out RUN"
    yield f"name: {brain}"
    yield "features: maps  # what the features are called in the run"
    yield "hemispheres:"

    def quoted(path: Path) -> str:
        place = relative_place(path, manifest.parent)
        return place if re.fullmatch(r"[\w./+-]+", place) else "'" + place.replace("'", "''") + "'"

    for side, found in hemispheres.items():
        yield f"  - brain: {brain}"
        yield f"    hemisphere: {side}"
        yield "    role: train  # labels are learnt from; unseen: they are for scoring only"
        for kind in SURFACE_NAMES:
            if kind in found.surfaces:
                yield f"    {kind}: {quoted(found.surfaces[kind])}"
        if "sphere" not in found.surfaces:
            yield "    # sphere: TODO  # for spin nulls"
        if "midthickness" not in found.surfaces and not {"pial", "white"} <= found.surfaces.keys():
            yield "    # midthickness: TODO  # or both pial and white"
        thickness = [path for path in found.features if "thickness" in name_words(path.name)]
        if found.cortex:
            yield f"    cortex: {quoted(found.cortex[0])}"
        elif thickness:
            yield f"    cortex: {quoted(thickness[0])}  # above 0 in cortex, so that the medial wall takes no part"
        else:
            yield "    # cortex: TODO  # a map that is above 0 in cortex, so that the medial wall takes no part"
        for first, path in enumerate(found.labels):
            yield f"    {'# or: ' if first else ''}labels: {quoted(path)}"
        yield "    features:" if found.features else "    # features: TODO  # no map was found"
        yield from (f"      - {quoted(path)}" for path in found.features)
        for path, reason in found.left_out:
            yield f"    # left out: {quoted(path)}: {' '.join(reason.split())}"
