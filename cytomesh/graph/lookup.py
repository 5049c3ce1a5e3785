"""Both directions between a finished graph and its images: nodes to pixels, pixels to nodes and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import GraphError
from cytomesh.core.files import read_json
from cytomesh.core.reading import reading
from cytomesh.core.run import read_study_path
from cytomesh.graph.curves import PlaneCutter, stacking_axis
from cytomesh.graph.links import Ribbon
from cytomesh.graph.locate import CortexLocator, CorticalPlaces
from cytomesh.graph.storage import CortexGraph, graph_folder, load_graph, load_surface
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.study import open_study
from cytomesh.study.warps import warped_plane


class CortexLookup:
    """Where nodes are seen, and what pixels show; the two invert each other to a small part of a pixel.

    In-plane displacements and the corrections that `alignment` made are part of both directions.

    Parameters
    ----------
    graph : CortexGraph
        Nodes with their image links.
    ribbon : Ribbon
        Its surfaces.
    planes : dict of int to SectionPlane
        Where each section lies, corrected.

    Examples
    --------
    >>> lookup = open_lookup(Path("run"), "B01_hemi-L")  # doctest: +SKIP
    >>> section, pixels = lookup.pixels([1204])  # doctest: +SKIP
    >>> places = lookup.places(int(section[0]), pixels)  # doctest: +SKIP
    >>> places.nodes(lookup.ribbon), places.depth  # doctest: +SKIP
    """

    def __init__(self, graph: CortexGraph, ribbon: Ribbon, planes: dict[int, SectionPlane]) -> None:
        self.graph, self.ribbon, self.planes = graph, ribbon, planes

    @cached_property
    def _locator(self) -> CortexLocator:
        return CortexLocator(self.ribbon)

    @cached_property
    def _cutters(self) -> tuple[PlaneCutter, PlaneCutter]:
        axis = stacking_axis(list(self.planes.values()))
        return PlaneCutter(self.ribbon.pial, axis), PlaneCutter(self.ribbon.white, axis)

    def pixels(self, nodes: Sequence[int] | NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return where nodes are seen: (n,) section index, -1 without link, and (n, 2) (column, row), NaN without."""
        rows = np.asarray(nodes, np.int64)
        return self.graph.section[rows], self.graph.nodes.stack(["column_px", "row_px"])[rows]

    def places(
        self, section: int, pixels: NDArray[np.float64], near: NDArray[np.int64] | None = None
    ) -> CorticalPlaces:
        """Return the places in the cortex that (n, 2) pixels (column, row) of a section show, with their depth.

        `near` makes it faster for pixels side by side: see `CortexLocator.places`.

        Raises
        ------
        GraphError
            If the graph has no such section.
        """
        return self._locator.pixels(self.plane(section), np.asarray(pixels, np.float64), near)

    def boundaries(self, section: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the line segments in which a section cuts pial and white, each (m, 2, 2), ends as (column, row).

        Raises
        ------
        GraphError
            If the graph has no such section.
        """
        plane = self.plane(section)
        pial, white = (cutter.cut(plane).points for cutter in self._cutters)
        return plane.pixels(pial.reshape(-1, 3)).reshape(-1, 2, 2), plane.pixels(white.reshape(-1, 3)).reshape(-1, 2, 2)

    def plane(self, section: int) -> SectionPlane:
        """Return where a section lies.

        Raises
        ------
        GraphError
            If the graph has no such section.
        """
        if section not in self.planes:
            known = f"{min(self.planes)} to {max(self.planes)}" if self.planes else "none"
            raise GraphError(self.graph.name, found=f"section {section}", expected=f"one of its sections ({known})")
        return self.planes[section]


def open_lookup(run: str | Path, name: str) -> CortexLookup:
    """Read a finished graph of a run, its surfaces and the planes of its sections.

    Raises
    ------
    MissingStageError
        If the graph is not there.

    Examples
    --------
    >>> lookup = open_lookup("run", "T01_hemi-L")
    >>> node = int(lookup.graph.is_linked.argmax())
    >>> sections, pixels = lookup.pixels([node])
    >>> sections.shape, pixels.shape
    ((1,), (1, 2))
    >>> places = lookup.places(int(sections[0]), pixels)  # and back
    >>> places.is_inside.tolist(), places.depth.round(2).tolist()
    ([True], [0.5])
    """
    run = Path(run)
    graph = load_graph(graph_folder(run, name))
    ribbon = Ribbon(load_surface(run, name, "pial"), graph.mesh, load_surface(run, name, "white"))
    brain = open_study(read_study_path(run)).brain(graph.brain)
    path = graph_folder(run, name) / "qc.json"
    record = read_json(path)
    with reading(path):
        corrected = {item["section"]: item["to_world"] for item in record["sections"] if "to_world" in item}
        planes = {section.index: _plane(section, corrected.get(section.index)) for section in brain.sections}
    return CortexLookup(graph, ribbon, planes)


def _plane(section: Section, corrected: list[list[float]] | None) -> SectionPlane:
    plane = section.plane if section.status == "missing" else warped_plane(section)
    return plane if corrected is None else replace(plane, to_world=np.array(corrected, np.float64))
