"""For `cytomesh init`: the areas that annotations have, and the label table of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cytomesh.core.counted import counted
from cytomesh.core.errors import AtlasError, shown
from cytomesh.core.labels import LabelTable
from cytomesh.core.progress import warn
from cytomesh.core.sides import WORDS
from cytomesh.page.colours import css_colour
from cytomesh.study.annotation import read_label_image
from cytomesh.study.contour_formats.features import OTHERS, Colour
from cytomesh.study.contour_formats.registry import read_features
from cytomesh.study.contours import CLASSES, TISSUE
from cytomesh.study.drawn_areas import DRAWINGS
from cytomesh.study.sections import Section
from cytomesh.study.start_text import listed

MOST_SHOWN = 60
# Words of laboratories' own names for rings, and those that stand beside them.
RING_WORDS = {"pial", "pia", "white", "wm", "grey", "gray", "gm", "cortex"}
BESIDE = {"matter", "surface", "boundary", "border", "outline", "contour", *WORDS}


@dataclass(frozen=True, slots=True)
class AnnotatedAreas:
    """The areas of one annotation.

    Parameters
    ----------
    drawn : tuple of (str, Colour or None)
        Class and colour of each polygon.
    odd_colours : frozenset of (str, str)
        Classes with what they have in place of a colour.
    labels : tuple of int
        Of a label image.
    width_px : int or None
        Columns of the label image; None if areas are drawn.
    """

    drawn: tuple[tuple[str, Colour | None], ...] = ()
    odd_colours: frozenset[tuple[str, str]] = frozenset()
    labels: tuple[int, ...] = ()
    width_px: int | None = None

    def __bool__(self) -> bool:
        return bool(self.drawn or self.labels)


def is_ring(name: str) -> bool:
    """Return whether a class is a ring by its name, the toolkit's own or one that laboratories use.

    Examples
    --------
    >>> [is_ring(name) for name in ("pial_L", "Cortex left", "WM", "Motor cortex", "V1", "Left")]
    [True, True, True, False, False, False]
    """
    words = set(re.findall(r"[^\W\d_]+", name.lower()))
    return name in (*CLASSES, TISSUE) or (bool(words & RING_WORDS) and words <= RING_WORDS | BESIDE)


def read_areas(section: Section) -> AnnotatedAreas:
    """Read a section's annotation; of polygons, those of rings and of QuPath's Ignore* are no areas.

    Where there are no contours, nothing but the toolkit's own names is a ring: areas may have any other.

    Raises
    ------
    CytomeshError
        If it cannot be read.
    """
    path = section.annotation
    if path is None:
        return AnnotatedAreas()
    if path.name.lower().endswith(DRAWINGS):
        features = read_features(replace(section, contours=path), frozenset())
        areas = [item for item in features if item.names and not item.names[0].endswith(OTHERS)]
        own = (*CLASSES, TISSUE)
        areas = [item for item in areas if not (is_ring(name := item.names[0]) and (section.contours or name in own))]
        odd = frozenset((item.names[0], item.odd_colour) for item in areas if item.odd_colour)
        return AnnotatedAreas(tuple((item.names[0], item.colour) for item in areas), odd)
    image = read_label_image(path)
    labels = [value for value in np.unique(image).tolist() if value != 0]
    if labels and labels[0] < 0:
        expected = "0 for no area, and areas above"
        raise AtlasError(path, found=f"label {labels[0]}", expected=expected, hint="export it again")
    return AnnotatedAreas(labels=tuple(labels), width_px=image.shape[1])


def table_of(found: Iterable[AnnotatedAreas]) -> LabelTable:
    """Return a table of all areas: label images' own labels, then drawn areas by their names, in QuPath's colours.

    Of an area that was drawn in several colours, the one that most of its polygons have counts. That is logged,
    and so are areas with nearly one name or with one colour.
    """
    found = list(found)
    labels = sorted({label for one in found for label in one.labels})
    colours: dict[str, Counter[Colour]] = {}
    for name, colour in (item for one in found for item in one.drawn):
        colours.setdefault(name, Counter()).update([] if colour is None else [colour])
    names = sorted(colours)
    table = LabelTable.from_names([*(f"area {label}" for label in labels), *names])
    first = max(labels, default=0) + 1
    table = replace(table, indices=(*labels, *range(first, first + len(names))))
    for row, name in enumerate(names, start=len(labels)):
        if colours[name]:
            table.colours[row, :3] = np.array(_most_frequent(name, colours[name])) / 255
    for name, text in sorted({item for one in found for item in one.odd_colours}):
        warn(f"area '{name}' was drawn in {text[:MOST_SHOWN]}: no colour, which is [red, green, blue], 0 to 255")
    _say_doubts(table)
    return table


def say_absent(found: Iterable[AnnotatedAreas], labels: LabelTable, path: Path) -> None:
    """Log which areas of the annotations have no row in a label table that was given."""
    found = list(found)
    drawn = sorted({name for one in found for name, _ in one.drawn})
    numbers = sorted({label for one in found for label in one.labels})
    absent = [repr(name) for name in drawn if name not in labels.names]
    absent += [f"label {label}" for label in numbers if label not in labels.indices]
    if absent:
        warn(
            f"{shown(path)}: {len(absent)} of {counted(len(drawn) + len(numbers), 'annotated area')} not in the table: "
            f"{listed(absent)}; it has {listed(map(repr, labels.names)) or 'no area'}: add them, or map the names of "
            "drawn ones in annotations.classes of study.yaml"
        )


def _say_doubts(labels: LabelTable) -> None:
    """Log which areas may be one, by their names, and which cannot be told apart on maps, by their colours."""
    for names in labels.alike():
        warn(f"areas {listed(map(repr, names))} differ only in case or spaces: each is an area of its own")
    by_colour: dict[str, list[str]] = {}
    for _, name, colour in labels.rows():
        by_colour.setdefault(css_colour(colour), []).append(name)
    for colour_text, names in by_colour.items():
        if len(names) > 1:
            warn(f"areas {listed(map(repr, names))} have one colour, {colour_text}: maps do not tell them apart")


def _most_frequent(name: str, colours: Counter[Colour]) -> Colour:
    (colour, times), *others = colours.most_common()
    if others:
        rest = ", ".join(f"{_hex(own)} ({n})" for own, n in others)
        warn(f"area '{name}' was drawn in several colours: {_hex(colour)} ({times} polygons) is taken, not {rest}")
    return colour


def _hex(colour: Colour) -> str:
    return css_colour(np.array(colour) / 255)
