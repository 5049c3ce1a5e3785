"""How many parcels: as given, where the eigenvalues have a gap, or where parcels come back best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy.sparse.csgraph import connected_components

from cytomesh.core.errors import ConfigError, GraphError
from cytomesh.core.random import derived_seed
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.baselines import voronoi_parcels
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.consensus import node_agreement
from cytomesh.parcellate.features import NodeFeatures
from cytomesh.parcellate.group import parcellate_joint
from cytomesh.parcellate.joint import JointFeatures
from cytomesh.parcellate.spectral import eigengap, lowest_eigenpairs
from cytomesh.parcellate.split_half import MIN_SECTIONS
from cytomesh.parcellate.stability import half_joints, is_divisible, noise_joint

N_CANDIDATES = 12
MIN_SPLITS = 3


@dataclass(frozen=True, slots=True)
class Count:
    """A number of parcels, and where it comes from.

    Parameters
    ----------
    k : int
    candidates : list of dict
        For each number that was tried: n_parcels, co_assignment (of halves with each other), geometry and noise (the
        same of the nulls), times_null (the first over the larger of the two). Empty unless chosen by stability.
    """

    k: int
    candidates: list[dict[str, float]] = field(default_factory=list)


def choose_count(
    joint: JointFeatures,
    graphs: Sequence[CortexGraph],
    parts: Sequence[NodeFeatures],
    settings: ParcellateConfig,
    source: str,
) -> Count:
    """Return the number of parcels of a group as the settings want it.

    Parameters
    ----------
    joint : JointFeatures
        The group, whitened and joined.
    parts : sequence of NodeFeatures
        Selected and smoothed nodes of each graph, not whitened: what halves are taken from.
    """
    if settings.n_parcels is not None:
        return Count(settings.n_parcels)
    if settings.choose == "eigengap":
        return Count(eigengap_count(joint.features, settings, source))
    return stable_count(graphs, parts, candidate_counts(joint.features, settings, source), settings, source)


def eigengap_count(features: NodeFeatures, settings: ParcellateConfig, source: str) -> int:
    """Return the number at the widest relative gap of the eigenvalues of the affinity graph."""
    lowest, highest = _limits(features, settings)
    weights = affinity_graph(features.adjacency, features.values, settings.affinity)
    wanted = min(len(features.nodes), highest + 2)
    spectrum = lowest_eigenpairs(weights, wanted, settings.spectral, settings.seed, source)
    return eigengap(spectrum.eigenvalues, lowest, highest)


def candidate_counts(features: NodeFeatures, settings: ParcellateConfig, source: str) -> list[int]:
    """Return the numbers to compare: those of the settings, or twelve on a logarithmic scale up to `max_parcels`.

    Raises
    ------
    GraphError
        If a number of the settings is impossible on this graph.
    """
    lowest, highest = _limits(features, settings)
    if not settings.candidates:
        return sorted({round(k) for k in np.geomspace(lowest, highest, N_CANDIDATES)})
    highest = len(features.nodes) // settings.min_nodes
    wrong = [k for k in settings.candidates if not lowest <= k <= highest]
    if wrong:
        expected = f"between {lowest} and {highest} (nodes over min_nodes)"
        raise GraphError(source, "candidates", found=f"{wrong}", expected=expected, hint="leave them out")
    return sorted(set(settings.candidates))


def stable_count(
    graphs: Sequence[CortexGraph],
    parts: Sequence[NodeFeatures],
    candidates: Sequence[int],
    settings: ParcellateConfig,
    source: str,
) -> Count:
    """Return the number at which the agreement of two halves is the largest multiple of that of chance.

    Agreement falls with every parcel more, and so does that of parcels which know nothing: for this reason Lange et
    al., Stability-based validation of clustering solutions, 2004, section 2.3, divide by it. The agreement is the mean
    of `consensus.node_agreement` (ARI and AMI hardly notice that one parcel among many is cut at random), the null the
    larger of geometry-only parcels with each other, and of the halves with parcels of noise. Several numbers may be
    peaks, coarse and fine: see the table of all candidates.

    Raises
    ------
    ConfigError
        If a graph is too small to be divided.
    """
    if not is_divisible(graphs, parts):
        what = f"fewer than {MIN_SECTIONS} sections or slabs to divide"
        raise ConfigError(source, "choose: stability", found=what, hint="set n_parcels, or choose: eigengap")
    wanted = settings.evaluation.stability
    halves = [half_joints(graphs, parts, split, settings) for split in range(max(wanted.splits, MIN_SPLITS))]
    noise = [noise_joint(graphs, parts, number, settings) for number in range(wanted.nulls)]
    rows = []
    for k in candidates:
        cut = [tuple(parcellate_joint(half, k, settings, source).labels for half in pair) for pair in halves]
        random = [parcellate_joint(some, k, settings, source).labels for some in noise]
        found: list[float] = []
        geometry: list[float] = []
        by_noise: list[float] = []
        for i, part in enumerate(parts):
            found += [float(node_agreement(one[i], two[i]).mean()) for one, two in cut]
            by_noise += [
                float(node_agreement(half[i], other[i]).mean()) for pair in cut for half in pair for other in random
            ]
            seeds = [derived_seed(settings.seed, "tiling", number) for number in range(settings.evaluation.tilings)]
            tilings = [voronoi_parcels(part.positions, part.adjacency, k, seed) for seed in seeds]
            geometry += [float(node_agreement(one, two).mean()) for one, two in combinations(tilings, 2)]
        row = {"n_parcels": k, "co_assignment": float(np.mean(found)), "geometry": float(np.mean(geometry))}
        if by_noise:
            row["noise"] = float(np.mean(by_noise))
        row["times_null"] = row["co_assignment"] / max(row["geometry"], row.get("noise", 0.0))
        rows.append(row)
    return Count(int(best_peak(rows)["n_parcels"]), rows)


def best_peak(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the row that is the largest multiple of its null among those that no neighbour exceeds.

    The first and the last row are no peaks, since what lies beyond was not looked at (a handful of parcels, the lobes,
    nearly always comes back); they count only where there is no peak between them.
    """
    value = [row["times_null"] for row in rows]
    peaks = [i for i in range(1, len(rows) - 1) if value[i] >= max(value[i - 1], value[i + 1])]
    return rows[max(peaks or range(len(rows)), key=lambda i: value[i])]


def _limits(features: NodeFeatures, settings: ParcellateConfig) -> tuple[int, int]:
    n_components = int(connected_components(features.adjacency, directed=False, return_labels=False))
    lowest = max(2, n_components)
    return lowest, max(lowest, min(settings.max_parcels, len(features.nodes) // settings.min_nodes))
