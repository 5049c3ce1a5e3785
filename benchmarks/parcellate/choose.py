"""Does the agreement of halves find the better method? `python -m benchmarks.parcellate.choose`.

What `parcellate` chooses its method by, which reads no area: how much more the parcels from two halves of the sections
agree than either does with parcels that the same method makes of random numbers (AMI). Beside it, how much more the
parcels agree with the areas than with areas rotated on the sphere (10 spins). BigBrain, 10k nodes, von Economo's areas,
means of both hemispheres; with `--run RUN` that run, which is only read, with as many parcels as it has areas.
Claim: of diffusion and Ward's method the one that halves choose is no worse by the areas.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bigbrain.nodes import write_run
from benchmarks.common import Options, Result, main
from cytomesh.core.config import load_config
from cytomesh.graph.storage import load_graphs
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run

METHODS = ("diffusion", "ward", "feature_clusters", "spectral")
SCORES = ("halves_ami_over_noise", "halves_ami_over_geometry", "ami_over_spin", "ari_over_spin")
COLUMNS = ("method", "halves over noise", "halves over geometry", "areas over spins, AMI", "ARI")
PLAIN = ("evaluation.baselines=[]", "evaluation.spins=10")


def measure(options: Options) -> Result:
    """Parcellate by each method; the quick form takes the two that are compared by default."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        if options.run is None:
            write_run(options.bigbrain(), "10k", "economo", run)
        else:
            for name in ("graphs", "features", "register", "study.json"):
                (run / name).symlink_to((options.run / name).resolve())
        encoder = min(path.name for path in (run / "features").iterdir() if "untrained" not in path.name)
        areas = np.unique(np.concatenate([graph.annotation for graph in load_graphs(run)]))
        plain = [f"encoder={encoder}", f"n_parcels={(areas > 0).sum()}", *PLAIN]
        rows = [_row(run, method, plain) for method in METHODS[: 2 if options.quick else None]]
    chosen, other = sorted(rows[:2], key=lambda row: float(row[1]), reverse=True)
    claim = f"halves choose {chosen[0]}: {chosen[3]:+.3f} AMI over spins, {other[0]} {other[3]:+.3f}"
    return Result("Methods by the halves of the sections, and by areas", COLUMNS, rows, claim)


def _row(run: Path, method: str, plain: list[str]) -> list[Any]:
    settings = load_config(ParcellateConfig, None, [*plain, f"method={method}"])
    found = parcellate_run(run, method, settings, allow_stale=True)
    return [method, *(float(np.mean([of[score] for of in found.values()])) for score in SCORES)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(measure, __doc__, takes_run=True)
