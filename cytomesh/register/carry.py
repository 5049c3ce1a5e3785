"""Maps and labels carried between brains, templates and surfaces of a run's registration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.errors import ConfigError, MissingStageError, SurfaceError, did_you_mean
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import command
from cytomesh.core.run import product_folders
from cytomesh.graph.spheres import on_unit_sphere
from cytomesh.graph.storage import CortexGraph, load_graph
from cytomesh.register.hemispheres import mirrored
from cytomesh.register.resample import label_shares, resample_numbers, resampling
from cytomesh.surface.annot import write_annot
from cytomesh.surface.cifti import write_cifti_labels
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.gifti import read_sphere, read_structure, write_labels, write_scalars
from cytomesh.surface.mesh import Mesh, unit
from cytomesh.surface.vertex_data import KNOWN_LABELS, read_vertex_data, read_vertex_labels

FSAVERAGE = "fsaverage5"
LABEL_FILES = (".label.gii", ".annot", ".dlabel.nii")
NUMBER_FILES = (".func.gii", ".shape.gii")


@dataclass(frozen=True)
class Place:
    """A surface that values lie on, with its sphere on the template.

    Parameters
    ----------
    name : str
    side : {"L", "R"}
    sphere : Mesh
        On the template of its side.
    common : Mesh or None
        On the left one, mirrored if it is a right one; None where that is not known.
    areas : (n,) float64
        Of the vertices, mm2.
    is_cortex : (n,) bool
        Vertices whose values count.
    """

    name: str
    side: str
    sphere: Mesh
    common: Mesh | None
    areas: NDArray[np.float64]
    is_cortex: NDArray[np.bool_]

    @property
    def on_common(self) -> Mesh:
        """The sphere that all hemispheres of a registration share.

        Raises
        ------
        SurfaceError
            If the surface is known on its own side only.
        """
        if self.common is None:
            raise SurfaceError(self.name, found="a sphere of its own side only", expected="a graph of the registration")
        return self.common


def resample_file(run: Path, file: Path, source: str, target: str, out: Path, registration: str) -> dict[str, Any]:
    """Carry the values of a file from one surface to another.

    Labels are those of `.label.gii`, `.annot` and `.dlabel.nii`: each vertex gets the one with the largest area (see
    `resampling`). All else is numbers: means, NaN at vertices that see none. Where source and target are of different
    sides, right hemispheres are mirrored on the left.

    Parameters
    ----------
    run : Path
    file : Path
        One row per vertex of the source, of a kind that `cytomesh graph import` reads.
    source, target : str
        A graph of the run ("B01_hemi-L"), "fsaverage5" of the other's side, or the file of a registered sphere
        (`sphere.reg.surf.gii`, or that of a template: fs_LR's in the space of fsaverage).
    out : Path
        `.label.gii`, `.annot` or `.dlabel.nii`; `.func.gii` or `.shape.gii` for numbers.
    registration : str
        Name of the registration.

    Returns
    -------
    dict
        `vertices`, `with_a_value`, and for labels `agreement`: mean share of the area seen that has the label given.

    Raises
    ------
    MissingStageError
        If the run has no such registration or graph.
    ConfigError
        If source and target are both no graph, or cannot be compared.
    SurfaceError
        If a file cannot be read, is of another mesh, or has no value that reaches the target.
    """
    is_label = file.name.lower().endswith(LABEL_FILES)
    write = _writer(out, is_label=is_label)
    here, there = open_places(run, registration, source, target)
    weights = weights_between(here, there)
    facts: dict[str, Any] = {"vertices": weights.shape[0]}
    carried: Any
    table = None
    if is_label:
        labels, table = read_vertex_labels(file, len(here.areas), here.side)
        carried, shares = label_shares(weights, labels)
        has_value = carried != 0
        facts["agreement"] = float(shares[has_value].mean()) if has_value.any() else 0.0
    else:
        maps = read_vertex_data(file, len(here.areas), here.side)
        numbers = {name: values for name, values in maps.items() if np.asarray(values).dtype.kind in "iufb"}
        if not numbers:
            raise SurfaceError(file, found="no column of numbers", expected="one or more, or labels", hint=KNOWN_LABELS)
        carried = {name: resample_numbers(weights, np.asarray(v, np.float64)) for name, v in numbers.items()}
        has_value = np.any([np.isfinite(values) for values in carried.values()], axis=0)
    if not has_value.any():
        hint = "vertices without a label, NaN, and those outside cortex do not count"
        raise SurfaceError(file, found=f"nothing that reaches {there.name}", expected="values", hint=hint)
    write(carried, table, there)
    return facts | {"with_a_value": int(has_value.sum())}


def weights_between(source: Place, target: Place) -> sp.csr_matrix:
    """Return the weights of a source's vertices at a target's, CSR (see `resampling`)."""
    one, other = source.sphere, target.sphere
    if source.side != target.side:
        if source.common is None or target.common is None:
            lacking = source.name if source.common is None else target.name
            hint = "carry to fsaverage5 or the template first, or between two graphs"
            raise ConfigError("--from", source.name, found=f"{lacking}, which is known on its own side only", hint=hint)
        one, other = source.common, target.common
    return resampling(one, other, source.areas, target.areas, source.is_cortex)


def open_places(run: Path, registration: str, source: str, target: str) -> tuple[Place, Place]:
    """Open two surfaces; "fsaverage5" and files without a side are of the other one's."""
    known = [folder.name for folder in product_folders(run, "graphs")]
    graphs = {
        name: graph_place(run, registration, load_graph(run / "graphs" / name))
        for name in (source, target)
        if _is_graph(run, name)
    }
    if not graphs:
        hint = did_you_mean(source, known) or did_you_mean(target, known)
        place = f"{source}, {target}"
        raise ConfigError("--from, --to", place, found="no graph of this run", expected=", ".join(known), hint=hint)
    side = next(iter(graphs.values())).side
    found = [graphs[name] if name in graphs else _other_place(name, side, known) for name in (source, target)]
    return found[0], found[1]


def graph_place(run: Path, registration: str, graph: CortexGraph) -> Place:
    """Open a graph's spheres of a registration.

    Raises
    ------
    MissingStageError
        If the run has no such registration, or the graph came later.
    SurfaceError
        If the spheres are of another mesh.
    """
    folder, again = run / "register" / registration / graph.name, command(run, "register", registration)
    spheres = []
    for kind, side in (("sphere.reg", graph.hemisphere), ("sphere.common", "L")):
        path = folder / f"{kind}.surf.gii"
        if not path.is_file():
            known = [item.parents[1].name for item in run.glob(f"register/[!.]*/{graph.name}/{path.name}")]
            hint = did_you_mean(registration, known, f"run '{again}'")
            raise MissingStageError(path, found="no such registration of this hemisphere", hint=hint)
        sphere = read_sphere(path, side)
        mesh = graph.mesh if side == graph.hemisphere else mirrored(graph.mesh)
        if not np.array_equal(sphere.faces, mesh.faces):
            hint = f"run '{again}' again"
            raise SurfaceError(path, found="the sphere of another mesh", expected=f"that of {graph.name}", hint=hint)
        spheres.append(sphere)
    areas = graph.mesh.vertex_areas
    return Place(graph.name, graph.hemisphere, spheres[0], spheres[1], areas, graph.is_cortex)


def common_places(run: Path, registration: str, graphs: Sequence[CortexGraph]) -> NDArray[np.float32]:
    """Return where the nodes of all graphs lie on the common sphere, one graph after the other, (n, 3) unit vectors.

    Raises
    ------
    MissingStageError, SurfaceError
        See `graph_place`.
    """
    spheres = [graph_place(run, registration, graph).on_common for graph in graphs]
    return np.concatenate([unit(sphere.vertices) for sphere in spheres]).astype(np.float32)


def _is_graph(run: Path, name: str) -> bool:
    return name != FSAVERAGE and (run / "graphs" / name / "qc.json").is_file()


def _other_place(name: str, side: str, graphs: Sequence[str]) -> Place:
    if name == FSAVERAGE:
        surfaces = fsaverage5(side)
        sphere, areas = surfaces["sphere"], surfaces["midthickness"].vertex_areas
    else:
        path = Path(name)
        if not path.is_file():
            expected, hint = f"a graph of this run, {FSAVERAGE}, or the file of a sphere", did_you_mean(name, graphs)
            raise SurfaceError(path, found="no such file, and no graph of this name", expected=expected, hint=hint)
        side = read_structure(path) or side
        sphere = read_sphere(path, side)
        on_unit_sphere(sphere.vertices)
        areas = sphere.vertex_areas
    return Place(name, side, sphere, None, areas, np.ones(len(areas), bool))


def _writer(out: Path, *, is_label: bool) -> Callable[[Any, LabelTable | None, Place], None]:
    ends = LABEL_FILES if is_label else NUMBER_FILES
    if not out.name.lower().endswith(ends):
        raise ConfigError("TO_FILE", str(out), found="a file of another kind", expected=" or ".join(ends))

    def write(values: Any, table: LabelTable | None, place: Place) -> None:
        if table is None:
            write_scalars(out, values, place.side)
        elif out.name.lower().endswith(".annot"):
            write_annot(out, values, table)
        elif out.name.lower().endswith(".dlabel.nii"):
            write_cifti_labels(out, {place.side: values}, table, "labels")
        else:
            write_labels(out, values, table, place.side)

    return write
