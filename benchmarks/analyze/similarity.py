"""Seconds of the area similarity matrix and of maps: `python -m benchmarks.analyze.similarity`.

100,000 nodes of 768 features, 150 areas, 4 brains (quick: 20,000 x 128, 40 areas). The peer is the plain way: cosines
of all pairs in chunks, summed by area; it is run on the first 20,000 nodes (quick: 4,000), since its time grows with
the square. Both give the same matrix there. Seconds are those of the processor, all threads together.
"""

from __future__ import annotations

import time
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from benchmarks.common import Options, Result, interleave, main
from cytomesh.analyze.inspect.config import MapConfig
from cytomesh.analyze.inspect.latent_map import latent_map
from cytomesh.analyze.inspect.separation import cosine_silhouettes
from cytomesh.analyze.inspect.similarity import area_similarity

CHUNK = 1000


def all_pairs(features: NDArray[np.float32], labels: NDArray[np.int64], n_areas: int) -> NDArray[np.float64]:
    """Mean cosine over all pairs of two areas, pair by pair."""
    units = normalize(features)
    one_hot = np.eye(n_areas, dtype=np.float32)[labels - 1]
    sums = np.zeros((n_areas, n_areas))
    for start in range(0, len(units), CHUNK):
        cosines = units[start : start + CHUNK] @ units.T
        cosines[np.arange(len(cosines)), start + np.arange(len(cosines))] = 0.0
        sums += one_hot[start : start + CHUNK].T @ (cosines @ one_hot)
    counts = np.bincount(labels - 1, minlength=n_areas)
    return sums / (np.outer(counts, counts) - np.diag(counts))


def measure(options: Options) -> Result:
    """Compare what comes out, then time."""
    n, d, n_areas, few, mapped = (20_000, 128, 40, 4000, 1000) if options.quick else (100_000, 768, 150, 20_000, 4000)
    random = np.random.default_rng(0)
    labels, brains = random.integers(1, n_areas + 1, n), random.integers(0, 4, n)
    features = random.normal(size=(n_areas + 1, d)).astype(np.float32)[labels]
    features += random.normal(size=(n, d)).astype(np.float32)
    ours, peer = area_similarity(features[:few], labels[:few]).mean, all_pairs(features[:few], labels[:few], n_areas)
    apart = float(np.abs(ours - peer).max())
    rounds = 3 if options.quick else 1
    seconds = interleave(
        {
            f"similarity, {few:,} nodes": lambda: area_similarity(features[:few], labels[:few], brains[:few]),
            f"all pairs in chunks, {few:,} nodes": lambda: all_pairs(features[:few], labels[:few], n_areas),
            f"similarity, {n:,} nodes": lambda: area_similarity(features, labels, brains),
            f"silhouettes, {n:,} nodes": lambda: cosine_silhouettes(features, labels),
        },
        rounds,
        time.process_time,
    )
    rows = [[name, str(timing)] for name, timing in seconds.items()]
    maps = {"pca": n, "tsne": mapped} | ({"umap": n} if find_spec("umap") else {})
    for method, size in maps.items():
        start = time.process_time()
        latent_map(features[:size], MapConfig(method=method), 0)
        rows.append([f"map by {method}, {size:,} nodes", f"{time.process_time() - start:.3g} s"])
    names = list(seconds)
    ratio = seconds[names[1]].median / seconds[names[0]].median
    claim = f"{ratio:.0f} times as fast as all pairs at {few:,} nodes; the matrices differ by {apart:.1e} at most"
    title = f"Similarity of {n_areas} areas within and between 4 brains, {d} features"
    return Result(title, ("", "seconds of the processor"), rows, claim, {"ratio": ratio, "difference": apart})


if __name__ == "__main__":
    main(measure, __doc__)
