"""What the checks of a whole stack say against the sections that surfaces are built from; no pixels are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cytomesh.graph.inputs import SectionInput
from cytomesh.study.contour_stack import check_stack
from cytomesh.study.neighbours import check_neighbours, check_sides

N_SAID = 5


def stack_objections(table: Path, inputs: Sequence[SectionInput]) -> list[str]:
    """Return what `cytomesh study check` would say of a brain's sections beside each other, one line per problem.

    None of it need spoil a surface, so nothing stops for it: sections absent from a series, hemispheres exchanged, a
    flipped or torn section.

    Parameters
    ----------
    table : Path
        The section table or its manifest.
    inputs : sequence of SectionInput
        All of the brain's; those left out say nothing.
    """
    sections, contours = [item.section for item in inputs], [item.drawn for item in inputs]
    problems = [
        *check_sides(table, sections, contours),
        *check_neighbours(table, sections, contours),
        *(problem for _, problem in check_stack(sections, contours).problems),
    ]
    return [f"{problem.place}: {problem.found}; {problem.hint}" for problem in problems]


def said(objections: Sequence[str], manifest: Path) -> list[str]:
    """Return the first few lines, and where the others are found."""
    rest = len(objections) - N_SAID
    more = [f"and {rest} more: 'cytomesh study check {manifest}' lists them"] if rest > 0 else []
    return [*objections[:N_SAID], *more]
