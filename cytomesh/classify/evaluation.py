"""Evaluation of trained models, side by side of a split: scores, tables, distances, bins, intervals, baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.area_fields import at_places
from cytomesh.classify.areas import area_adjacency, distances_to_areas, hop_distances
from cytomesh.classify.known_inputs import MORPHOLOGY
from cytomesh.classify.metrics import average, mean_and_sd, reliability, scores, tables
from cytomesh.classify.neighbours import KnnClassifier, KnnModel
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.prior import RegisteredPrior
from cytomesh.core.learning import macro_f1
from cytomesh.core.random import generator
from cytomesh.graph.neighbourhoods import Floats
from cytomesh.graph.storage import CortexGraph

MAPS, REGISTERED = "probability maps", "registered areas"
"""Names among what needs no image."""
EVALUATIONS = ("seen", "transfer", "unseen", "test")
BOOTSTRAPS = 500
N_BINS = 5
NEAREST_POSITIONS = 15
NODES_AT_ONCE = 65536


def evaluate(
    data: NodeData,
    graphs: Sequence[CortexGraph],
    probabilities: Sequence[Floats],
    names: Sequence[str],
    seed: int,
    baselines: Mapping[str, NDArray[np.int64]],
) -> dict[str, Any]:
    """Score every evaluation side.

    Parameters
    ----------
    probabilities : sequence of (n, k) float32
        One array per training (seed).
    names : sequence of str
        Area of each class.
    seed : int
        Of the bootstrap.
    baselines : mapping of str to (n,) int64
        See `baseline_predictions`.

    Returns
    -------
    dict
        `splits`: by side, scores of each training, their mean and SD, and under `ensemble` those of the averaged
        probabilities with all tables, under `baselines` macro-F1 of what needs no image, and with a registered prior
        what images add to it (see `beyond_prior`); `classes` and `area_adjacency`.
    """
    adjacency = area_adjacency(data)
    hops = hop_distances(adjacency)
    averaged = average(probabilities)
    sections = section_numbers(graphs)
    splits: dict[str, Any] = {}
    for side in EVALUATIONS:
        rows = np.flatnonzero(data.evaluated(side))
        if not rows.size:
            continue
        targets, predicted = data.targets[rows], averaged[rows].argmax(axis=1)
        records = [scores(targets, p[rows], hops) for p in probabilities]
        means, deviations = mean_and_sd(records)
        splits[side] = {
            "n_nodes": int(rows.size),
            "n_classes": int(np.unique(targets).size),
            "seeds": [{"seed": seed + i, **record} for i, record in enumerate(records)],
            "mean": means,
            "sd": deviations,
            "ensemble": {
                **scores(targets, averaged[rows], hops),
                **tables(targets, averaged[rows], hops, names),
                "reliability": reliability(averaged[rows], targets),
                "error_mm": _error_mm(data, graphs, averaged, side),
                "bins": _bins(graphs, rows, targets, predicted),
                "interval": section_interval(sections[rows], targets, predicted, len(names), seed),
            },
            "baselines": {name: macro_f1(targets, p[rows]) for name, p in baselines.items()},
        }
        if REGISTERED in baselines:
            drawn = section_draws(sections[rows], seed)
            splits[side]["beyond_prior"] = beyond_prior(drawn, targets, predicted, baselines[REGISTERED][rows])
    pairs = [[names[i], names[j]] for i, j in adjacency.edges]
    return {"splits": splits, "classes": class_records(data, names), "area_adjacency": pairs}


def class_records(data: NodeData, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return label, name and number of training nodes of each class."""
    counts = np.bincount(data.targets[data.is_train], minlength=data.classes.size)
    return [
        {"label": int(label), "area": area, "n_train": int(n)}
        for label, area, n in zip(data.classes, names, counts, strict=True)
    ]


def baseline_predictions(
    data: NodeData, graphs: Sequence[CortexGraph], prior: RegisteredPrior | None = None
) -> dict[str, NDArray[np.int64]]:
    """Return the class of each node, (n,), by what knows nothing of the tissue: what a model adds is above that.

    `coordinates`: most of the nearest training nodes; `probability maps`: the most probable area; `registered areas`:
    that by the prior, if there is one.
    """
    positions = np.concatenate([graph.mirrored_reference for graph in graphs]).astype(np.float32)
    nearest = KnnClassifier(KnnModel(kind="knn", neighbours=NEAREST_POSITIONS), data.classes.size)
    placed = replace(data, inputs=positions)
    nearest.fit(placed, 0)
    result = {"coordinates": nearest.probabilities(placed).argmax(axis=1)}
    if data.maps is not None:
        blocks = [data.maps[start : start + NODES_AT_ONCE] for start in range(0, len(data.targets), NODES_AT_ONCE)]
        result[MAPS] = np.concatenate([block.toarray().argmax(axis=1) for block in blocks])
    if prior is not None:
        result[REGISTERED] = at_places(prior.field, prior.places).argmax(axis=1)
    return result


def beyond_prior(
    drawn: SectionDraws | None, targets: NDArray[np.int64], predicted: NDArray[np.int64], prior: NDArray[np.int64]
) -> dict[str, float]:
    """Return what images change in the answers of the registered prior.

    Parameters
    ----------
    drawn : SectionDraws, optional
    targets, predicted, prior : (n,) int64
        Classes of the nodes of a side: annotated, by the model, by the prior.

    Returns
    -------
    dict
        `difference` of macro-F1, with its 95 % interval `low` to `high` where there are sections to draw; numbers of
        nodes whose answer became `right`, `wrong`, and was and stayed wrong but `changed`.
    """
    found: dict[str, float] = {"difference": macro_f1(targets, predicted) - macro_f1(targets, prior)}
    if drawn is not None:
        found |= paired_interval(drawn, targets, predicted, prior)
    differs, was_right, is_right = predicted != prior, prior == targets, predicted == targets
    found["right"], found["wrong"] = int((differs & is_right).sum()), int((differs & was_right).sum())
    return found | {"changed": int((differs & ~was_right & ~is_right).sum())}


def section_interval(
    sections: NDArray[np.int64], targets: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int, seed: int
) -> dict[str, float] | None:
    """95 % percentile interval of macro-F1 over resampled sections; None with fewer than two sections."""
    drawn = section_draws(sections, seed)
    if drawn is None:
        return None
    low, high = np.percentile(macro_f1_draws(drawn, targets, predicted, n_classes), [2.5, 97.5])
    return {"low": float(low), "high": float(high), "n_sections": drawn.counts.shape[1]}


@dataclass(frozen=True, slots=True)
class SectionDraws:
    """Sections drawn with replacement: nodes of one section share its staining, cut and annotator.

    Parameters
    ----------
    position : (n,) int64
        Section of each node, 0 to s - 1.
    counts : (b, s) int64
        How often each draw holds each section.
    """

    position: NDArray[np.int64]
    counts: NDArray[np.int64]


def section_draws(sections: NDArray[np.int64], seed: int) -> SectionDraws | None:
    """Draw sections; None where nodes have no section, or all the same one."""
    known, position = np.unique(sections, return_inverse=True)
    if known.size < 2 or known[0] < 0:
        return None
    random = generator(seed, "bootstrap over sections")
    return SectionDraws(position, random.multinomial(known.size, np.full(known.size, 1 / known.size), BOOTSTRAPS))


def macro_f1_draws(
    drawn: SectionDraws, targets: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int
) -> NDArray[np.float64]:
    """Macro-F1 of each draw, (b,)."""
    k, n_sections = n_classes, drawn.counts.shape[1]
    cells = np.bincount((drawn.position * k + targets) * k + predicted, minlength=n_sections * k * k)
    confusion = (drawn.counts @ cells.reshape(n_sections, k * k).astype(np.float64)).reshape(-1, k, k)
    hits, support = np.einsum("bii->bi", confusion), confusion.sum(axis=2)
    f1 = 2 * hits / np.maximum(support + confusion.sum(axis=1), 1)
    return np.asarray((f1 * (support > 0)).sum(axis=1) / (support > 0).sum(axis=1))


def paired_interval(
    drawn: SectionDraws, targets: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64]
) -> dict[str, float]:
    """Return the 95 % percentile interval, `low` to `high`, of how much better one naming is than another.

    The same sections are drawn for both; targets and namings are (n,) classes or labels.
    """
    k = 1 + int(max(targets.max(), one.max(), other.max()))
    draws = [macro_f1_draws(drawn, targets, named, k) for named in (one, other)]
    low, high = np.percentile(draws[0] - draws[1], [2.5, 97.5])
    return {"low": float(low), "high": float(high)}


def section_numbers(graphs: Sequence[CortexGraph]) -> NDArray[np.int64]:
    """Return one number per section of a brain, for all nodes; -1 without."""
    brains = {name: i for i, name in enumerate(sorted({graph.brain for graph in graphs}))}
    widest = 1 + max(int(graph.section.max()) for graph in graphs)
    numbers = [
        np.where(graph.section < 0, -1, brains[graph.brain] * widest + graph.section.astype(np.int64))
        for graph in graphs
    ]
    return np.concatenate(numbers)


def _error_mm(
    data: NodeData, graphs: Sequence[CortexGraph], probabilities: Floats, side: str
) -> dict[str, float] | None:
    """Geodesic distance of wrongly named nodes to the nearest labelled node of the area they were given, mm."""
    wrong = data.evaluated(side) & (probabilities.argmax(axis=1) != data.targets)
    found: list[NDArray[np.float64]] = []
    parts = zip(
        graphs, data.graphs(wrong), data.graphs(data.targets), data.graphs(probabilities.argmax(axis=1)), strict=True
    )
    for graph, mask, targets, predicted in parts:
        if mask.any():
            found.append(distances_to_areas(graph.mesh, targets, np.flatnonzero(mask), predicted[mask]))
    distances = np.concatenate(found) if found else np.zeros(0)
    distances = distances[np.isfinite(distances)]
    if not distances.size:
        return None
    quartiles = np.percentile(distances, [25, 50, 75])
    return {"mean": float(distances.mean()), **dict(zip(("q25", "median", "q75"), map(float, quartiles), strict=True))}


def _bins(
    graphs: Sequence[CortexGraph],
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
    predicted: NDArray[np.int64],
) -> dict[str, list[dict[str, float]]]:
    """Scores in fifths of obliqueness, link distance and thickness, where the graphs know them."""
    result: dict[str, list[dict[str, float]]] = {}
    for name in ("obliqueness", "distance", "thickness"):
        if not all(MORPHOLOGY[name] in graph.nodes for graph in graphs):
            continue
        values = np.concatenate([graph.nodes.stack([MORPHOLOGY[name]])[:, 0] for graph in graphs])[rows]
        values = np.abs(values) if name == "distance" else values
        if not np.isfinite(values).all():
            continue
        edges = np.unique(np.percentile(values, np.linspace(0, 100, N_BINS + 1)))
        index = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
        result[name] = [
            {
                "low": float(values[index == i].min()),
                "high": float(values[index == i].max()),
                "n_nodes": int((index == i).sum()),
                "accuracy": float((targets == predicted)[index == i].mean()),
                "macro_f1": macro_f1(targets[index == i], predicted[index == i]),
            }
            for i in np.unique(index)
        ]
    return result
