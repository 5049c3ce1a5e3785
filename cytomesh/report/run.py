"""`cytomesh report`: everything a run holds, on one page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cytomesh.core.errors import CytomeshError
from cytomesh.core.files import write_text
from cytomesh.core.progress import log
from cytomesh.core.run import lock
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.normalise import open_run_study
from cytomesh.page.document import page
from cytomesh.page.html import Part, join, missing, not_shown
from cytomesh.report.agreement import parcellation_part
from cytomesh.report.cells import TITLE as CELLS
from cytomesh.report.cells import cells_part
from cytomesh.report.evaluate import TITLE as EVALUATE
from cytomesh.report.evaluate import evaluate_part
from cytomesh.report.head import head, lacks_images
from cytomesh.report.inspection import TITLE as INSPECTION
from cytomesh.report.inspection import inspect_part
from cytomesh.report.layers import TITLE as LAYERS
from cytomesh.report.layers import layers_part
from cytomesh.report.patches import patch_part
from cytomesh.report.quality import quality_part
from cytomesh.report.results import analysis_kinds, unfinished_notes
from cytomesh.report.scores import score_part
from cytomesh.report.sections import section_part
from cytomesh.report.status import run_status
from cytomesh.report.surfaces import surface_part, viewer_scripts
from cytomesh.report.training import training_part
from cytomesh.report.variation import TITLE as VARIATION
from cytomesh.report.variation import variation_part
from cytomesh.study.study import Study

# kind of analysis -> title of its part, and what builds it
ANALYSES: dict[str, tuple[str, Callable[[Path], Part]]] = {
    "layers": (LAYERS, layers_part),
    "variation": (VARIATION, variation_part),
    "evaluate": (EVALUATE, evaluate_part),
    "cells": (CELLS, cells_part),
    "inspect": (INSPECTION, inspect_part),
}
OF_IMAGES = ("pretraining", "sections", "patches")
"""Parts that imported graphs have nothing for."""


def report_run(run: Path) -> dict[str, Any]:
    """Write `run/report.html`, one self-contained page, whole or not at all.

    A part whose stage has not run, or whose files are damaged, says so in one line; the others are shown.

    Parameters
    ----------
    run : Path
        Run directory with at least one finished graph.

    Returns
    -------
    dict
        Path and size (MB) of the page, seconds, and the parts shown and absent.

    Raises
    ------
    MissingStageError
        If the run holds no graph.
    """
    start = time.perf_counter()
    graphs = load_graphs(run)
    is_own = lacks_images(run, graphs)
    study = None if is_own else _study(run)
    stale = [status.product for status in run_status(run) if status.state == "stale"]
    if stale:
        log(f"report: shows what is stale ('cytomesh status' says why): {', '.join(stale)}")
    parts = [
        _attempt("surfaces", "Surfaces", lambda: surface_part(run, graphs)),
        _attempt("pretraining", "Pretraining", lambda: training_part(run)),
        _attempt("classification", "Classification", lambda: score_part(run, graphs)),
        _attempt("parcellation", "Parcellation", lambda: parcellation_part(run)),
        *_analysis_parts(run),
        _attempt("sections", "Sections and image links", lambda: section_part(run, study, graphs)),
        _attempt("patches", "Patches", lambda: patch_part(run, study, graphs)),
        _attempt("quality", "Quality of surfaces and links", lambda: quality_part(run, graphs)),
    ]
    parts = [part for part in parts if not (is_own and part.is_absent and part.anchor in OF_IMAGES)]
    title = f"{study.name if study else run.resolve().name}: cytomesh report"
    path = run / "report.html"
    with lock(run, "report"):
        write_text(path, page(title, head(run, study, graphs), parts, viewer_scripts()))
    return {
        "report": str(path),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "seconds": round(time.perf_counter() - start, 2),
        "parts": [part.anchor for part in parts if not part.is_absent],
        "absent": [part.anchor for part in parts if part.is_absent],
    }


def _analysis_parts(run: Path) -> list[Part]:
    """Return a part for each kind of analysis that the run holds, and one that names those that cannot be shown."""
    kinds = analysis_kinds(run)
    parts = [
        _attempt(kind, title, lambda build=build: build(run))  # type: ignore[misc]
        for kind, (title, build) in ANALYSES.items()
        if kind in kinds.values()
    ]
    damaged = [name for name, kind in kinds.items() if not kind]
    left_out = [not_shown(f"Not shown, since metrics.json is damaged: {', '.join(damaged)}.")] if damaged else []
    left_out += unfinished_notes(run, "analyze")
    return [*parts, Part("analyses", "Analyses", join(left_out), is_absent=True)] if left_out else parts


def _study(run: Path) -> Study | None:
    try:
        return open_run_study(run)
    except CytomeshError as error:
        log(f"report without images: {error}")
        return None


def _attempt(anchor: str, title: str, build: Callable[[], Part]) -> Part:
    """Build a part; a damaged file costs that part, not the page."""
    try:
        return build()
    except (CytomeshError, ValueError, LookupError, TypeError, AttributeError) as error:
        words = str(error) if isinstance(error, CytomeshError) else f"{type(error).__name__}: {error}"
        log(f"report without '{title}': {words}")
        return missing(anchor, title, f"Not shown: {words}")
