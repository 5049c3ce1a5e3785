"""Label tables: the names and colours that go with every label array into every format."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import AtlasError


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Names and colours of integer labels; label 0 means none and need not be listed.

    Parameters
    ----------
    indices : tuple of int
        Label values, positive, unique.
    names : tuple of str
        One name a label, unique.
    colours : (n, 4) float64
        RGBA in 0..1, one row a label.
    """

    indices: tuple[int, ...]
    names: tuple[str, ...]
    colours: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.indices)
        if len(self.names) != n or self.colours.shape != (n, 4):
            raise AtlasError("label table", found=f"{n} indices, {len(self.names)} names, colours {self.colours.shape}")
        if any(index <= 0 for index in self.indices) or len(set(self.indices)) != n:
            raise AtlasError("label table", found=f"indices {self.indices}", expected="positive, unique integers")
        doubles = sorted({name for name in self.names if self.names.count(name) > 1})
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
            If no label has this name; the nearest known ones are named.
        """
        if name in self.names:
            return self.indices[self.names.index(name)]
        raise AtlasError(
            "label table", found=f"unknown area '{name}'", expected=f"one of {', '.join(self.names[:8])}, ..."
        )

    def check(self, labels: NDArray[Any], source: str) -> None:
        """Raise AtlasError if `labels` holds a value that is neither 0 nor in the table."""
        unknown = np.setdiff1d(labels, np.asarray((0, *self.indices)))
        if unknown.size:
            raise AtlasError(
                source,
                found=f"labels outside the label table: {unknown[:5].tolist()}",
                expected=f"0 or one of the {len(self)} labels of the table",
                hint="add them to the study's label table or correct the annotation",
            )

    def rows(self) -> Iterable[tuple[int, str, NDArray[np.float64]]]:
        """Iterate over (index, name, RGBA)."""
        return zip(self.indices, self.names, self.colours, strict=True)


def distinct_colours(n: int) -> NDArray[np.float64]:
    """Return (n, 4) RGBA colours, neighbours in the list far apart in hue and lightness (golden-ratio steps)."""
    colours = np.ones((n, 4))
    for i in range(n):
        hue = (0.13 + i * 0.61803398875) % 1.0
        colours[i, :3] = colorsys.hls_to_rgb(hue, (0.38, 0.55, 0.70)[i % 3], (0.85, 0.55)[i // 3 % 2])
    return colours
