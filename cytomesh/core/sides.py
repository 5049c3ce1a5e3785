"""The side of the brain that files, structures and areas say they are of, and which surface a file is by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cytomesh.core.errors import SurfaceError

SIDES = {"L": "left", "R": "right"}
WORDS = frozenset(word for side, name in SIDES.items() for word in (side.lower(), f"{side.lower()}h", name))
"""l, lh, left, r, rh, right."""
IN_FILE_NAMES = {
    side: re.compile(
        rf"(^|[._-]){side}h(?=[._-])|(^|[._])({word}|hemi-({side}|{word}))(?=[._])|(^|\.)(?-i:{side})(?=\.)",
        re.IGNORECASE,
    )
    for side, word in SIDES.items()
}
"""lh.pial, sub-01.L.pial.surf.gii, sub-01_hemi-L_pial.surf.gii, pial_left.gii.gz."""
IN_STRUCTURES = {side: re.compile(f"{word}$", re.IGNORECASE) for side, word in SIDES.items()}
"""CortexLeft, CIFTI_STRUCTURE_CORTEX_LEFT."""
PREFIXES = {
    side: re.compile(rf"({side}H?|ctx[-_.]{side}H|{word})[_. -]", re.IGNORECASE) for side, word in SIDES.items()
}
"""What programs put before the name of an area: L_, lh., ctx-lh-."""
ENDS = {
    side: re.compile(rf"^{PREFIXES[side].pattern}|[_. -]({side}H?|{word})$", re.IGNORECASE)
    for side, word in SIDES.items()
}
"""And after it: Precentral_L."""
IN_AREAS = {side: re.compile(f"{ENDS[side].pattern}|_{side}H_", re.IGNORECASE) for side in SIDES}
"""And within it: 7Networks_LH_Vis_1, where a number need not be that of the same parcel on the other side."""

SURFACE_NAMES = ("midthickness", "pial", "white", "sphere")
OTHER_SURFACES = {"reg", "inflated", "flat", "preaparc", "smoothwm", "orig", "h", "t1", "graymid"}
"""Words in the names of surfaces that are none of these."""
GEOMETRY = (".gii", ".gii.gz", ".ply")
NO_GEOMETRY = (".func", ".shape", ".label")


def side_of(text: str, patterns: dict[str, re.Pattern[str]]) -> str | None:
    """Return the one side that a text names, "L" or "R"; None if it names none, or both."""
    found = [side for side, pattern in patterns.items() if pattern.search(text)]
    return found[0] if len(found) == 1 else None


def surface_of(name: str) -> str | None:
    """Return which surface a file is by its name: midthickness, pial, white or sphere; None if it is none of them.

    Examples
    --------
    >>> [surface_of(name) for name in ("lh.pial", "lh.white.preaparc", "lh.curv.pial", "pial_left.gii.gz")]
    ['pial', None, None, 'pial']
    >>> surface_of("sub-01.L.sphere.32k_fs_LR.surf.gii"), surface_of("sub-01.L.sphere.reg.surf.gii")
    ('sphere', None)
    """
    name = name.lower()
    freesurfer = re.fullmatch(r"[lr]h\.(\w+)", name)
    if freesurfer:
        return freesurfer[1] if freesurfer[1] in SURFACE_NAMES else None
    words = name_words(name)
    kinds = words & set(SURFACE_NAMES)
    is_geometry = name.endswith(GEOMETRY) and not any(end in name for end in NO_GEOMETRY)
    return kinds.pop() if is_geometry and len(kinds) == 1 and not words & OTHER_SURFACES else None


def name_words(name: str) -> set[str]:
    """Return what the dots, hyphens and underscores of a file's name divide."""
    return set(re.split(r"[._-]", name.lower()))


def bare_area(name: str, sides: Iterable[str] = SIDES) -> str:
    """Take the side off the name of an area, where it stands before or after it."""
    bare = (ENDS[side].sub("", name, count=1) for side in sides)
    return next((short for short in bare if short != name), name)


def without_side(name: str, side: str) -> str:
    """Return a map's name without the folder and the side that some programs write into it.

    Examples
    --------
    >>> without_side("/home/me/lh.thickness", "L"), without_side("profiles_R 3", "R"), without_side("left 1", "L")
    ('thickness', 'profiles 3', 'left 1')
    """
    word = {"L": "(?:L|lh|left)", "R": "(?:R|rh|right)"}[side]
    bare = re.sub(rf"^{word}\.", "", name.rpartition("/")[2])
    return re.sub(rf"[._-]{word}(?= \d+$|$)", "", bare)


def check_side(path: Path, hemisphere: str, structures: Iterable[str] = ()) -> None:
    """Refuse a file whose name (not that of its folder), or a structure that it names, is of the other side.

    Raises
    ------
    SurfaceError
    """
    said = {f"structure {text}": side_of(text, IN_STRUCTURES) for text in structures}
    said[f"the name {path.name}"] = side_of(path.name, IN_FILE_NAMES)
    wrong = [what for what, side in said.items() if side not in (None, hemisphere)]
    if wrong:
        raise _other_side(path, wrong[0], hemisphere)


def check_areas(path: Path, hemisphere: str, names: Iterable[str]) -> None:
    """Refuse areas that are all of the other side.

    Raises
    ------
    SurfaceError
    """
    names = list(names)
    sides = {side_of(name, IN_AREAS) for name in names}
    if len(sides) == 1 and not sides <= {None, hemisphere}:
        raise _other_side(path, f"areas such as {', '.join(names[:3])}", hemisphere)


def _other_side(path: Path, found: str, hemisphere: str) -> SurfaceError:
    other = "R" if hemisphere == "L" else "L"
    return SurfaceError(
        path,
        found=f"{found}, of the {SIDES[other]} side",
        expected=f"data of hemisphere {hemisphere}, {SIDES[hemisphere]}",
        hint=f"name the file of that side, or say hemisphere: {other}; if what it says is wrong, correct it "
        "(rename the file; wb_command -set-structure)",
    )
