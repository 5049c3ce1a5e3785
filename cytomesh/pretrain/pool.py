"""All patches that pretraining may draw from: the linked nodes of the chosen brains, with what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError, MissingStageError
from cytomesh.graph.storage import CortexGraph
from cytomesh.pretrain.batch import PatchBatch
from cytomesh.study.sections import Section
from cytomesh.study.study import Study
from cytomesh.surface.mesh import Mesh

COLUMNS = (
    "position",
    "normal",
    "is_right",
    "vertex",
    "area_mm2",
    "section",
    "brain",
    "annotation",
    "held_out",
)


@dataclass(frozen=True, slots=True)
class SectionPatches:
    """The patches of one section.

    Parameters
    ----------
    section : Section
    image : Path
        Its image.
    pixels : (n, 2) float64
        (column, row) of the centres, full-resolution pixels.
    angles_deg : (n,) float64
        Direction of the pial side.
    rows : (n,) int64
        Where these patches stand in the pool (in the graph, for `graph_sections`).
    """

    section: Section
    image: Path
    pixels: NDArray[np.float64]
    angles_deg: NDArray[np.float64]
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PatchPool:
    """Patches to draw from, one row each.

    Parameters
    ----------
    position, normal : (n, 3) float64
        Reference space, mm, and the unit normal of the cortex; those of right hemispheres are mirrored if so wanted.
    is_right : (n,) bool
        Whether a patch lies in a right hemisphere that was not mirrored.
    vertex : (n,) int64
        Nearest vertex of the reference midsurface (see `template`); -1 until `place_on_template`.
    area_mm2 : (n,) float64
        Cortex that a node stands for.
    section, brain : (n,) int64
        Numbers, unique over the pool.
    annotation : (n,) int64
        Areas on training sections of training brains, 0 elsewhere: no label of a test section takes part in training.
    held_out : (n,) int64
        Areas on validation sections of training brains, 0 elsewhere: what monitoring is scored on.
    probability : (n, n_areas) CSR float32
        Area probabilities; no columns without an atlas.
    sections : tuple of SectionPatches
        `sections[i]` holds the patches whose section number is i.
    """

    position: NDArray[np.float64]
    normal: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    vertex: NDArray[np.int64]
    area_mm2: NDArray[np.float64]
    section: NDArray[np.int64]
    brain: NDArray[np.int64]
    annotation: NDArray[np.int64]
    held_out: NDArray[np.int64]
    probability: sp.csr_matrix
    sections: tuple[SectionPatches, ...]

    def __len__(self) -> int:
        return len(self.position)

    @property
    def areas(self) -> NDArray[np.int64]:
        """Areas that are annotated for training, ascending."""
        return np.unique(self.annotation[self.annotation > 0])

    def batch(self, rows: NDArray[np.int64]) -> PatchBatch:
        """Return what objectives may know of some patches."""
        return PatchBatch(
            node=torch.from_numpy(rows),
            position=torch.from_numpy(self.position[rows].astype(np.float32)),
            normal=torch.from_numpy(self.normal[rows].astype(np.float32)),
            vertex=torch.from_numpy(self.vertex[rows]),
            section=torch.from_numpy(self.section[rows]),
            brain=torch.from_numpy(self.brain[rows]),
            area=torch.from_numpy(self.annotation[rows]),
            probability=torch.from_numpy(self.probability[rows].toarray().astype(np.float32, copy=False)),
        )


def build_pool(
    study: Study, graphs: Sequence[CortexGraph], roles: Sequence[str], *, mirrored: bool = False
) -> PatchPool:
    """Collect the linked nodes of the brains with the given roles.

    Parameters
    ----------
    mirrored : bool
        Mirror right hemispheres at the plane x = 0 of the reference space, onto the left.

    Raises
    ------
    MissingStageError
        If there is no linked node.
    ImageError
        If a node is linked to a section without image.
    """
    chosen = [graph for graph in graphs if graph.brain_role in roles]
    n = sum(int(graph.is_linked.sum()) for graph in chosen)
    if n == 0:
        found = f"no linked node in brains with role {' or '.join(roles)}"
        raise MissingStageError(study.path, found=found, hint="check the roles in the study, or set sampling.roles")
    brains = {name: number for number, name in enumerate(sorted({graph.brain for graph in chosen}))}
    parts: list[PatchPool] = []
    sections: list[SectionPatches] = []
    numbers: dict[tuple[str, int], int] = {}
    start = 0
    for graph in chosen:
        linked = np.flatnonzero(graph.is_linked)
        place = np.full(graph.n_nodes, -1)
        place[linked] = start + np.arange(len(linked))
        section = np.zeros(len(linked), np.int64)
        for part in graph_sections(study, graph):
            # both hemispheres of a section share its staining, and so its number
            number = numbers.setdefault((graph.brain, part.section.index), len(sections))
            rows = place[part.rows]
            section[rows - start] = number
            own = SectionPatches(part.section, part.image, part.pixels, part.angles_deg, rows)
            if number == len(sections):
                sections.append(own)
            else:
                sections[number] = _join(sections[number], own)
        is_train = graph.brain_role == "train"
        labels = {
            role: np.where(is_train & (graph.section_role == role), graph.annotation, 0).astype(np.int64)[linked]
            for role in ("train", "val")
        }
        is_right = graph.hemisphere == "R"
        side = np.array([-1.0 if mirrored and is_right else 1.0, 1.0, 1.0])
        normals = Mesh(graph.reference, graph.mesh.faces).vertex_normals
        pmap = graph.pmap if graph.pmap is not None else sp.csr_matrix((graph.n_nodes, 0), dtype=np.float32)
        parts.append(
            PatchPool(
                position=graph.reference[linked] * side,
                normal=normals[linked] * side,
                is_right=np.full(len(linked), is_right and not mirrored),
                vertex=np.full(len(linked), -1),
                area_mm2=np.asarray(graph.nodes["area_mm2"], np.float64)[linked],
                section=section,
                brain=np.full(len(linked), brains[graph.brain], np.int64),
                annotation=labels["train"],
                held_out=labels["val"],
                probability=pmap[linked],
                sections=(),
            )
        )
        start += len(linked)
    return PatchPool(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS},
        probability=sp.csr_matrix(sp.vstack([part.probability for part in parts])),
        sections=tuple(sections),
    )


def graph_sections(study: Study, graph: CortexGraph) -> list[SectionPatches]:
    """Return the image links of a graph by section, in order of the section's index; `rows` are node numbers."""
    brain = study.brain(graph.brain)
    columns, section_of = graph.nodes, graph.section
    parts = []
    for index in np.unique(section_of[graph.is_linked]):
        section = brain.section(int(index))
        if section.image is None:
            hint = "run 'cytomesh build-graph' again for this study"
            raise ImageError(study.path, section.name, found="nodes linked to a section without image", hint=hint)
        rows = np.flatnonzero(graph.is_linked & (section_of == index))
        pixels = columns.stack(["column_px", "row_px"])[rows]
        angles = np.asarray(columns["angle_deg"], np.float64)[rows]
        parts.append(SectionPatches(section, section.image, pixels, angles, rows))
    return parts


def _join(first: SectionPatches, second: SectionPatches) -> SectionPatches:
    return SectionPatches(
        first.section,
        first.image,
        np.concatenate([first.pixels, second.pixels]),
        np.concatenate([first.angles_deg, second.angles_deg]),
        np.concatenate([first.rows, second.rows]),
    )
