"""Pictures of the sections that a quality page names: their contours over the image, and where the surfaces run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import shapely

from cytomesh.graph.curves import PlaneCutter, stacking_axis
from cytomesh.graph.inputs import SectionInput
from cytomesh.graph.limits import Verdict
from cytomesh.graph.links import Ribbon
from cytomesh.imaging.pictures import contour_paths, line_path, placed_image, section_drawing
from cytomesh.imaging.pyramid import open_unnormalised
from cytomesh.imaging.thumbnail import MOST_PX
from cytomesh.page.html import Html, tag
from cytomesh.study.problems import attempt
from cytomesh.study.sections import Section

IMAGE_PX = 900
QUALITY = 72
MARGIN = 0.06
"""Around contours and surfaces, share of their extent."""


def named_sections(verdicts: Sequence[Verdict], inputs: Sequence[SectionInput], ribbon: Ribbon) -> list[Html]:
    """Return a figure of each section that has one of the measured values, in the order of the stack.

    Without its image where that cannot be read, or is too large and has no coarse level.
    """
    axis = stacking_axis([item.plane for item in inputs])
    cutters = {"white": PlaneCutter(ribbon.white, axis), "pial": PlaneCutter(ribbon.pial, axis)}
    figures = []
    for item in inputs:
        place = f"section {item.section.index}"
        if measured := [f"{verdict.name}: {verdict.measured}" for verdict in verdicts if verdict.place == place]:
            figures.append(_figure(item, "; ".join(measured), cutters))
    return figures


def _figure(item: SectionInput, measured: str, cutters: Mapping[str, PlaneCutter]) -> Html:
    section, plane = item.section, item.plane
    cuts = {kind: cutter.cut(plane).points.reshape(-1, 3) for kind, cutter in cutters.items()}
    curves = {kind: plane.pixels(ends) for kind, ends in cuts.items()}
    drawn = [region for rings in (item.drawn or {}).values() for region in (rings.pial, rings.white)]
    points = np.concatenate([*curves.values(), shapely.get_coordinates(drawn)])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * float((high - low).max())
    col0, row0, col1, row1 = (int(value) for value in (*np.floor(low - margin), *np.ceil(high + margin)))
    if item.shape is not None:
        row0, col0, row1, col1 = max(row0, 0), max(col0, 0), min(row1, item.shape[0]), min(col1, item.shape[1])
    box, width = (row0, row1, col0, col1), col1 - col0
    tolerance_px = 0.4 * width / IMAGE_PX
    layers = [
        attempt([], lambda: _image(section, box)) or Html(""),
        contour_paths(item.drawn, tolerance_px),
        *(
            tag("path", d=line_path(ends.reshape(-1, 2, 2), tolerance_px), class_=f"{kind} built")
            for kind, ends in curves.items()
        ),
    ]
    label = f"section {section.index} with its contours and the surfaces"
    drawing = section_drawing(section, box, layers, 0.026 * width, label)
    return tag("figure", drawing, tag("figcaption", tag("strong", f"Section {section.index}"), f"; {measured}."))


def _image(section: Section, box: tuple[int, int, int, int]) -> Html:
    if section.image is None:
        return Html("")
    with open_unnormalised(section) as pyramid:
        if np.prod(pyramid.coarsest_stored.shape, dtype=np.float64) > MOST_PX:
            return Html("")
        return placed_image(pyramid, box, IMAGE_PX, QUALITY)
