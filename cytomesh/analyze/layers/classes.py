"""What a pixel can be: background, one of six layers, white matter."""

from __future__ import annotations

import itertools

from cytomesh.core.labels import LabelTable
from cytomesh.page.colours import table_colours

LAYERS = ("I", "II", "III", "IV", "V", "VI")
BACKGROUND, WHITE = 0, 7
CLASSES = ("background", *LAYERS, "white")
N_LAYERS, N_CLASSES = len(LAYERS), len(CLASSES)
IGNORE = -1
"""Of pixels that nobody labelled: neither learnt from nor scored."""
BOUNDARIES = tuple(f"{upper}/{lower}" for upper, lower in itertools.pairwise(LAYERS))

# Okabe and Ito's, in an order in which neighbours differ in lightness, too
COLOURS = table_colours("#e69f00", "#56b4e9", "#d55e00", "#f0e442", "#0072b2", "#cc79a7", "#bbbbbb")
TABLE = LabelTable(tuple(range(1, N_CLASSES)), (*(f"layer {name}" for name in LAYERS), "white matter"), COLOURS)
