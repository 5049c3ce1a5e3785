"""Sections with their contours and image links drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError
from cytomesh.core.progress import log
from cytomesh.core.run import finished_folders
from cytomesh.graph.storage import CortexGraph
from cytomesh.imaging.pictures import contour_paths, placed_image, section_drawing
from cytomesh.imaging.pyramid import open_section
from cytomesh.page.colours import css_colour
from cytomesh.page.html import Content, Html, Part, choice, join, missing, swatch, tag
from cytomesh.report.maps import thickness_map
from cytomesh.study.contours import SectionContours, read_contours
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain, Study
from cytomesh.surface.gifti import read_labels

SECTIONS_PER_BRAIN = 4
IMAGE_PX = 1000
NO_AREA = "#8a8a8a"
TITLE = "Sections and image links"


def section_part(run: Path, study: Study | None, graphs: Sequence[CortexGraph]) -> Part:
    """Build the part with a few sections of each brain; predicted areas where nobody has annotated a hemisphere."""
    if study is None:
        return missing("sections", TITLE, "The study of this run cannot be opened, so its sections are not shown.")
    predicted = {graph.name: found for graph in graphs if (found := _predicted(run, graph)) is not None}
    graphs = [predicted[graph.name][1] if graph.name in predicted else graph for graph in graphs]
    panels: list[tuple[str, Html]] = []
    for brain in study.brains:
        own = [graph for graph in graphs if graph.brain == brain.id]
        figures = [_figure(brain, section, own) for section in _choose(brain, own)]
        shown = [figure for figure in figures if figure is not None]
        if shown:
            panels.append((f"{brain.id} ({brain.role})", tag("div", *shown, class_="slices")))
    if not panels:
        return missing("sections", TITLE, "No section of this run has image links.")
    intro = tag(
        "p",
        tag("span", class_="key pial"),
        "pial contour  ",
        tag("span", class_="key white"),
        "white contour. Each tick is one image link: it starts at the node and points to the pial surface (half of the "
        "median cortical thickness long), coloured by the annotated area of the node, grey where there is none.",
        *(
            f" {name}, which nobody annotated, has areas predicted by {model}."
            for name, (model, _) in predicted.items()
        ),
    )
    return Part("sections", TITLE, join([intro, choice("Brain", panels)]))


def _predicted(run: Path, graph: CortexGraph) -> tuple[str, CortexGraph] | None:
    """Return the name of a result, and the graph with its areas in the place of annotations, if it has none."""
    if graph.annotation.any():
        return None
    for folder in finished_folders(run, "classify"):
        path = folder / f"{graph.name}.label.gii"
        if path.is_file():
            labels, table = read_labels(path)
            if len(labels) == graph.n_nodes:  # else the graph was built anew since
                return folder.name, graph.with_labels(table, labels)
    return None


def _choose(brain: Brain, graphs: Sequence[CortexGraph]) -> list[Section]:
    """Choose sections spread evenly over those with annotated links, else over all linked ones."""
    linked = {int(index) for graph in graphs for index in np.unique(graph.section[graph.is_linked])}
    annotated = {
        int(index) for graph in graphs for index in np.unique(graph.section[graph.is_linked & (graph.annotation > 0)])
    }
    usable = [section for section in brain.sections if section.index in (annotated or linked)]
    if len(usable) <= SECTIONS_PER_BRAIN:
        return usable
    # the first and last sections graze the pole: start inside
    places = np.linspace(0, len(usable) - 1, SECTIONS_PER_BRAIN + 2)[1:-1].round().astype(int)
    return [usable[place] for place in places]


def _figure(brain: Brain, section: Section, graphs: Sequence[CortexGraph]) -> Html | None:
    try:
        contours = read_contours(section) if section.contours else None
        box, picture = _picture(section, contours, graphs)
    except CytomeshError as error:
        log(f"section left out of the report: {error}")
        return None
    width = box[3] - box[2]
    length_px = _half_thickness_mm(graphs) * 1000 / section.um_per_px
    links, areas, n_links, angles = _links(section, graphs, length_px or 0.02 * width)
    layers = [picture, contour_paths(contours, 0.4 * width / IMAGE_PX), links]
    label = f"section {section.index} of brain {brain.id} with contours and image links"
    drawing = section_drawing(section, box, layers, 0.026 * width, label)
    where = f"Section {section.index}, plane at {section.plane.offset_mm:.2f} mm"
    facts = f"role {section.role}, {section.um_per_px:g} µm/px, "
    facts += f"{n_links} links, median obliqueness {np.median(angles):.0f} deg" if n_links else "no links"
    legend: list[Content] = [tag("strong", where), f"; {facts}. "]
    legend += [tag("span", swatch(colour), name, "  ") for name, colour in areas]
    return tag("figure", drawing, tag("figcaption", *legend))


def _half_thickness_mm(graphs: Sequence[CortexGraph]) -> float:
    """Return half of the median thickness, which is about how far nodes lie from the pial surface; 0 if unknown."""
    known = np.concatenate([thickness_map(graph).values for graph in graphs])
    known = known[np.isfinite(known)]
    return float(np.median(known)) / 2 if known.size else 0.0


def _picture(
    section: Section, contours: SectionContours | None, graphs: Sequence[CortexGraph]
) -> tuple[tuple[int, int, int, int], Html]:
    points = [np.zeros((0, 2))]
    for graph in graphs:
        points.append(graph.nodes.stack(["column_px", "row_px"])[graph.is_linked & (graph.section == section.index)])
    low, high = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
    for hemisphere in (contours or {}).values():
        if not hemisphere.pial.is_empty:
            bounds = np.array(hemisphere.pial.bounds)
            low, high = np.minimum(low, bounds[:2]), np.maximum(high, bounds[2:])
    margin = 0.08 * float(max(high - low)) + 2
    col0, row0 = (int(value) for value in np.floor(low - margin))
    col1, row1 = (int(value) for value in np.ceil(high + margin))
    if section.image is None:
        return (row0, row1, col0, col1), Html("")
    with open_section(section) as pyramid:
        h, w = pyramid.shape
        row0, col0, row1, col1 = max(row0, 0), max(col0, 0), min(row1, h), min(col1, w)
        return (row0, row1, col0, col1), placed_image(pyramid, (row0, row1, col0, col1), IMAGE_PX)


def _links(
    section: Section, graphs: Sequence[CortexGraph], length_px: float
) -> tuple[Html, list[tuple[str, str]], int, NDArray[np.float64]]:
    """Return the ticks, one path per area; the areas met with their colours, largest first; number and obliqueness."""
    ticks: dict[tuple[str, str], list[str]] = {}
    angles = []
    for graph in graphs:
        chosen = np.flatnonzero(graph.is_linked & (graph.section == section.index))
        colours = dict(zip(graph.labels.indices, map(css_colour, graph.labels.colours), strict=True))
        columns, rows, turns, obliqueness = graph.nodes.stack(["column_px", "row_px", "angle_deg", "obliqueness_deg"])[
            chosen
        ].T
        # angles are counter-clockwise with rows upwards, SVG's y runs downwards
        dx, dy = length_px * np.cos(np.radians(turns)), -length_px * np.sin(np.radians(turns))
        angles.append(obliqueness)
        for i, label in enumerate(graph.annotation[chosen]):
            key = (graph.labels.name(int(label)) if label else "no area", colours.get(int(label), NO_AREA))
            # the zero-length stroke with round caps is the dot at the node
            ticks.setdefault(key, []).append(f"M{columns[i]:.1f} {rows[i]:.1f}h0l{dx[i]:.1f} {dy[i]:.1f}")
    order = sorted(ticks, key=lambda key: (key[1] == NO_AREA, -len(ticks[key])))
    style = {"fill": "none", "stroke_linecap": "round", "vector_effect": "non-scaling-stroke"}
    parts = []
    for key in order:
        title = tag("title", f"{key[0]}: {len(ticks[key])} links")
        line = "".join(ticks[key])
        parts.append(
            tag(
                "g",
                title,
                tag("path", d=line, stroke="#000000", stroke_width=3.2, **style),
                tag("path", d=line, stroke=key[1], stroke_width=2, **style),
            )
        )
    total = np.concatenate(angles) if angles else np.zeros(0)
    return join(parts), order, len(total), total
