"""Any parcellation as labels: functional networks, another atlas, on the midsurface or in reference space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cytomesh.analyze.evaluate.areas import MACRO_F1
from cytomesh.analyze.evaluate.heads import name_nodes, node_data
from cytomesh.analyze.evaluate.task import Bench, Encoded, Labels, Named, Outcome, Score, Task, TaskConfig
from cytomesh.core.config import Config
from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import AtlasError, ConfigError, SplitError, did_you_mean
from cytomesh.core.labels import LabelTable, whole_labels
from cytomesh.core.provenance import Inputs, place
from cytomesh.graph.provenance import LINKS, REFERENCE, SURFACE
from cytomesh.study.atlas import read_labels
from cytomesh.study.nifti import open_nifti
from cytomesh.surface.vertex_data import read_vertex_labels

MIN_INSIDE = 0.5
"""Of a volume in the right space, most nodes lie inside its grid."""
LEAST = 2
"""Labels that can be told apart."""


class LabelSource(Config):
    """Where the labels of one parcellation are: files of vertices, or a volume."""

    files: dict[str, Path] = Field(default={})
    """Graph -> .label.gii, .annot or .dlabel.nii with one label per node, {B01_hemi-L: yeo7_L.label.gii}; areas of one
    name are the same. Graphs without a file have no labels."""
    volume: Path | None = None
    """NIfTI volume of whole labels in reference space; a node has the label of the voxel that it lies in."""
    table: Path | None = None
    """Names of the volume's labels (TSV: index, name, r, g, b, a); without it, they are called by their number."""

    @model_validator(mode="after")
    def _one(self) -> LabelSource:
        if bool(self.files) == (self.volume is not None):
            raise ValueError("give either files or a volume")
        if self.table is not None and self.volume is None:
            raise ValueError("files of vertices have their own names: table goes with a volume")
        return self


class ParcellationsConfig(TaskConfig):
    """Parcellations by name, each classified like areas."""

    of: dict[str, LabelSource] = Field(default={})
    """Name -> where its labels are, {yeo7: {files: {...}}}."""


class Parcellations(Task):
    """Macro-F1 of each parcellation, by the protocol's head and split."""

    Config: ClassVar[type[TaskConfig]] = ParcellationsConfig
    parts: ClassVar[tuple[str, ...]] = (SURFACE, LINKS, REFERENCE)
    measures: ClassVar[dict[str, str]] = MACRO_F1

    def reads(self, bench: Bench, digests: FileDigests) -> Inputs:
        """Return the files of labels."""
        paths: dict[str, Path] = {}
        for name, source in self.settings.of.items():
            paths |= {f"labels: {name} of {graph}": path for graph, path in source.files.items()}
            named = {"volume": source.volume, "table": source.table}
            paths |= {f"labels: {name}, {kind}": path for kind, path in named.items() if path is not None}
        return Inputs(files={name: (place(path, bench.run), digests.digest(path)) for name, path in paths.items()})

    def why_absent(self, bench: Bench) -> str:
        """Say that no parcellation is named; one that cannot be used is an error, before any head is trained."""
        for name, source in self.settings.of.items():
            labels, _ = node_labels(bench, source)
            n_labels = np.unique(labels[labels > 0]).size
            if n_labels < LEAST:
                found, expected = f"{n_labels} labels at linked nodes", f"{LEAST} or more"
                raise ConfigError(f"tasks.labels.of.{name}", found=found, expected=expected)
            try:
                node_data(bench, labels, bench.sides(labels))
            except SplitError as error:
                raise error.within(f"tasks.labels.of.{name}", SplitError) from error
        return "" if self.settings.of else "no parcellation is given (labels.of)"

    def score(self, bench: Bench, encoded: Encoded) -> Outcome:
        """Train on the labels of the training side and score on the others, parcellation by parcellation."""
        scores: list[Score] = []
        named: dict[tuple[str, str], Named] = {}
        notes: list[str] = []
        for name, source in self.settings.of.items():
            labels, table = node_labels(bench, source)
            found = name_nodes(bench, encoded, labels, table, name)
            scores += found.scores
            named |= found.named
            notes += [f"{name}: {note}" for note in found.notes]
        return Outcome(scores, named, tuple(notes))


def node_labels(bench: Bench, source: LabelSource) -> tuple[Labels, LabelTable]:
    """Return the label of each linked node, (n,) int32 with 0 for none, and their table.

    Raises
    ------
    ConfigError
        If a graph is named that is not there.
    SurfaceError
        If a file is not of one label per node: it belongs to another mesh.
    AtlasError
        If a volume is none of whole labels, or most nodes lie outside of it.
    """
    if source.volume is not None:
        positions = np.concatenate([graph.reference for graph in bench.graphs])
        labels = sample_labels(source.volume, positions)
        known = np.unique(labels[labels > 0]).tolist()
        table = read_labels(source.table) if source.table else _numbered(known)
        table.check(labels, str(source.volume))
        return np.where(bench.is_linked, labels, 0).astype(np.int32), table
    graphs = {graph.name: graph for graph in bench.graphs}
    for name in source.files:
        if name not in graphs:
            hint = did_you_mean(name, graphs, f"there are {', '.join(graphs)}")
            raise ConfigError("labels.of", f"files, {name}", found="no graph of this name", hint=hint)
    read = {
        name: read_vertex_labels(path, graphs[name].n_nodes, graphs[name].hemisphere)
        for name, path in source.files.items()
    }
    table = LabelTable.from_names(list(dict.fromkeys(name for _, own in read.values() for name in own.names)))
    parts = [
        _renumbered(*read[name], table) if name in read else np.zeros(graph.n_nodes, np.int32)
        for name, graph in graphs.items()
    ]
    return np.where(bench.is_linked, np.concatenate(parts), 0).astype(np.int32), table


def sample_labels(path: Path, positions: NDArray[np.float64]) -> Labels:
    """Return the label of the voxel that each position, (n, 3) mm, lies in, (n,) int32; 0 outside of the volume.

    Raises
    ------
    AtlasError
        If the volume is missing, not of whole labels, or most positions lie outside of it.
    """
    volume = open_nifti(path, AtlasError, missing="no such volume of labels")
    values = volume.read()
    if values.ndim != 3:
        raise AtlasError(path, found=f"shape {values.shape}", expected="three dimensions of whole labels")
    with_one = np.column_stack([positions, np.ones(len(positions))])
    voxels = np.rint((with_one @ np.linalg.inv(volume.affine).T)[:, :3]).astype(np.int64)
    is_inside = ((voxels >= 0) & (voxels < values.shape)).all(axis=1)
    if is_inside.mean() < MIN_INSIDE:
        found = f"{int((~is_inside).sum()):,} of {len(positions):,} nodes outside of the volume"
        hint = "is it in the study's reference space?"
        raise AtlasError(path, found=found, expected="most of them inside", hint=hint)
    labels = np.zeros(len(positions), np.int32)
    try:
        labels[is_inside] = whole_labels(values[tuple(voxels[is_inside].T)])
    except AtlasError as error:
        raise error.within(str(path), AtlasError) from error
    return labels


def _numbered(labels: list[int]) -> LabelTable:
    names = [f"label {label}" for label in labels]
    return LabelTable(tuple(labels), tuple(names), LabelTable.from_names(names).colours)


def _renumbered(labels: Labels, own: LabelTable, table: LabelTable) -> Labels:
    """Return labels as another table that has the same names numbers them."""
    numbers: Mapping[int, int] = {0: 0} | {index: table.index(name) for index, name, _ in own.rows()}
    known, position = np.unique(labels, return_inverse=True)
    return np.array([numbers[int(label)] for label in known], np.int32)[position]
