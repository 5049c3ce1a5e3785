"""Labels in FreeSurfer's `.annot` format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import nibabel.freesurfer as freesurfer
import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.core.files import atomic_path
from cytomesh.core.labels import LabelTable
from cytomesh.surface.keyed import is_no_area

# FreeSurfer's own row for vertices without a label: name and RGB.
UNKNOWN = ("unknown", (25, 5, 25))


def write_annot(path: Path, labels: NDArray[Any], table: LabelTable) -> None:
    """Write one label per vertex as `.annot`, e.g. `lh.economo.annot`.

    FreeSurfer counts the rows of its colour table: row 0 is "unknown" (label 0), row i the i-th label of `table`,
    whatever its index there. It also recognises a label by its 8-bit colour, so that colours that would be the same
    are moved apart by the fewest steps of blue.

    Parameters
    ----------
    labels : (n,) int
        0 or an index of `table`.

    Raises
    ------
    AtlasError
        If a label is not in the table.
    """
    table.check(labels, str(path))
    rows = (table.columns(labels) + 1).astype(np.int32)
    colours = _distinct(np.rint(255.0 * table.colours[:, :3]).astype(np.int32))
    # the fourth column is FreeSurfer's transparency: 0 is opaque
    rgbt = np.column_stack([colours, np.zeros(len(colours), np.int32)])
    with atomic_path(path) as temporary:
        freesurfer.write_annot(temporary, rows, rgbt, [UNKNOWN[0], *table.names], fill_ctab=True)


def read_annot(path: Path) -> tuple[NDArray[np.int32], LabelTable]:
    """Read `.annot`: areas of the colour table become labels from 1, in its order; its rows for no area are 0.

    Vertices bear the colour of their area (red + 256 green + 65536 blue), 0 for none, in any order. nibabel takes the
    nearest colour for one that the table lacks, and goes by the order of vertices and rows; so the file is read here
    (format: surfer.nmr.mgh.harvard.edu/fswiki/LabelsClutsAnnotationFiles).

    Raises
    ------
    SurfaceError
        If vertices are not listed once each, bear colours that the table lacks, or that several areas have.
    struct.error, ValueError
        If the file ends early.
    """
    raw = path.read_bytes()
    codes = _codes(path, raw)
    table = _colour_table(path, raw[4 + 8 * len(codes) :])
    areas = [row for row in table if not is_no_area(row[0])]
    known: dict[int, set[int]] = {0: {0}}
    for name, rgb in table:
        label = 0 if is_no_area(name) else 1 + areas.index((name, rgb))
        known.setdefault(rgb[0] + (rgb[1] << 8) + (rgb[2] << 16), set()).add(label)
    names = ("no area", *(name for name, _ in areas))
    there, position, times = np.unique(codes, return_inverse=True, return_counts=True)
    for code, n in zip(there.tolist(), times.tolist(), strict=True):
        if len(meant := known.get(code, set())) != 1:
            shared = ", ".join(names[label] for label in sorted(meant))
            found = f"{n} vertices of {f'the colour of {shared}' if meant else 'a colour that the colour table lacks'}"
            hint = "write it with one colour for each area (mris_label2annot), or give areas as .label.gii"
            place = f"RGB ({code & 255}, {code >> 8 & 255}, {code >> 16 & 255})"
            raise SurfaceError(path, place, found=found, expected="one area", hint=hint)
    labels = np.array([min(known[code]) for code in there.tolist()], np.int32)[position]
    colours = np.array([[*rgb, 255] for _, rgb in areas], np.float64).reshape(-1, 4) / 255.0
    return labels, LabelTable(tuple(range(1, len(areas) + 1)), names[1:], colours)


def _codes(path: Path, raw: bytes) -> NDArray[np.int64]:
    """Return the colour of each vertex as one number."""
    n = struct.unpack_from(">i", raw)[0]
    vertices, colours = np.frombuffer(raw, ">i4", 2 * n, 4).reshape(n, 2).astype(np.int64).T
    if not np.array_equal(np.sort(vertices), np.arange(n)):
        found, expected = "vertices that are missing, or listed twice", f"each of 0 to {n - 1} once"
        raise SurfaceError(path, "vertices", found=found, expected=expected, hint="write it again (mris_label2annot)")
    return colours[np.argsort(vertices)]


def _colour_table(path: Path, raw: bytes) -> list[tuple[str, tuple[int, int, int]]]:
    """Return names and RGB of a colour table, of FreeSurfer's first format or its second, in order of its rows."""
    words = _Words(raw)
    if not raw or not words.number():
        hint = "write it with one (mris_label2annot --ctab), or give areas as .label.gii"
        raise SurfaceError(path, found="no colour table", expected="names and colours of areas", hint=hint)
    n, is_second = words.number(), False
    if n < 0:
        if n != -2:
            raise SurfaceError(path, found=f"a colour table of version {-n}", expected="1 or 2", hint="write it again")
        n, is_second = words.number(), True
    words.text()
    if is_second:
        n = words.number()
    rows = {}
    for i in range(n):
        row = words.number() if is_second else i
        name = words.text()
        rows[row] = (name, (words.number(), words.number(), words.number()))
        words.number()  # transparency
    return [rows[row] for row in sorted(rows)]


class _Words:
    """Reads one number or text after the other."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def number(self) -> int:
        value = struct.unpack_from(">i", self.raw, self.at)[0]
        self.at += 4
        return int(value)

    def text(self) -> str:
        size = self.number()
        if not 0 <= size <= len(self.raw) - self.at:
            raise ValueError(f"a text of {size} bytes in a file that ends before")
        self.at += size
        return self.raw[self.at - size : self.at].partition(b"\0")[0].decode()


def _distinct(colours: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the colour of "unknown" and `colours`, no two the same and none black (which FreeSurfer reads as none)."""
    taken = {(0, 0, 0)}
    result = []
    for red, green, blue in [UNKNOWN[1], *colours.tolist()]:
        steps = sorted(range(256), key=lambda level: (abs(level - blue), level))
        free = next((red, green, level) for level in steps if (red, green, level) not in taken)
        taken.add(free)
        result.append(free)
    return np.array(result, np.int32)
