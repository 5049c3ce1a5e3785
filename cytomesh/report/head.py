"""Head of the page: what the run is of, when and with what it was made, and its main scores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.errors import CytomeshError
from cytomesh.core.files import read_object
from cytomesh.core.progress import log
from cytomesh.core.provenance import RECORD, made_now
from cytomesh.graph.storage import CortexGraph
from cytomesh.page.html import Column, Html, Number, folded, join, table, tag
from cytomesh.report.agreement import agreement_table
from cytomesh.report.results import read_models, read_parcellations
from cytomesh.report.score_table import score_table
from cytomesh.study.study import Study

STAGES = ("graphs", "encoders", "classify", "parcellate")


def head(run: Path, study: Study | None, graphs: Sequence[CortexGraph]) -> Html:
    """Return title, key numbers, the score tables, and how the run was made."""
    is_own = lacks_images(run, graphs)
    title = study.name if study else run.resolve().name
    what = (
        f"{study.species}, {study.stain}. Reference space: {study.space}."
        if study
        else "Imported surfaces, without section images."
        if is_own
        else "The study cannot be opened from here."
    )
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    body = [
        tag("h1", title),
        tag("p", f"{what} Page made {made} with cytomesh {made_now(0)['packages']['cytomesh']}.", class_="soft"),
        _cards(study, graphs, is_own),
    ]
    models, parcellations = read_models(run), read_parcellations(run)
    body += [score_table(models, "features" if is_own else "image")] if models else []
    body += [agreement_table(parcellations)] if parcellations else []
    return join([*body, _origin(run)])


def lacks_images(run: Path, graphs: Sequence[CortexGraph]) -> bool:
    """Whether no study belongs to a run, and no node has a place in an image: its graphs were imported."""
    return not (run / "study.json").exists() and not any(graph.has_image.any() for graph in graphs)


def _cards(study: Study | None, graphs: Sequence[CortexGraph], is_own: bool) -> Html:
    brains = {graph.brain: graph.brain_role for graph in graphs}
    roles = [
        f"{list(brains.values()).count(role)} {role}"
        for role in ("train", "transfer", "unseen")
        if role in brains.values()
    ]
    linked = np.concatenate([graph.is_linked[graph.is_cortex] for graph in graphs])
    annotated = np.concatenate([graph.annotation[graph.is_cortex] > 0 for graph in graphs])
    areas = np.unique(np.concatenate([graph.annotation for graph in graphs]))
    cards = [
        (str(len(brains)), f"{'brain' if len(brains) == 1 else 'brains'} ({', '.join(roles)})"),
        (str(len(graphs)), "hemisphere" if len(graphs) == 1 else "hemispheres"),
        (f"{len(linked):,}", "nodes"),
        (f"{100 * linked.mean():.0f} %", "nodes with features" if is_own else "nodes linked to an image"),
    ]
    if len(graphs[0].labels):
        cards += [
            (f"{100 * annotated.mean():.0f} %", "nodes annotated"),
            (str(int((areas > 0).sum())), f"areas, of {len(graphs[0].labels)} in the label table"),
        ]
    if study:
        cards.insert(1, (str(sum(len(brain.sections) for brain in study.brains)), "sections"))
    return tag("div", *(tag("div", tag("b", value), tag("span", text)) for value, text in cards), class_="cards")


def _origin(run: Path) -> Html:
    """Return a closed list of the stages that have run: seed, time, versions."""
    records = {
        path.parent.relative_to(run): record
        for stage in STAGES
        for path in sorted((run / stage).glob(f"[!.]*/{RECORD}"))
        if (record := _record(path)) is not None
    }
    if not records:
        return Html("")
    rows = [
        [str(stage), str(record.get("seed", "")), _moment(record), str(record.get("python", "")), _packages(record)]
        for stage, record in records.items()
    ]
    columns: list[Column] = ["stage", Number("seed"), "started (UTC)", "Python", "packages"]
    stages = table(columns, rows, caption="Settings of each stage are in config.yaml beside its output.")
    return folded("Stages, seeds and versions", stages)


def _record(path: Path) -> dict[str, Any] | None:
    """Read a stage's record; a damaged one is logged and left out."""
    try:
        return read_object(path)
    except CytomeshError as error:
        log(f"left out of the report: {error}")
        return None


def _moment(record: dict[str, Any]) -> str:
    return str(record.get("started", ""))[:16].replace("T", " ")


def _packages(record: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {version}" for name, version in record.get("packages", {}).items() if version != "not installed"
    )
