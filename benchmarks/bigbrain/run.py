"""A run directory with both BigBrain hemispheres: the one given by --run, or one built for the occasion."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bigbrain.prepare import section_a, write_study
from benchmarks.common import Options
from cytomesh.core.config import load_config
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig

SETTINGS = Path(__file__).resolve().parents[2] / "configs" / "build-graph" / "bigbrain.yaml"
QUICK = ("surface.voxel_mm=0.5", "surface.edge_length_mm=1.5")


@contextmanager
def built_run(options: Options) -> Iterator[Path]:
    """Yield a run directory; without --run, prepare and build-graph write one that is removed afterwards."""
    if options.run is not None:
        yield options.run
        return
    with tempfile.TemporaryDirectory() as folder:
        bigbrain = options.bigbrain()
        manifest = write_study(bigbrain, section_a(bigbrain), Path(folder) / "study")
        settings = load_config(BuildGraphConfig, SETTINGS, QUICK if options.quick else ())
        build_graphs(manifest, Path(folder) / "run", settings)
        yield Path(folder) / "run"
