"""Structural variation: columns of the nodes regressed on features, by the functions of `cytomesh variation`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from cytomesh.analyze.evaluate.task import COORDINATES, Bench, Encoded, Outcome, Score, Task, TaskConfig
from cytomesh.analyze.explain import Explained, explain, location_terms
from cytomesh.analyze.folds import FoldsConfig, make_folds
from cytomesh.analyze.measures import measures_read
from cytomesh.analyze.variation import NOT_READ, target_names, target_values, together
from cytomesh.core.config import ascending
from cytomesh.core.digests import FileDigests
from cytomesh.core.provenance import Inputs
from cytomesh.graph.provenance import PARTS


class StructureConfig(TaskConfig):
    """R2 of regressions on principal components, as of `cytomesh variation`."""

    targets: list[str] = Field(default=[])
    """Columns of nodes.parquet, or of what another analysis measured at nodes ("cells:density_per_mm3"); by default
    reference coordinates, thickness, curvature, sulcal depth and obliqueness, as far as all graphs have them."""
    components: list[int] = Field(default=[1, 2, 4, 8, 16, 32, 64, 128, 256], min_length=1)
    """Numbers of principal components; the table shows the last one."""
    folds: FoldsConfig = FoldsConfig()
    """What is left out in turn."""

    @field_validator("components")
    @classmethod
    def _ascending(cls, components: list[int]) -> list[int]:
        return ascending(components, 1, "components")


class Structure(Task):
    """R2 by target on left-out nodes, with all components, by their number, and beyond location."""

    Config: ClassVar[type[TaskConfig]] = StructureConfig
    parts: ClassVar[tuple[str, ...]] = tuple(part for part in PARTS if part not in NOT_READ)
    protocol: ClassVar[tuple[str, ...]] = ("seed",)
    measures: ClassVar[dict[str, str]] = {"r2": "R²", "beyond_location": "R² beyond location"}

    def why_absent(self, bench: Bench) -> str:
        """Raise if a target is not there, before any head is trained."""
        names = target_names(bench.graphs, self.settings.targets)
        for graph in bench.graphs:
            target_values(bench.run, graph, names)
        return ""

    def reads(self, bench: Bench, digests: FileDigests) -> Inputs:
        """Return the tables of other analyses that hold targets."""
        return measures_read(bench.run, bench.graphs, self.settings.targets, digests)

    def score(self, bench: Bench, encoded: Encoded) -> Outcome:
        """Regress every target; the baseline `coordinates` is what `cytomesh variation` calls location."""
        graphs, linked = bench.graphs, bench.is_linked
        names = target_names(graphs, self.settings.targets)
        y = np.concatenate([target_values(bench.run, graph, names) for graph in graphs])[linked]
        fold = make_folds(graphs, self.settings.folds, bench.settings.seed)[linked]
        places = np.concatenate([graph.mirrored_reference for graph in graphs])[linked]
        features = encoded.features[linked]
        groups, notes = together(y, names, bench.sections[linked], fold)
        found: list[Score] = []
        for columns, nodes in groups:
            location = location_terms(places[nodes])
            source = f"{encoded.name}: {', '.join(names[column] for column in columns)}"
            of_nodes = (y[nodes][:, columns], fold[nodes])
            if encoded.name == COORDINATES:
                nothing, counts = np.zeros((len(nodes), 0)), [location.shape[1]]
                explained = explain(location, nothing, *of_nodes, counts, source=source)
            else:
                counts = self.settings.components
                explained = explain(features[nodes], location, *of_nodes, counts, source=source)
            for i, column in enumerate(columns):
                found += self._scores(explained, i, names[column], counts)
        return Outcome(found, notes=tuple(f"variation: {note}" for note in notes))

    def _scores(self, found: Explained, i: int, target: str, counts: list[int]) -> Iterator[Score]:
        left_out = f"left-out {self.settings.folds.kind}s"
        for f in range(len(found.r2)):
            numbers = {"r2": found.r2[f, -1, i], "beyond_location": found.beyond[f, i]}
            for measure, value in numbers.items():
                if np.isfinite(value):
                    yield Score(target, left_out, measure, float(value), repeat=f)
            for k, count in enumerate(counts):
                if np.isfinite(found.r2[f, k, i]):
                    yield Score(target, left_out, "r2_by_components", float(found.r2[f, k, i]), count, f)
