"""Parcels from real BigBrain profiles, 10k nodes, against economo and Julich-Brain areas, over the spin null.

References of the data's README (left, K = 43, economo; AMI and its spin null): spectral on mesh edges 0.639 / 0.628,
Voronoi 0.642 / 0.633, Ward 0.603 / 0.561, k-means 0.410 / 0.349. A high AMI alone says nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bigbrain.nodes import write_run
from benchmarks.common import Options, Result, main
from cytomesh.core.config import load_config
from cytomesh.core.files import read_json
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run

SETTINGS = Path(__file__).resolve().parents[2] / "configs" / "parcellate" / "bigbrain.yaml"
COLUMNS = ("labels, hemisphere, method", "parcels", "AMI over null", "in null SD", "AMI", "ARI", "NMI")


def measure(options: Options) -> Result:
    """Parcellate both hemispheres; the quick form takes economo and 10 spins."""
    bigbrain = options.bigbrain()
    rows: list[list[Any]] = []
    for key in ("economo",) if options.quick else ("economo", "julich26"):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            write_run(bigbrain, "10k", key, run)
            settings = load_config(ParcellateConfig, SETTINGS, ["evaluation.spins=10"] if options.quick else [])
            parcellate_run(run, "parcels", settings)
            for name, metrics in read_json(run / "parcellate" / "parcels" / "metrics.json")["graphs"].items():
                methods = {settings.method: metrics, **metrics["baselines"]}
                rows += [_row(f"{key}, {name[-1]}, {method}", facts) for method, facts in methods.items()]
    own = [row for row in rows if row[0].endswith(settings.method)]
    others = [row for row in rows if not row[0].endswith(settings.method)]
    claim = (
        f"{settings.method}: AMI over null {min(row[2] for row in own):+.3f} to {max(row[2] for row in own):+.3f};"
        f" best of the others {max(row[2] for row in others):+.3f}"
    )
    return Result("BigBrain 10k nodes: parcels from profiles and layer thickness", COLUMNS, rows, claim)


def _row(name: str, facts: dict[str, Any]) -> list[Any]:
    areas = facts["areas"]
    scores = [areas[score]["score"] for score in ("ami", "ari", "nmi")]
    return [name, facts["n_parcels"], areas["ami"]["over_spin"], areas["ami"]["over_spin_sd"], *scores]


if __name__ == "__main__":
    main(measure, __doc__)
