"""Do parcels come back in the other hemisphere, or another brain? `python -m benchmarks.parcellate.reproducibility`.

BigBrain, 10k nodes, K = 43: left and right are parcellated on their own; vertices of the two meshes correspond, so that
the parcels of one hemisphere are carried to the other. Agreement (AMI, ARI) over that with the carried parcels rotated
on the sphere (20 spins), because any two tilings agree. Then both in one graph, joined across the midline, where the
parcels of both sides are cut together: the same score.

With `--run RUN` (the demo's run directory, say) brain to brain and half to half of the sections in that run instead,
with as many parcels as it has areas: AMI over that of parcels which the same method makes of random numbers, and over
that of geometry-only parcels; then all brains in one graph.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bigbrain.nodes import write_run
from benchmarks.common import Options, Result, main
from benchmarks.parcellate.cytoarchitecture import SETTINGS
from cytomesh.core.config import load_config
from cytomesh.core.files import read_json
from cytomesh.core.progress import log
from cytomesh.core.tables import read_table
from cytomesh.graph.nulls import rotations, spin_sources
from cytomesh.graph.storage import load_graphs, load_surface
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.evaluate import agreement
from cytomesh.parcellate.run import parcellate_run

METHODS = ("diffusion", "feature_clusters", "spectral", "ward")
COLUMNS = ("method", "AMI over null", "null SDs", "ARI over null", "AMI", "over null, one graph", "null SDs ")
PLAIN = ["evaluation={spins: 2, tilings: 2, baselines: [], stability: {splits: 0}}"]


BRAIN_COLUMNS = (
    "method",
    "brains, AMI over noise",
    "over geometry",
    "AMI",
    "halves, AMI over noise",
    "over geometry ",
    "AMI ",
    "brains in one graph, over noise",
)
WITH_NULLS = "evaluation={spins: 0, tilings: 3, baselines: [], stability: {splits: 1, nulls: 2}}"


def measure(options: Options) -> Result:
    """Carry parcels to the other hemisphere, or between the brains of a run; the quick form leaves types out."""
    methods = [method for method in METHODS if not (options.quick and method == "feature_clusters")]
    return between_brains(options.run, methods) if options.run else left_to_right(options, methods)


def between_brains(source: Path, methods: list[str]) -> Result:
    """Compare the brains of a run, and the halves of their sections; the run itself is only read."""
    rows: list[list[Any]] = []
    n_areas = len(np.unique(np.concatenate([np.unique(g.annotation[g.annotation > 0]) for g in load_graphs(source)])))
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        for name in ("graphs", "features"):
            (run / name).symlink_to((source / name).resolve())
        encoder = min(path.name for path in (run / "features").iterdir() if "untrained" not in path.name)
        plain = [f"n_parcels={n_areas}", f"encoder={encoder}", WITH_NULLS]
        for method in methods:
            found = {}
            for name, brains in (("each", "separate"), ("joint", "joint")):
                settings = load_config(ParcellateConfig, None, [*plain, f"method={method}", f"joint.brains={brains}"])
                parcellate_run(run, name, settings)
                found[name] = read_json(run / "parcellate" / name / "metrics.json")
            pairs = [pair["ami"] for pair in found["each"]["brains"]]
            halves = [metrics["stability"]["halves"]["ami"] for metrics in found["each"]["graphs"].values()]
            numbers = [_mean(some, key) for some in (pairs, halves) for key in ("over_noise", "over_geometry", "score")]
            rows.append([method, *numbers, _mean([pair["ami"] for pair in found["joint"]["brains"]], "over_noise")])
            log(f"{method}: {numbers}")
    claim = "brain to brain, AMI over noise: " + ", ".join(f"{row[0]} {row[1]:+.3f}" for row in rows)
    return Result(f"Parcels of one brain in another, {encoder} features, K = {n_areas}", BRAIN_COLUMNS, rows, claim)


def _mean(entries: list[dict[str, float]], key: str) -> float:
    return float(np.mean([entry[key] for entry in entries]))


def left_to_right(options: Options, methods: list[str]) -> Result:
    """Carry parcels from left to right in BigBrain; the quick form takes 10 spins."""
    bigbrain = options.bigbrain()
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        write_run(bigbrain, "10k", "economo", run)
        left, right = load_graphs(run)
        sphere = load_surface(run, left.name, "sphere").vertices
        sources = [spin_sources(sphere, turn) for turn in rotations(10 if options.quick else 20, 0)]
        for method in methods:
            settings = load_config(ParcellateConfig, SETTINGS, [*PLAIN, f"method={method}"])
            parcellate_run(run, method, settings)
            one, two = (read_table(run / "parcellate" / method / f"{g.name}.parquet")["parcel"] for g in (left, right))
            score, over, spread = _over_null(one, two, sources)
            together = load_config(
                ParcellateConfig, SETTINGS, [*PLAIN, f"method={method}", "joint.hemispheres=mirrored"]
            )
            parcellate_run(run, "together", together)
            pair = (read_table(run / "parcellate" / "together" / f"{g.name}.parquet")["parcel"] for g in (left, right))
            _, over_together, spread_together = _over_null(*pair, sources)
            numbers = [over["ami"], over["ami"] / spread, over["ari"], score["ami"]]
            rows.append([method, *numbers, over_together["ami"], over_together["ami"] / spread_together])
    claim = "left to right, AMI over null: " + ", ".join(f"{row[0]} {row[1]:+.3f} ({row[2]:.1f} SD)" for row in rows)
    return Result("BigBrain 10k nodes: parcels of the left hemisphere on the right", COLUMNS, rows, claim)


def _over_null(
    one: NDArray[Any], two: NDArray[Any], sources: list[NDArray[np.int64]]
) -> tuple[dict[str, float], dict[str, float], float]:
    """Return the agreement of two sets of parcels, that over the first rotated, and the SD of the AMI of those."""
    kept = two > 0
    score = agreement(two[kept], one[kept])
    null = [agreement(two[kept], one[source][kept]) for source in sources]
    over = {name: score[name] - float(np.mean([row[name] for row in null])) for name in score}
    return score, over, float(np.std([row["ami"] for row in null], ddof=1))


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
