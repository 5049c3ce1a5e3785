"""Do parcels come back in the other hemisphere? `python -m benchmarks.parcellate.reproducibility`.

BigBrain, 10k nodes, K = 43: left and right are parcellated on their own; vertices of the two meshes correspond, so that
the parcels of one hemisphere are carried to the other. Agreement (AMI, ARI) over that with the carried parcels rotated
on the sphere (20 spins), because any two tilings agree. Then both in one graph, joined across the midline, where the
parcels of both sides are cut together: the same score.
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
from cytomesh.core.tables import read_table
from cytomesh.graph.storage import load_graphs, load_surface
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.evaluate import agreement
from cytomesh.parcellate.nulls import spin_sources
from cytomesh.parcellate.run import parcellate_run

METHODS = ("diffusion", "types", "spectral", "ward")
COLUMNS = ("method", "AMI over null", "null SDs", "ARI over null", "AMI", "over null, one graph", "null SDs ")
PLAIN = ["evaluation={spins: 2, tilings: 2, baselines: []}"]


def measure(options: Options) -> Result:
    """Carry parcels from left to right; the quick form leaves types out and takes 10 spins."""
    bigbrain = options.bigbrain()
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        write_run(bigbrain, "10k", "economo", run)
        left, right = load_graphs(run)
        sphere = load_surface(run, left.name, "sphere").vertices
        everywhere = np.arange(left.n_nodes)
        sources = spin_sources(sphere, everywhere, 10 if options.quick else 20, 0)
        for method in METHODS if not options.quick else ("diffusion", "spectral", "ward"):
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
    main(measure, __doc__)
