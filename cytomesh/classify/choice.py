"""Which of a few models: the one that names held-out nodes best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.assemble import assemble
from cytomesh.classify.config import Candidate, ClassifyConfig
from cytomesh.classify.models import fit_seed, keep_seed
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.splits import TRAIN, VALIDATION, validation_blocks
from cytomesh.core.distributed import World
from cytomesh.core.errors import SplitError
from cytomesh.core.learning import macro_f1
from cytomesh.graph.storage import CortexGraph

CANDIDATES = "candidates"
"""Folder of their trainings."""
HELD_OUT = 0.15
"""Share of the training nodes, in blocks, on which candidates are compared where the split has no validation nodes."""


def chosen(
    run: Path,
    folder: Path,
    graphs: Sequence[CortexGraph],
    labels: Sequence[NDArray[np.int32]],
    settings: ClassifyConfig,
    ranks: World,
) -> tuple[ClassifyConfig, list[dict[str, Any]]]:
    """Return settings with one model, and what the candidates scored; none if the settings name a model.

    Each candidate is trained once, on the training nodes; the one with the best macro-F1 on the validation nodes is
    taken, the first of equal ones. No label of an evaluation side is read. Networks stop where they are best on these
    nodes, which flatters them a little beside models that are solved.

    Parameters
    ----------
    folder : Path
        Candidates' trainings are kept below, for a stopped run to go on with.

    Returns
    -------
    settings : ClassifyConfig
    records : list of dict
        `model` (kind), `hops` and `macro_f1` of each candidate, with the number of `nodes` that it was scored on.

    Raises
    ------
    SplitError
        If no validation node has an area that was learnt.
    """
    if settings.model is not None:
        return settings, []
    records: list[dict[str, Any]] = []
    for number, candidate in enumerate(settings.candidates):
        own = with_candidate(settings, candidate)
        place = folder / CANDIDATES / str(number)
        place.mkdir(parents=True, exist_ok=True)
        whole, *_ = assemble(run, graphs, labels, own, place / "inputs")
        data = _held_out(whole, graphs, settings.seed)
        likely, _ = fit_seed(place, data, own, settings.seed, ranks)
        rows = np.flatnonzero(data.is_validation & (data.targets >= 0))
        if not rows.size:
            hint = "name a model (--set model.kind=lda), or give some training sections the role 'val'"
            found = "no validation node of a trained area to choose a model by"
            raise SplitError("split", "validation", found=found, hint=hint)
        score = macro_f1(data.targets[rows], likely[rows].argmax(axis=1))
        records.append({"model": own.one_model.kind, "hops": own.inputs.hops, "macro_f1": score, "nodes": rows.size})
    best = ranks.given(int(np.argmax([record["macro_f1"] for record in records])))
    if ranks.is_main and data is whole:  # validation nodes of the split: the best has learnt all that it is to learn
        keep_seed(folder / CANDIDATES / str(best), folder, settings.seed)
    return with_candidate(settings, settings.candidates[best]), records


def choice_note(records: Sequence[Mapping[str, Any]]) -> str:
    """Say which candidate was taken, and what for."""
    best = max(records, key=lambda record: record["macro_f1"])
    scores = ", ".join(f"{record['model']} {record['macro_f1']:.3f}" for record in records)
    return f"{best['model']} chosen by macro-F1 on {best['nodes']} validation nodes: {scores}"


def with_candidate(settings: ClassifyConfig, candidate: Candidate) -> ClassifyConfig:
    """Return settings whose model is a candidate."""
    hops = settings.inputs.hops if candidate.hops is None else candidate.hops
    inputs = settings.inputs.model_copy(update={"hops": hops})
    return settings.model_copy(update={"model": candidate.model, "inputs": inputs})


def _held_out(data: NodeData, graphs: Sequence[CortexGraph], seed: int) -> NodeData:
    """Return data with validation nodes: those of the split, or blocks of the training side."""
    if (data.is_validation & (data.targets >= 0)).any():
        return data
    parts = zip(graphs, data.graphs(data.sides), data.graphs(data.targets), strict=True)
    blocks = [
        validation_blocks(g, np.where(side == TRAIN, of + 1, 0).astype(np.int32), HELD_OUT, seed)
        for g, side, of in parts
    ]
    return replace(data, sides=np.where(np.concatenate(blocks), VALIDATION, data.sides))
