"""Areas that one brain lacks, and areas that it has twice."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from cytomesh.core.errors import ConfigError
from cytomesh.core.random import generator
from cytomesh.phantom.areas import connected, outside_medial_wall
from cytomesh.phantom.geometry import PhantomCortex

PATCH = 0.75
"""Radius of a second patch, as a share of how deep it lies in the area around it."""


@dataclass(frozen=True)
class Repertoire:
    """What a brain's areas have that the atlas does not.

    Parameters
    ----------
    missing : tuple of int
        Areas without territory.
    doubled : tuple of (int, int)
        Areas with a second patch, and the area around that patch.
    """

    missing: tuple[int, ...] = ()
    doubled: tuple[tuple[int, int], ...] = ()

    def named(self, names: tuple[str, ...]) -> dict[str, list[str] | list[dict[str, str]]]:
        """Return it by the areas' names (of area 1 first), as the truth has it."""
        doubled = [{"area": names[area - 1], "within": names[host - 1]} for area, host in self.doubled]
        return asdict(self) | {"missing": [names[area - 1] for area in self.missing], "doubled": doubled}


def change_repertoire(
    labels: NDArray[np.int32], cortex: PhantomCortex, n_missing: int, n_doubled: int, seed: int, brain: str
) -> tuple[NDArray[np.int32], Repertoire]:
    """Take areas from a brain, and give it second patches of others.

    Neighbours grow into the territory of a missing area. A second patch is a geodesic disc in the middle of an
    area that does not touch the doubled one, so both stay compact.

    Parameters
    ----------
    labels : (n,) int32
        Areas of the brain, 0 on the medial wall.

    Raises
    ------
    ConfigError
        If the brain has too few areas for that.
    """
    if not n_missing and not n_doubled:
        return labels, Repertoire()
    areas = np.unique(labels[labels > 0])
    crowded = ConfigError(
        f"phantom brain {brain}",
        found=f"{n_missing} areas missing and {n_doubled} doubled, of {len(areas)}",
        expected="other areas that do not touch those, to take their place and to hold second patches",
        hint="raise areas.count",
    )
    if n_missing + 2 * n_doubled >= len(areas):
        raise crowded
    graph = outside_medial_wall(cortex)
    order = generator(seed, "repertoire", brain).permutation(areas)
    missing, twice = order[:n_missing], order[n_missing : n_missing + n_doubled]
    labels = connected(np.where(np.isin(labels, missing), -1, labels).astype(np.int32), graph)
    i, j = graph.nonzero()
    on_border = np.unique(i[labels[i] != labels[j]])
    depth = dijkstra(graph, directed=False, indices=on_border, min_only=True)
    doubled: list[tuple[int, int]] = []
    result = labels.copy()
    for area in twice:
        beside = np.unique(labels[j[labels[i] == area]])
        used = [host for _, host in doubled]
        hosts = np.setdiff1d(order[n_missing + n_doubled :], [*beside, *used], assume_unique=True)
        if not len(hosts):
            raise crowded
        host = int(hosts[np.argmax([np.max(depth[labels == host]) for host in hosts])])
        middle = int(np.argmax(np.where(labels == host, depth, -1)))
        reach = dijkstra(graph, directed=False, indices=middle, limit=PATCH * depth[middle])
        result[np.isfinite(reach)] = area
        doubled.append((int(area), host))
    return result, Repertoire(tuple(int(area) for area in missing), tuple(doubled))
