"""Label tables: the names and colours that go with every label array into every format."""

from __future__ import annotations

import colorsys
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import AtlasError, did_you_mean

MAX_LABEL = 2**31 - 1
# Line breaks, tabs and other control characters, with the spaces around them.
CONTROLS = re.compile(r"\s*[\x00-\x1f\x7f-\x9f\u2028\u2029]+\s*")


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Names and colours of integer labels; label 0 means none and need not be listed.

    Parameters
    ----------
    indices : tuple of int
        Label values, positive, unique, of 32 bits: label arrays are int32. In any order.
    names : tuple of str
        One name per label, unique; accents that macOS writes apart become part of their letters (NFC),
        and a line break or a tab becomes a space.
    colours : (n, 4) float64
        RGBA in 0..1, one row per label.

    Examples
    --------
    >>> table = LabelTable.from_names(["hOc1", "hOc2"])
    >>> table.name(1), table.index("hOc2"), table.name(0)
    ('hOc1', 2, 'none')
    >>> table.colours.shape
    (2, 4)
    """

    indices: tuple[int, ...]
    names: tuple[str, ...]
    colours: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.indices)
        object.__setattr__(self, "names", tuple(map(composed, self.names)))
        if len(self.names) != n or self.colours.shape != (n, 4):
            raise AtlasError("label table", found=f"{n} indices, {len(self.names)} names, colours {self.colours.shape}")
        wrong = [index for index in self.indices if not 0 < index <= MAX_LABEL]
        doubled = [index for index, times in Counter(self.indices).items() if times > 1]
        if wrong or doubled:
            raise AtlasError(
                "label table",
                found=f"{'indices' if wrong else 'indices listed twice'} {(wrong or doubled)[:5]}",
                expected=f"positive, unique integers up to {MAX_LABEL}",
                hint="label 0 means none: leave its row out, or give that area another index" if 0 in wrong else "",
            )
        doubles = sorted(name for name, times in Counter(self.names).items() if times > 1)
        if doubles:
            raise AtlasError("label table", found=f"names listed twice: {', '.join(doubles)}", expected="unique names")

    @classmethod
    def from_names(cls, names: Sequence[str]) -> LabelTable:
        """Make a table with labels 1..n and distinct colours."""
        return cls(tuple(range(1, len(names) + 1)), tuple(names), distinct_colours(len(names)))

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        """Return the name of a label; "none" for 0."""
        return "none" if index == 0 else self.names[self.indices.index(index)]

    def index(self, name: str) -> int:
        """Return the label of a name.

        Raises
        ------
        AtlasError
            If no label has this name; the nearest one is asked for.
        """
        name = composed(name)
        if name in self.names:
            return self.indices[self.names.index(name)]
        expected, hint = f"one of {', '.join(self.names[:8])}, ...", did_you_mean(name, self.names)
        raise AtlasError("label table", found=f"unknown area '{name}'", expected=expected, hint=hint)

    def columns(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """Return the row of the table that each label stands in, which is its column of the maps; -1 for label 0.

        Raises
        ------
        AtlasError
            If a label is neither 0 nor in the table.
        """
        self.check(labels, "label table")
        indices = np.array((0, *self.indices))
        order = np.argsort(indices)
        return order[np.searchsorted(indices, labels, sorter=order)].astype(np.int64) - 1

    def alike(self) -> list[list[str]]:
        """Return the names that differ only in the case of letters or in spaces, each group of them together.

        Examples
        --------
        >>> LabelTable.from_names(["hOc1", "hOc2", "hoc 1"]).alike()
        [['hOc1', 'hoc 1']]
        """
        groups: dict[str, list[str]] = {}
        for name in self.names:
            groups.setdefault("".join(name.split()).casefold(), []).append(name)
        return [group for group in groups.values() if len(group) > 1]

    def check(self, labels: NDArray[Any], source: str) -> None:
        """Raise AtlasError if `labels` holds a value that is neither 0 nor in the table."""
        known = {0, *self.indices}
        # as Python's numbers: NumPy would compare 64-bit integers as floats, of 53 bits
        unknown = [value for value in np.unique(labels).tolist() if value not in known]
        if unknown:
            raise AtlasError(
                source,
                found=f"labels outside the label table: {unknown[:5]}",
                expected=f"0 or one of the {len(self)} labels of the table",
                hint="add them to the study's label table or correct the annotation"
                if len(self)
                else "name the areas in a label table, atlas.labels of the manifest, or write n/a for annotations",
            )

    def rows(self) -> Iterable[tuple[int, str, NDArray[np.float64]]]:
        """Iterate over (index, name, RGBA)."""
        return zip(self.indices, self.names, self.colours, strict=True)


def whole_labels(labels: Any) -> NDArray[np.int32]:
    """Return labels as int32, none of them changed on the way.

    Raises
    ------
    AtlasError
        If they are no whole numbers of 32 bits: text, fractions, NaN.
    """
    values = np.asarray(labels)
    found = ""
    if values.dtype.kind not in "biuf":
        found = f"labels of type {values.dtype}"
    elif values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.round(values))).all():
        found = "labels that are not whole"
    elif values.size and not -MAX_LABEL <= int(values.min()) <= int(values.max()) <= MAX_LABEL:
        found = f"labels from {values.min():.0f} to {values.max():.0f}"
    if found:
        raise AtlasError("labels", found=found, expected=f"whole numbers, 0 for none, up to {MAX_LABEL}")
    return values.astype(np.int32)


def composed(name: str) -> str:
    """Return a name as it is compared and written: accents as parts of their letters, on one line, without tabs."""
    return CONTROLS.sub(" ", unicodedata.normalize("NFC", name))


def distinct_colours(n: int) -> NDArray[np.float64]:
    """Return (n, 4) RGBA colours, neighbours in the list far apart in hue and lightness (golden-ratio steps)."""
    colours = np.ones((n, 4))
    for i in range(n):
        hue = (0.13 + i * 0.61803398875) % 1.0
        colours[i, :3] = colorsys.hls_to_rgb(hue, (0.38, 0.55, 0.70)[i % 3], (0.85, 0.55)[i // 3 % 2])
    return colours
