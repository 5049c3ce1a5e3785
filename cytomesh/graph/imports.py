"""Graphs of surfaces, vertex values and labels that were made elsewhere: `cytomesh graph import`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import FeatureError, GraphError
from cytomesh.core.files import digest
from cytomesh.core.labels import LabelTable
from cytomesh.core.progress import log, track, warn
from cytomesh.core.provenance import Inputs, place
from cytomesh.core.reading import IMPORTED
from cytomesh.core.run import check_name, lock, product
from cytomesh.core.sides import IN_AREAS, bare_area, side_of, without_side
from cytomesh.graph.features import feature_changes, keep_features
from cytomesh.graph.import_config import OwnHemisphere, OwnSurfaces
from cytomesh.graph.manifests import graphs_without_entry, keep_manifest, read_manifest
from cytomesh.graph.map_names import map_names, order_by_name
from cytomesh.graph.own_checks import ONE_SIDE
from cytomesh.graph.provenance import LINKS, SURFACE, parts_read
from cytomesh.graph.qc import mesh_facts
from cytomesh.graph.storage import load_graph, write_graph
from cytomesh.graph.vertex_columns import FREE_COLUMNS, read_cortex, read_features
from cytomesh.graph.vertex_graph import VertexData, vertex_graph
from cytomesh.study.tables import named_file
from cytomesh.surface.any_surface import read_surfaces
from cytomesh.surface.gifti import SurfaceKind
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.vertex_data import read_vertex_data, read_vertex_labels

FLAT_MM = 1e-3
MEDIAL_WALL = 0.005
"""Share of the vertices from which cortex without thickness is worth a word."""


def import_graphs(manifest: str | Path, run: str | Path, *, resume: bool = True) -> dict[str, Any]:
    """Write a graph and features for every hemisphere of a manifest; those that are as they would be now are kept.

    Parameters
    ----------
    manifest : path
        YAML, see `OwnSurfaces`.
    run : path
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

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> graphs = Path("run/graphs/T01_hemi-L").resolve()
    >>> manifest = f'''
    ... name: my-maps
    ... hemispheres:
    ... - {{brain: B01, hemisphere: L, midthickness: {graphs}/midthickness.surf.gii,
    ...     features: [{graphs}/thickness.shape.gii], labels: {graphs}/annotation.label.gii}}
    ... '''
    >>> with TemporaryDirectory() as folder:
    ...     written = Path(folder, "surfaces.yaml").write_text(manifest)
    ...     made = import_graphs(Path(folder, "surfaces.yaml"), Path(folder, "run"))
    >>> made["B01_hemi-L"]["n_features"]
    1
    """
    manifest, run = Path(manifest), Path(run)
    own = read_manifest(manifest)
    check_name(own.features, "features")
    with lock(run, "graphs"), file_digests(run) as digests:
        read = {item.name: read_hemisphere(item, manifest.parent) for item in track(own.hemispheres, "files")}
        read = _as_in_run(run, own.features, same_features(read))
        table = joint_table({item.name: read[item.name].table for item in own.hemispheres})
        made = {
            item.name: _import(run, own, item, manifest.parent, read[item.name], table, digests, resume)
            for item in own.hemispheres
        }
        keep_manifest(run, manifest, made)
        for name, path in graphs_without_entry(run).items():
            warn(f"{name} is not in {path} any more: remove {run / 'graphs' / name}, or it still takes part")
        return made


def read_hemisphere(own: OwnHemisphere, folder: Path) -> VertexData:
    """Read the files of a hemisphere, with the side taken off the names of its areas."""
    paths, side = own_files(own, folder), own.hemisphere
    surfaces = read_surfaces(paths, side)
    n = surfaces["midthickness"].n_vertices
    x = surfaces["midthickness"].vertices[:, 0]
    if (beyond := float((x > 0 if side == "L" else x < 0).mean())) > ONE_SIDE:  # it may be a space of its own
        where = f"x {'>' if side == 'L' else '<'} 0"
        warn(f"{own.name}: {beyond:.0%} of the vertices lie at {where}: is it hemisphere {side}, in RAS?")
    named = [
        feature
        for path in (paths[kind] for kind in paths if kind.startswith("features"))
        for feature in read_features(path, n, side)
    ]
    names, columns = zip(*named, strict=True)
    bare = tuple(without_side(name, side) for name in names)
    names = bare if len(set(bare)) == len(set(names)) else names
    labels, table = np.zeros(n, np.int32), LabelTable.from_names([])
    if "labels" in paths:
        labels, table = read_vertex_labels(paths["labels"], n, side)
    further = read_vertex_data(paths["columns"], n, side) if "columns" in paths else {}
    free = {name: FREE_COLUMNS[name](paths["columns"], further[name]) for name in FREE_COLUMNS if name in further}
    is_cortex = read_cortex(paths["cortex"], n, side) if "cortex" in paths else np.ones(n, bool)
    if "cortex" not in paths:
        unless = "unless the manifest names a map that is above 0 in cortex (cortex: lh.thickness)"
        warn(f"{own.name}: {_flat(surfaces)}all nodes count as cortex {unless}")
    table, features = _of_one_side(labels, table, side), np.column_stack(columns)
    _refuse_gaps_everywhere(own.name, features[is_cortex], names)
    return VertexData(surfaces, features, labels, table, is_cortex, further | free, names)


def _refuse_gaps_everywhere(name: str, features: NDArray[np.float32], maps: Sequence[str]) -> None:
    """Refuse (n, d) features of cortex where every row lacks some: no node would take part."""
    has_value = np.isfinite(features)
    if not has_value.all(axis=1).any():
        n_missing = np.count_nonzero(~has_value, axis=0)
        most = int(n_missing.argmax())
        found = f"no vertex of cortex with a value in every map; '{maps[most]}' has none at {n_missing[most]:,}"
        hint = "leave maps with many missing values out, or fill them in"
        raise GraphError(name, "features", found=f"{found} of {len(features):,}", hint=hint)


def _flat(surfaces: Mapping[SurfaceKind, Mesh]) -> str:
    """Say where there is no ribbon between pial and white, if at many vertices."""
    if not {"pial", "white"} <= surfaces.keys():
        return ""
    apart = np.linalg.norm(surfaces["pial"].vertices - surfaces["white"].vertices, axis=1)
    n_flat = int((apart < FLAT_MM).sum())
    where = f"pial and white coincide at {n_flat:,} of {apart.size:,} vertices, as at the medial wall; "
    return where if n_flat > MEDIAL_WALL * apart.size else ""


def same_features(read: Mapping[str, VertexData]) -> dict[str, VertexData]:
    """Bring the features of all hemispheres into the order of the first one's, by their names.

    Raises
    ------
    GraphError
        If a hemisphere has features of other names, or more or fewer of them.
    """
    first, *others = read
    wanted, found = read[first].names, dict(read)
    for name in others:
        names = read[name].names
        if names == wanted:
            continue
        for which, its, other in ((name, names, first), (first, wanted, name)):
            if doubles := [each for each, times in Counter(its).items() if times > 1]:
                what, hint = f"several maps called {_some(doubles)}", "give each its own name, or leave one out"
                expected = f"names that differ, since {other} has others or another order"
                raise GraphError(which, "features", found=what, expected=expected, hint=hint)
        try:
            order = order_by_name(names, wanted, name)
        except FeatureError as cause:
            hint = "give all hemispheres the same features, called the same"
            expected = f"as in {first} {cause.expected}"
            raise GraphError(name, "features", found=cause.found, expected=expected, hint=hint) from cause
        if order == list(range(len(order))):
            warn(f"{name}: features have other names than in {first}: taken to be in the same order")
            continue
        warn(f"{name}: features come in another order than in {first}: reordered by name")
        found[name] = _reordered(read[name], order)
    return found


def _as_in_run(run: Path, features: str, read: dict[str, VertexData]) -> dict[str, VertexData]:
    """Bring maps into the order that those of one name have in the run already, from another manifest."""
    names = next(iter(read.values())).names
    for path in sorted((run / "features" / features).glob("*_hemi-[LR].json")):
        there = map_names(run, features, path.stem) if path.stem not in read else ()
        if there != names and sorted(there) == sorted(names) and len(set(names)) == len(names):
            warn(f"features come in another order than those of {path.stem} in the run: reordered by name")
            order = order_by_name(names, there, path.stem)
            return {own: _reordered(data, order) for own, data in read.items()}
    return read


def _reordered(data: VertexData, order: Sequence[int]) -> VertexData:
    return replace(data, features=data.features[:, order], names=tuple(data.names[i] for i in order))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def own_files(own: OwnHemisphere, folder: Path) -> dict[str, Path]:
    """Return the files of a hemisphere by what they are."""
    kinds = ("midthickness", "pial", "white", "sphere", "labels", "cortex", "columns")
    named = {kind: named_file(folder, str(path)) for kind in kinds if (path := getattr(own, kind)) is not None}
    return named | {f"features {i + 1}": named_file(folder, str(path)) for i, path in enumerate(own.features)}


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
        log("areas are renumbered: the hemispheres' tables number them differently")
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
                write_graph(work.folder, graph, data.surfaces, _record(manifest, own, data))
                work.finish()
    graph = load_graph(result.folder)
    features = np.where(graph.is_linked[:, None], data.features, np.float32(np.nan))
    values = {"values": digest(features), "maps": list(data.names)}
    built_on = parts_read(run, [graph], [SURFACE, LINKS], digests).merge(Inputs(values=values))
    if not resume or feature_changes(run, manifest.features, graph.name, built_on, digests):
        facts = {"source": manifest.name, "maps": list(data.names)}
        keep_features(run, manifest.features, graph, features, facts, built_on)
    return {
        "n_nodes": graph.n_nodes,
        "n_with_features": int(graph.is_linked.sum()),
        "n_features": features.shape[1],
        "n_labelled": int((graph.annotation > 0).sum()),
    }


def _record(manifest: OwnSurfaces, own: OwnHemisphere, data: VertexData) -> dict[str, Any]:
    """Return the quality record: where the surfaces are from, and their topology."""
    kinds: tuple[SurfaceKind, ...] = ("pial", "midthickness", "white")
    given = {kind: str(path) for kind in kinds if (path := getattr(own, kind)) is not None}
    facts = {kind: mesh_facts(data.surfaces[kind]) for kind in kinds if kind in data.surfaces}
    return {"source": manifest.name, "n_nodes": len(data.labels), "own_files": given, "surfaces": facts}


def _inputs(
    run: Path, manifest: OwnSurfaces, own: OwnHemisphere, folder: Path, table: LabelTable, digests: FileDigests
) -> Inputs:
    named = {f"{IMPORTED}: {kind}": path for kind, path in own_files(own, folder).items()}
    contents = digests.digest_all(named.values())
    files = {name: (place(path, run), content) for (name, path), content in zip(named.items(), contents, strict=True)}
    values = {"name": manifest.name, "role of the brain": own.role}
    return Inputs(values={**values, "label table": digest(table.indices, table.names, table.colours)}, files=files)


def _of_one_side(labels: NDArray[np.int32], table: LabelTable, hemisphere: str) -> LabelTable:
    """Leave out areas of the other side that no vertex has, and take the side off the names where all have it."""
    may_be = np.array([side_of(name, IN_AREAS) in (None, hemisphere) for name in table.names], bool)
    here = np.isin(table.indices, labels) | may_be
    rows = [row for row, is_here in zip(table.rows(), here, strict=True) if is_here]
    indices, names = tuple(index for index, *_ in rows), tuple(name for _, name, _ in rows)
    bare = tuple(bare_area(name, hemisphere) for name in names)
    has_all = all(short not in ("", name) for short, name in zip(bare, names, strict=True))
    return LabelTable(indices, bare if has_all and len(set(bare)) == len(bare) else names, table.colours[here])
