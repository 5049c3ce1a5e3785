"""Cortical layers by a decoder on each encoder: the scores of a finished `cytomesh segment-layers`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cytomesh.analyze.evaluate.task import COORDINATES, Bench, Encoded, Outcome, Score, Task, TaskConfig
from cytomesh.analyze.layers.methods import DEPTH
from cytomesh.analyze.layers.run import summary
from cytomesh.classify.evaluation import EVALUATIONS
from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import ConfigError
from cytomesh.core.files import read_object
from cytomesh.core.provenance import Inputs
from cytomesh.core.reading import reading
from cytomesh.core.run import check_name

LAYERS = "layers"
METRICS = "metrics.json"


class SegmentationConfig(TaskConfig):
    """Layers I-VI in sections, as `cytomesh segment-layers` scored them by its own split."""

    of: str = LAYERS
    """Name of the finished `segment-layers` of this run that has a decoder on each encoder (its `encoders`)."""


class Segmentation(Task):
    """Macro-F1 of layers, and errors of their boundaries and thickness, on the sides of that analysis.

    Decoders learn from pixels and take long: they are trained once, by their own command. Its baselines stand in the
    columns of the same idea: its `profiles` at features of that name, depth alone at `coordinates`.
    """

    Config: ClassVar[type[TaskConfig]] = SegmentationConfig
    protocol: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[dict[str, str]] = {
        "macro_f1": "macro-F1",
        "boundary_um": "boundary error (µm)",
        "thickness_error_mm": "thickness error (mm)",
    }

    def reads(self, bench: Bench, digests: FileDigests) -> Inputs:
        """Return the scores of the analysis."""
        product, path = f"analyze/{self.settings.of}", _path(bench.run, self.settings.of)
        return Inputs(products={f"scores: {self.settings.of}": (product, METRICS, digests.digest(path))})

    def why_absent(self, bench: Bench) -> str:
        """Say that the analysis is not there."""
        of = self.settings.of
        if not _path(bench.run, of).is_file():
            return f"no finished 'cytomesh segment-layers' of the name '{of}'"
        layer_scores(bench.run, of)
        return ""

    def score(self, bench: Bench, encoded: Encoded) -> Outcome:
        """Take the scores of this encoder's decoder."""
        of, method = self.settings.of, DEPTH if encoded.name == COORDINATES else encoded.name
        scores = layer_scores(bench.run, of)
        found = [
            Score(LAYERS, side, measure, float(value))
            for side in EVALUATIONS
            for measure, value in scores.get(f"{method}: {side}", {}).items()
            if np.isfinite(value)
        ]
        note = f"layers: analyze/{of} has no decoder on {encoded.name}"
        return Outcome(found, notes=() if found else (note,))


def layer_scores(run: Path, name: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the scores of a `segment-layers`, by "method: side".

    Raises
    ------
    ConfigError
        If the analysis is another one.
    """
    path = _path(run, name)
    metrics = read_object(path)
    if metrics.get("kind") != LAYERS:
        found, expected = f"a result of kind '{metrics.get('kind')}'", "one of cytomesh segment-layers"
        raise ConfigError("tasks.layers.of", name, found=found, expected=expected)
    with reading(path):
        return summary(metrics)


def _path(run: Path, name: str) -> Path:
    return run / "analyze" / check_name(name, "tasks.layers.of") / METRICS
