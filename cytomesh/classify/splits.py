"""Who trains, who validates, who tests: by section, hemisphere or brain, never by single node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cytomesh.core.config import Config
from cytomesh.core.errors import SplitError, did_you_mean
from cytomesh.core.random import generator
from cytomesh.graph.neighbourhoods import Mask, nearest_source
from cytomesh.graph.storage import CortexGraph

NONE, TRAIN, VALIDATION = "", "train", "validation"
BLOCKS_PER_GRAPH = 40
MAX_BESIDE = 0.5
"""Test nodes that may have a training node as neighbour, a share."""
LISTED = 12
"""Values that an error names at most: a column may have thousands."""
KEPT_SHARE = 1 / 3
"""Every area keeps at least this share of its nodes on the training side when blocks go to validation."""


class SectionSplit(Config):
    """By the sections' roles in brains with role `train`; all labels of other brains serve evaluation only."""

    kind: Literal["section"] = "section"


class HemisphereSplit(Config):
    """Train on one hemisphere, test on the other."""

    kind: Literal["hemisphere"]
    train: list[Literal["L", "R"]] = Field(default=["L"], min_length=1)
    """Hemispheres of the training side."""
    test: list[Literal["L", "R"]] = Field(default=["R"], min_length=1)
    """Hemispheres of the test side."""
    validation: float = Field(default=0.15, ge=0, lt=0.5)
    """Share of the training side's nodes, in contiguous blocks, kept for validation; 0 trains on all of it."""


class BrainSplit(Config):
    """Train on some brains, test on others."""

    kind: Literal["brain"]
    train: list[str] = Field(min_length=1)
    """Brains of the training side."""
    test: list[str] = Field(min_length=1)
    """Brains of the test side."""
    validation: list[str] | float = 0.15
    """Brains for validation, or the share of the training side's nodes kept for it in contiguous blocks."""


class ColumnSplit(Config):
    """Split by a node column, such as blocks or sections of imported graphs; its values are compared as text."""

    kind: Literal["column"]
    column: str
    """Column of the nodes."""
    train: list[str] = Field(min_length=1)
    """Values of the training side."""
    test: list[str] = Field(min_length=1)
    """Values of the test side."""
    validation: list[str] | float = 0.15
    """Values for validation, or the share of the training side's nodes kept for it in contiguous blocks."""


Split = Annotated[SectionSplit | HemisphereSplit | BrainSplit | ColumnSplit, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class NodeSplit:
    """The side of each labelled node.

    Parameters
    ----------
    sides : list of (n,) str
        One array per graph: "train", "validation", an evaluation side ("seen", "transfer", "unseen", "test"), or ""
        for nodes without a label or a part in it.
    notes : tuple of str
        What a reader of the scores should know.
    """

    sides: list[NDArray[np.str_]]
    notes: tuple[str, ...]

    def masks(self, side: str) -> list[Mask]:
        """Return one boolean array a graph."""
        return [sides == side for sides in self.sides]

    @property
    def evaluations(self) -> tuple[str, ...]:
        """Evaluation sides with at least one node, in order."""
        present = {str(side) for sides in self.sides for side in np.unique(sides)}
        return tuple(side for side in ("seen", "transfer", "unseen", "test") if side in present)


def make_split(
    graphs: Sequence[CortexGraph],
    labels: Sequence[NDArray[np.int32]],
    settings: SectionSplit | HemisphereSplit | BrainSplit | ColumnSplit,
    seed: int,
) -> NodeSplit:
    """Assign every labelled node to a side.

    Raises
    ------
    SplitError
        If no node has a label, a side is empty, or something is on two sides.
    """
    if not any((values > 0).any() for values in labels):
        hint = "annotate sections, or name 'labels' in the manifest of 'graph import', and make the graphs again"
        raise SplitError("graphs", found="no node with a label", expected="some to learn from", hint=hint)
    if isinstance(settings, SectionSplit):
        split = _by_section(graphs, labels)
    else:
        named = settings.validation if isinstance(settings.validation, list) else []
        _disjoint(settings.kind, settings.train, settings.test, named)
        split = _by_group(graphs, labels, [_groups(graph, settings) for graph in graphs], settings, seed)
    if isinstance(settings, ColumnSplit):
        _not_scattered(graphs, split, settings.column)
    _not_empty(split, _other_splits(graphs) if isinstance(settings, SectionSplit) else "")
    return split


def _by_section(graphs: Sequence[CortexGraph], labels: Sequence[NDArray[np.int32]]) -> NodeSplit:
    if not any((graph.section >= 0).any() for graph in graphs):
        raise SplitError(
            "split", "kind: section", found="graphs of which no node has a section", hint=_other_splits(graphs)
        )
    _one_role_a_section(graphs)
    sides = []
    for graph, values in zip(graphs, labels, strict=True):
        if graph.brain_role == "train":
            known = {"train": TRAIN, "val": VALIDATION, "test": "seen"}
            side = np.array([known.get(role, NONE) for role in graph.section_role.tolist()], "<U10")
        else:
            side = np.full(graph.n_nodes, graph.brain_role, "<U10")
        sides.append(np.where(values > 0, side, NONE))
    return NodeSplit(sides, ())


def _other_splits(graphs: Sequence[CortexGraph]) -> str:
    """Say which splits these graphs allow, as they are written on the command line."""
    ways = []
    if len({graph.hemisphere for graph in graphs}) > 1:
        ways.append("--set 'split={kind: hemisphere}' (trains on L, tests on R)")
    brains = list(dict.fromkeys(graph.brain for graph in graphs))
    if len(brains) > 1:
        ways.append(f"--set 'split={{kind: brain, train: [{', '.join(brains[:-1])}], test: [{brains[-1]}]}}'")
    ways.append("--set 'split={kind: column, column: NAME, train: [...], test: [...]}' with a column of your nodes")
    return ", or ".join(ways)


def _one_role_a_section(graphs: Sequence[CortexGraph]) -> None:
    roles: dict[tuple[str, int], str] = {}
    for graph in graphs:
        pairs = np.unique(np.stack([graph.section.astype(str), graph.section_role.astype(str)]), axis=1)
        for section, role in pairs.T.tolist():
            if section == "-1":
                continue
            before = roles.setdefault((graph.brain, int(section)), role)
            if before != role:
                found = f"both '{before}' and '{role}'"
                hint = "give the section one role in the section table and build the graph again"
                raise SplitError(
                    graph.brain, f"section {section}", found=found, expected="one side of the split", hint=hint
                )


def _groups(graph: CortexGraph, settings: HemisphereSplit | BrainSplit | ColumnSplit) -> NDArray[np.str_]:
    """Return what each node is sorted by."""
    if isinstance(settings, HemisphereSplit):
        return np.full(graph.n_nodes, graph.hemisphere)
    if isinstance(settings, BrainSplit):
        return np.full(graph.n_nodes, graph.brain)
    if settings.column not in graph.nodes:
        known = [name for name in graph.nodes.columns if name != "pmap"]
        found, hint = f"no column '{settings.column}'", did_you_mean(settings.column, known)
        raise SplitError(graph.name, found=found, expected=f"one of {', '.join(known)}", hint=hint)
    return np.asarray(graph.nodes[settings.column]).astype(str)


def _by_group(
    graphs: Sequence[CortexGraph],
    labels: Sequence[NDArray[np.int32]],
    groups: Sequence[NDArray[np.str_]],
    settings: HemisphereSplit | BrainSplit | ColumnSplit,
    seed: int,
) -> NodeSplit:
    validation = settings.validation
    named: dict[str, Sequence[str]] = {TRAIN: settings.train, "test": settings.test}
    if isinstance(validation, list):
        named[VALIDATION] = validation
    known = sorted({str(name) for of_graph in groups for name in np.unique(of_graph)})
    what = f"value of '{settings.column}'" if isinstance(settings, ColumnSplit) else settings.kind
    for part, wanted in named.items():
        if unknown := [value for value in wanted if value not in known]:
            found = f"no {what} {', '.join(unknown)} in this run"
            hint = _other_splits(graphs) if isinstance(settings, HemisphereSplit) else did_you_mean(unknown[0], known)
            raise SplitError(f"split.{part}", found=found, expected=f"among {_listed(known)}", hint=hint)
    side_of = {value: part for part, wanted in named.items() for value in wanted}
    sides = []
    for values, of_graph in zip(labels, groups, strict=True):
        names, position = np.unique(of_graph, return_inverse=True)
        side = np.array([side_of.get(str(name), NONE) for name in names], "<U10")[position]
        sides.append(np.where(values > 0, side, NONE))
    notes: tuple[str, ...] = ()
    if isinstance(validation, float) and validation > 0:
        for graph, values, side in zip(graphs, labels, sides, strict=True):
            train = np.where(side == TRAIN, values, 0)
            side[validation_blocks(graph, train, validation, seed)] = VALIDATION
        notes = ("validation nodes are contiguous blocks beside training nodes: their score is optimistic",)
    return NodeSplit(sides, notes)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _not_scattered(graphs: Sequence[CortexGraph], split: NodeSplit, column: str) -> None:
    """Refuse test nodes strewn among training nodes: neighbours are alike, whatever a model has learnt."""
    beside = [
        graph.adjacency @ train.astype(float) > 0 for graph, train in zip(graphs, split.masks(TRAIN), strict=True)
    ]
    tests = split.masks("test")
    n_tests = sum(int(test.sum()) for test in tests)
    n_beside = sum(int((test & near).sum()) for test, near in zip(tests, beside, strict=True))
    if n_beside > MAX_BESIDE * n_tests:
        found = f"{n_beside} of {n_tests} test nodes with a training node as neighbour"
        hint = "split by what lies apart: hemispheres, brains, sections or large blocks"
        raise SplitError("split", f"column '{column}'", found=found, expected="sides that lie apart", hint=hint)


def validation_blocks(graph: CortexGraph, labels: NDArray[np.int32], share: float, seed: int) -> Mask:
    """Choose contiguous blocks (Voronoi cells by hops around random nodes) with about `share` of the labelled nodes."""
    random = generator(seed, "validation blocks", graph.name)
    labelled = np.flatnonzero(labels > 0)
    chosen = np.zeros(graph.n_nodes, bool)
    if not labelled.size:
        return chosen
    centres = np.sort(random.choice(labelled, min(BLOCKS_PER_GRAPH, labelled.size), replace=False))
    block = nearest_source(graph.adjacency, centres)
    areas, position = np.unique(labels, return_inverse=True)  # labels may be large numbers: never an array's size
    is_area = areas > 0
    kept = np.bincount(position[labelled], minlength=areas.size)
    floor = np.ceil(kept * KEPT_SHARE)
    for i in random.permutation(centres.size):
        inside = (block == i) & (labels > 0)
        rest = kept - np.bincount(position[inside], minlength=areas.size)
        if (rest < floor)[is_area].any():
            continue
        kept = rest
        chosen |= inside
        if chosen.sum() >= share * labelled.size:
            break
    return chosen


def _disjoint(what: str, *sides: Sequence[str]) -> None:
    names = [name for side in sides for name in side]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        found = f"{what} {', '.join(doubles)} on two sides"
        raise SplitError("split", found=found, expected="each in one of split.train, split.test and split.validation")


def _not_empty(split: NodeSplit, others: str) -> None:
    hint = "check brain and section roles, and that the annotated sections are linked to nodes (qc.json of the graphs)"
    hint += f"; or {others}" if others else ""
    if not any(mask.any() for mask in split.masks(TRAIN)):
        raise SplitError("split", "train", found="no labelled node", expected="some", hint=hint)
    if not split.evaluations:
        raise SplitError("split", "test", found="no labelled node", expected="some", hint=hint)
