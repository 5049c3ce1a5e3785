"""Every section's rings over its image, on one page: `cytomesh contours check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import MultiPolygon

from cytomesh.core.counted import counted
from cytomesh.core.errors import CytomeshError
from cytomesh.core.files import write_text
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.imaging.pictures import placed_image, ring_path, section_drawing
from cytomesh.imaging.pyramid import open_unnormalised
from cytomesh.page.document import asset, document
from cytomesh.page.html import Html, bullets, join, tag
from cytomesh.study.contour_stack import check_stack
from cytomesh.study.contours import SectionContours, parse_contours
from cytomesh.study.problems import attempt
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain, Study, open_study

THUMBNAIL_PX = 560
QUALITY = 72
SECTIONS_PER_WORKER = 8
# Rings that lie far outside the image are still shown, up to this many times its size.
FAR_OUT = 1.0
LEGEND = (
    ("pial", "pial, left"),
    ("pial R", "pial, right"),
    ("white", "white, left"),
    ("white R", "white, right"),
    ("exclude", "excluded"),
    ("cut", "cut"),
)


@dataclass(frozen=True, slots=True)
class SectionDrawing:
    """One section's picture, what could be read of its contours, and what is wrong with it or worth knowing."""

    section: Section
    picture: Html
    contours: SectionContours | None
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def contour_page(study: Path, out: Path, workers: int = 1, scheduler: str | None = None) -> dict[str, Any]:
    """Write the page and return counts: sections, sections with contours, without cortex, with problems, problems.

    Raises
    ------
    StudyError, TransformError, AtlasError
        If the study cannot be opened; what is wrong with images and contours is on the page.
    """
    opened = open_study(study)
    brains = [(brain, draw_brain(opened, brain, workers, scheduler)) for brain in opened.brains]
    write_text(out, _page(opened, brains))
    drawings = [drawing for _, group in brains for drawing in group]
    return {
        "page": str(out),
        "sections": len(drawings),
        "with_contours": sum(drawing.contours is not None for drawing in drawings),
        "without_cortex": sum(bool(drawing.notes) for drawing in drawings),
        "with_problems": sum(bool(drawing.problems) for drawing in drawings),
        "problems": sum(len(drawing.problems) for drawing in drawings),
    }


def draw_brain(study: Study, brain: Brain, workers: int, scheduler: str | None = None) -> list[SectionDrawing]:
    """Draw each section of a brain, in the order of their planes, then compare neighbours."""
    n_workers = min(workers, max(1, len(brain.sections) // SECTIONS_PER_WORKER))
    tasks = [SectionTask(section.name, section) for section in brain.sections]
    drawn = map_sections(
        draw_section, tasks, doing=f"draw {brain.id}", workers=n_workers, scheduler=scheduler, seen=study.path
    )
    drawings = [drawing for _, drawing in drawn]
    # rings at fault would only be reported once more by the comparison
    right = [None if drawing.problems else drawing.contours for drawing in drawings]
    report = check_stack(brain.sections, right)
    return [
        replace(
            drawing,
            problems=drawing.problems + tuple(_text(p) for i, p in report.problems if i == drawing.section.index),
            notes=tuple(text for i, text in report.notes if i == drawing.section.index),
        )
        for drawing in drawings
    ]


def draw_section(section: Section) -> SectionDrawing:
    """Draw one section; its problems are collected, not raised."""
    problems: list[CytomeshError] = []
    contours: SectionContours | None = None
    if section.contours is not None:
        contours, problems = parse_contours(section)
    picture = attempt(problems, lambda: _picture(section, contours))
    return SectionDrawing(section, picture or Html(""), contours, tuple(map(_text, problems)))


def _text(problem: CytomeshError) -> str:
    """Return a problem with its file's name alone: the folders are those of the study."""
    return str(problem).replace(problem.source, Path(problem.source).name, 1)


def _picture(section: Section, contours: SectionContours | None) -> Html:
    rings = [region for _, region in _regions(contours) if not region.is_empty]
    image = Html("")
    if section.image is not None:
        with open_unnormalised(section) as pyramid:
            height, width = pyramid.shape
            image = placed_image(pyramid, (0, height, 0, width), THUMBNAIL_PX, QUALITY)
        frame = shapely.box(-0.5, -0.5, width - 0.5, height - 0.5)
        limits = shapely.box(-FAR_OUT * width, -FAR_OUT * height, (1 + FAR_OUT) * width, (1 + FAR_OUT) * height)
        shown = [frame, *(region.envelope.intersection(limits) for region in rings)]
    else:
        shown = [region.envelope for region in rings]
    if not shown:
        return Html("")
    left, top, right, bottom = shapely.total_bounds([region for region in shown if not region.is_empty])
    margin = (0.0 if section.image else 0.08) * max(right - left, bottom - top)
    col0, row0, col1, row1 = int(left - margin), int(top - margin), int(right + margin) + 1, int(bottom + margin) + 1
    extent = max(col1 - col0, row1 - row0)
    layers = [image, _lines(contours, 0.4 * extent / THUMBNAIL_PX)]
    label = f"{section.name} with its contours"
    return section_drawing(section, (row0, row1, col0, col1), layers, 0.035 * extent, label)


def _lines(contours: SectionContours | None, tolerance_px: float) -> Html:
    regions = _regions(contours)
    paths = [(class_, ring_path(region, tolerance_px)) for class_, region in regions if not region.is_empty]
    halos = [tag("path", d=data, class_="halo") for _, data in paths]
    return join([*halos, *(tag("path", d=data, class_=class_) for class_, data in paths)])


def _regions(contours: SectionContours | None) -> list[tuple[str, MultiPolygon]]:
    """Return everything that is drawn in a section, by class, the lowest first."""
    if contours is None:
        return []
    regions = [("exclude", contours.exclude), ("cut", contours.cut)]
    for side, rings in contours.items():
        regions += [(f"white {side}", rings.white), (f"pial {side}", rings.pial)]
    return regions


def _page(study: Study, brains: Sequence[tuple[Brain, list[SectionDrawing]]]) -> str:
    title = f"Contours of {study.name}"
    body = [tag("header", tag("h1", title), _summary(study, brains)), _bar()]
    for brain, drawings in brains:
        n_bad = sum(bool(drawing.problems) for drawing in drawings)
        count = counted(len(drawings), "section") + (f", {n_bad} with problems" if n_bad else "")
        body += [tag("h2", f"{brain.id} ({brain.role}): {count}"), tag("div", *map(_figure, drawings), class_="slices")]
    return document(title, tag("main", *body), style=asset("cytomesh.report", "contours.css"))


def _summary(study: Study, brains: Sequence[tuple[Brain, list[SectionDrawing]]]) -> Html:
    drawings = [drawing for _, group in brains for drawing in group]
    facts = f"{study.species}, {study.stain}; {counted(len(drawings), 'section')} of {counted(len(brains), 'brain')}, "
    facts += f"{sum(drawing.contours is not None for drawing in drawings)} with contours"
    empty = sum(bool(drawing.notes) for drawing in drawings)
    facts += f", {empty} of them without cortex." if empty else "."
    hint = "Letters at the edges say where that side of the picture lies in the brain: R right, L left, A anterior, "
    hint += "P posterior, S superior, I inferior."
    wrong = [drawing for drawing in drawings if drawing.problems]
    parts = [tag("p", facts), tag("p", hint, class_="soft")]
    if not wrong:
        return join([*parts, tag("p", "No problem found.", class_="pass")])
    items = [
        join([tag("a", drawing.section.name, href=f"#{_anchor(drawing.section)}"), f": {text}"])
        for drawing in wrong
        for text in drawing.problems
    ]
    count = f"{counted(len(items), 'problem')} in {counted(len(wrong), 'section')}"
    return join([*parts, tag("p", count, class_="fail"), bullets(items, "found")])


def _bar() -> Html:
    keys = []
    for class_, name in LEGEND:
        data = "M2 2H42V14H2Z" if class_ in ("exclude", "cut") else "M2 8H42"
        line = join([tag("path", d=data, class_="halo"), tag("path", d=data, class_=class_)])
        keys.append(tag("span", tag("svg", line, viewBox="0 0 44 16", aria_hidden="true"), name, class_="sample"))
    box = tag("label", tag("input", type="checkbox", id="only"), " only sections with problems")
    return tag("div", *keys, box, class_="bar")


def _figure(drawing: SectionDrawing) -> Html:
    section = drawing.section
    facts = [f"plane at {section.plane.offset_mm:.2f} mm", f"{section.um_per_px:g} µm/px"]
    facts += [section.status] * (section.status != "ok")
    facts += ["no image"] * (section.image is None) + ["no contours"] * (section.contours is None)
    caption = [tag("strong", f"Section {section.index}"), ", ", ", ".join([*facts, *drawing.notes])]
    if drawing.problems:
        caption.append(bullets(join([tag("span", "Problem: ", class_="fail"), p]) for p in drawing.problems))
    class_ = "wrong" if drawing.problems else None
    return tag("figure", drawing.picture, tag("figcaption", *caption), id=_anchor(section), class_=class_)


def _anchor(section: Section) -> str:
    return f"{section.brain}-{section.index}"
