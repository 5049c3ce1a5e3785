"""Graphs of surfaces, vertex values and labels that were made elsewhere: `cytomesh graph import`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.config import read_yaml, validate
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import GraphError, StudyError
from cytomesh.core.files import digest
from cytomesh.core.labels import LabelTable
from cytomesh.core.progress import log, track
from cytomesh.core.provenance import Inputs, place
from cytomesh.core.run import check_name, lock, product
from cytomesh.graph.features import feature_changes, keep_features
from cytomesh.graph.import_config import OwnHemisphere, OwnSurfaces
from cytomesh.graph.provenance import LINKS, OWN, SURFACE, parts_read
from cytomesh.graph.storage import load_graph, write_graph
from cytomesh.graph.vertex_graph import VertexData, vertex_graph
from cytomesh.surface.any_surface import read_surfaces
from cytomesh.surface.vertex_data import read_cortex, read_vertex_data, read_vertex_labels

SIDE_PREFIX = {side: re.compile(f"({side}|{side}H|ctx-{side}H)[_. -]", re.IGNORECASE) for side in ("L", "R")}
"""What programs put before the name of an area to say its side: L_, lh., ctx-lh-."""


def import_graphs(manifest: Path, run: Path, *, resume: bool = True) -> dict[str, Any]:
    """Write a graph and features for every hemisphere of a manifest; those that are as they would be now are kept.

    Parameters
    ----------
    manifest : Path
        YAML, see `OwnSurfaces`.
    run : Path
        Run directory.

    Returns
    -------
    dict
        Per graph: nodes, those with features, features, labelled nodes.

    Raises
    ------
    StudyError
        If the manifest is wrong.
    SurfaceError, AtlasError, GraphError
        If a file cannot be read, or files of a hemisphere do not belong together.
    """
    own = validate(OwnSurfaces, read_yaml(manifest, StudyError), str(manifest), StudyError)
    check_name(own.features, "features")
    with lock(run, "graphs"), file_digests(run) as digests:
        read = {item.name: read_hemisphere(item, manifest.parent) for item in track(own.hemispheres, "files")}
        table = joint_table({item.name: read[item.name].table for item in own.hemispheres})
        return {
            item.name: _import(run, own, item, manifest.parent, read[item.name], table, digests, resume)
            for item in own.hemispheres
        }


def read_hemisphere(own: OwnHemisphere, folder: Path) -> VertexData:
    """Read the files of a hemisphere, with the prefix of the side taken off the names of its areas."""
    paths = own_files(own, folder)
    surfaces = read_surfaces(paths)
    n = surfaces["midthickness"].n_vertices
    columns = []
    for path in (paths[name] for name in paths if name.startswith("features")):
        for name, values in read_vertex_data(path, n, own.hemisphere).items():
            if values.dtype.kind not in "iufb":
                hint = "give tables of numbers as features, and text as 'columns'"
                raise GraphError(path, name, found=f"values of type {values.dtype}", expected="numbers", hint=hint)
            columns.append(values.astype(np.float32))
    labels, table = np.zeros(n, np.int32), LabelTable.from_names([])
    if "labels" in paths:
        labels, table = read_vertex_labels(paths["labels"], n, own.hemisphere)
    further = read_vertex_data(paths["columns"], n, own.hemisphere) if "columns" in paths else {}
    is_cortex = read_cortex(paths["cortex"], n, own.hemisphere) if "cortex" in paths else np.ones(n, bool)
    named = LabelTable(table.indices, _without_side(table.names, own.hemisphere), table.colours)
    return VertexData(surfaces, np.column_stack(columns), labels, named, is_cortex, further)


def own_files(own: OwnHemisphere, folder: Path) -> dict[str, Path]:
    """Return the files of a hemisphere by what they are."""
    kinds = ("midthickness", "pial", "white", "sphere", "labels", "cortex", "columns")
    named = {kind: folder / path for kind in kinds if (path := getattr(own, kind)) is not None}
    return named | {f"features {i + 1}": folder / path for i, path in enumerate(own.features)}


def joint_table(tables: Mapping[str, LabelTable]) -> LabelTable:
    """Return one table for hemispheres whose tables may number the same names differently.

    Numbers are kept where no two tables contradict each other; else areas are numbered in order of appearance.
    """
    number: dict[str, int] = {}
    colours: dict[str, NDArray[np.float64]] = {}
    for table in tables.values():
        for index, name, colour in table.rows():
            number.setdefault(name, index)
            colours.setdefault(name, colour)
    same = all(number[name] == index for table in tables.values() for index, name, _ in table.rows())
    if not same or len(set(number.values())) < len(number):
        log("areas are numbered anew: the hemispheres' tables number them differently")
        number = {name: i + 1 for i, name in enumerate(number)}
    names = sorted(number, key=lambda name: number[name])
    rgba = np.array([colours[name] for name in names], np.float64).reshape(-1, 4)
    return LabelTable(tuple(number[name] for name in names), tuple(names), rgba)


def _import(
    run: Path,
    manifest: OwnSurfaces,
    own: OwnHemisphere,
    folder: Path,
    data: VertexData,
    table: LabelTable,
    digests: FileDigests,
    resume: bool,
) -> dict[str, Any]:
    inputs = _inputs(run, manifest, own, folder, table, digests)
    result = product(run, "graphs", own.name)
    with result.open():
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "imported again")
            graph = vertex_graph(data, table, own.brain, own.hemisphere, own.role, manifest.name)
            with result.writing(inputs, own, 0, resume=False) as work:
                write_graph(work.folder, graph, data.surfaces, {"source": manifest.name, "n_nodes": graph.n_nodes})
                work.finish()
    graph = load_graph(result.folder)
    features = np.where(graph.is_linked[:, None], data.features, np.float32(np.nan))
    built_on = parts_read(run, [graph], [SURFACE, LINKS], digests).merge(Inputs(values={"values": digest(features)}))
    if not resume or feature_changes(run, manifest.features, graph.name, built_on, digests):
        keep_features(run, manifest.features, graph, features, {"source": manifest.name}, built_on)
    return {
        "n_nodes": graph.n_nodes,
        "n_with_features": int(graph.is_linked.sum()),
        "n_features": features.shape[1],
        "n_labelled": int((graph.annotation > 0).sum()),
    }


def _inputs(
    run: Path, manifest: OwnSurfaces, own: OwnHemisphere, folder: Path, table: LabelTable, digests: FileDigests
) -> Inputs:
    named = {f"{OWN}: {kind}": path for kind, path in own_files(own, folder).items()}
    contents = digests.digest_all(named.values())
    files = {name: (place(path, run), content) for (name, path), content in zip(named.items(), contents, strict=True)}
    values = {"name": manifest.name, "role of the brain": own.role}
    return Inputs(values={**values, "label table": digest(table.indices, table.names, table.colours)}, files=files)


def _without_side(names: Iterable[str], hemisphere: str) -> tuple[str, ...]:
    """Take the prefix of the side off where all names have it."""
    names = tuple(names)
    found = [SIDE_PREFIX[hemisphere].match(name) for name in names]
    bare = tuple(name[match.end() :] for name, match in zip(names, found, strict=True) if match)
    return bare if len(bare) == len(names) else names
