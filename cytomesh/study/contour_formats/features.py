"""What every contour format is read into: named polygons, and the limits that a file must keep."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core import labels
from cytomesh.core.errors import ContourError
from cytomesh.core.reading import gunzip, regular_size

# QuPath, ImageJ and SVG count from the corner of pixel (0, 0), cytomesh from its centre.
CORNER = 0.5
# A trace of both boundaries at every pixel of a section of 100,000 px has about a million points.
MAX_BYTES = 128 * 2**20
MAX_POINTS = 2_000_000
MAX_FEATURES = 100_000
MAX_DEPTH = 64
GZIP = b"\x1f\x8b"

# What classes are mapped to that mean nothing here, and the name that stands for all others.
IGNORE = "ignore"
OTHERS = "*"
# What to do about an object without class.
UNCLASSIFIED = 'give it a class, remove it, or leave all others out by "*": ignore in {} of the manifest'

Ring = NDArray[np.float64]
Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True, slots=True)
class ContourFeature:
    """One drawn object.

    Parameters
    ----------
    place : str
        Where it is in the file, for messages.
    names : tuple of str
        Names under which its class may be known, most specific first; the first that is known counts.
    polygons : tuple of tuples of (n, 2) float64
        Rings of each polygon, outer one first, then holes, as closed or open as they are in the file; full-resolution
        pixels counted from the corner of pixel (0, 0).
    fault : str
        What makes it unusable as a ring ("a LineString"); "" if nothing does. Lines have one, and their points as
        `polygons`: the class `cut` takes them.
    plane : str
        Plane of the stack that it was drawn on ("z = 3, t = 0"), in formats for stacks; "" where it belongs to all.
    colour : (int, int, int) or None
        Of its class, in formats that have it; red, green and blue, 0 to 255.
    odd_colour : str
        What the file has in its place, if that is no colour.
    """

    place: str
    names: tuple[str, ...]
    polygons: tuple[tuple[Ring, ...], ...] = ()
    fault: str = ""
    plane: str = ""
    colour: Colour | None = None
    odd_colour: str = ""


def read_bytes(path: Path) -> bytes:
    """Read a contour file of at most `MAX_BYTES`; one packed by gzip is unpacked, whatever its name.

    Raises
    ------
    ContourError
        If it is missing, unreadable, damaged, or larger (unpacked).
    """
    try:
        size = regular_size(path)
        if size > MAX_BYTES:
            raise _too_large(path, f"a file of {size / 2**20:.0f} MiB")
        data = path.read_bytes()
    except FileNotFoundError as cause:
        hint = "correct the path in the section table, or write n/a"
        raise ContourError(path, found="no such file", hint=hint) from cause
    except OSError as cause:
        raise ContourError(path, found=f"a file that cannot be read ({cause})") from cause
    return _unpack(path, data) if data.startswith(GZIP) else data


def _unpack(path: Path, data: bytes) -> bytes:
    try:
        return gunzip(data, MAX_BYTES)
    except zlib.error as cause:
        raise ContourError(path, found=f"a file that cannot be unpacked ({cause})", hint="copy it again") from cause
    except ValueError as cause:
        raise _too_large(path, f"more than {MAX_BYTES / 2**20:.0f} MiB, unpacked") from cause
    except EOFError as cause:
        raise ContourError(path, found="a packed file that ends early", hint="copy it again") from cause


def _too_large(path: Path, found: str) -> ContourError:
    return ContourError(
        path,
        found=found,
        expected=f"at most {MAX_BYTES / 2**20:.0f} MiB (limit MAX_BYTES)",
        hint="simplify the rings, or export one section a file",
    )


def too_many_points(path: Path, count: int) -> ContourError:
    """Return the error of a file with more than `MAX_POINTS` points."""
    return ContourError(
        path,
        found=f"about {count:,} points",
        expected=f"at most {MAX_POINTS:,} (limit MAX_POINTS)",
        hint="simplify the rings (half a pixel is more than enough), or export one section a file",
    )


def too_deep(path: Path) -> ContourError:
    """Return the error of a file nested deeper than `MAX_DEPTH`."""
    return ContourError(
        path,
        found="brackets or elements nested too deeply",
        expected=f"at most {MAX_DEPTH} levels (limit MAX_DEPTH)",
        hint="the file is damaged, or is not a contour file: export it again",
    )


def too_many_features(path: Path, count: int) -> ContourError:
    """Return the error of a file with more than `MAX_FEATURES` objects."""
    return ContourError(
        path, found=f"{count:,} objects or more", expected=f"at most {MAX_FEATURES:,} (limit MAX_FEATURES)"
    )


def close(ring: Ring) -> Ring:
    """Return the ring with its first point repeated at the end, for formats that leave it out."""
    if len(ring) and not np.array_equal(ring[0], ring[-1]):
        return np.concatenate([ring, ring[:1]])
    return ring


def composed(name: str) -> str:
    """Return a name as it is compared: macOS writes letters and their accents apart, other systems as one (NFC)."""
    return labels.composed(name).strip()


def meaning(feature: ContourFeature, known: Mapping[str, str]) -> str | None:
    """Return what an object's class stands for; None if it is unknown.

    The first of its names that is known counts. QuPath ignores classes whose names end in "*", such as its Ignore*, and
    so do we. What is known as "*" takes all others, and objects without class.
    """
    for name in feature.names:
        if name in known:
            return known[name]
    if feature.names and feature.names[0].endswith(OTHERS):
        return IGNORE
    return known.get(OTHERS)


def without_number(name: str) -> tuple[str, ...]:
    """Return a name, and the name without the number that programs add to keep names apart.

    "pial_L-2" (Inkscape, ImageJ), "pial_L (1)" (file managers), "pial_L_1_" (Illustrator).
    """
    name = composed(name)
    shorter = re.sub(r"([-_. ]\d{1,9}_?|\s*\(\d{1,9}\))$", "", name)
    return (name,) if shorter in (name, "") else (name, shorter)
