"""What `classify` would do (`--dry-run`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.kinds import classifier_kind
from cytomesh.classify.known_inputs import resolve_names
from cytomesh.classify.outlines import shown_sections
from cytomesh.classify.run import classify_inputs
from cytomesh.core.digests import DIGESTS, FileDigests
from cytomesh.core.outlook import outlook
from cytomesh.core.run import product
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.storage import load_graphs


def plan_classify(
    run: Path, name: str, settings: ClassifyConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Return whether a classifier would be trained, on what, how often, and of how many sections areas are outlined.

    Nothing is written.

    Raises
    ------
    StaleError
        If graphs or features are stale, unless `allow_stale`.
    """
    result = product(run, "classify", name)
    graphs = load_graphs(run)
    digests = FileDigests(run / DIGESTS, writes=False)
    inputs = classify_inputs(run, graphs, settings, digests)
    Freshness(run, digests).check(inputs, allow_stale=allow_stale)
    models = [settings.model] if settings.model else [candidate.model for candidate in settings.candidates]
    has_chance = any(classifier_kind(model).has_chance for model in models)
    return {
        "result": result.place,
        "would_be": outlook(result, inputs, resume=resume),
        "models": ", ".join(dict.fromkeys(model.kind for model in models)),
        "inputs": ", ".join(resolve_names(run, settings.inputs.names)),
        "graphs": len(graphs),
        "nodes": sum(graph.n_nodes for graph in graphs),
        "annotated_nodes": sum(int((graph.annotation > 0).sum()) for graph in graphs),
        "training_brains": sum(role == "train" for role in {g.brain: g.brain_role for g in graphs}.values()),
        "trainings": settings.n_seeds if has_chance else 1,
        "spins": settings.null.spins,
        "outlines": sum(len(shown_sections(graph)) for graph in graphs) if settings.outlines else 0,
    }
