"""Surfaces and values from other programs become graphs on which every later stage works."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from cytomesh.core.config import read_yaml, validate
from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import CytomeshError, GraphError, StudyError
from cytomesh.core.files import read_json
from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import read_table
from cytomesh.graph.features import load_features
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.import_config import OwnSurfaces
from cytomesh.graph.imports import import_graphs, same_features
from cytomesh.graph.map_names import map_names
from cytomesh.graph.storage import load_graph, load_graphs
from cytomesh.graph.vertex_graph import VertexData
from cytomesh.report.quality import quality_part
from cytomesh.report.status import run_status
from cytomesh.surface.annot import write_annot
from cytomesh.surface.gifti import read_labels, write_labels, write_scalars, write_surface
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.vertex_data import read_vertex_data, read_vertex_labels
from tests.conftest import sphere_mesh
from tests.docs.documented import undocumented

TEMPLATE = Path(__file__).parents[2] / "data_manifests" / "surfaces.yaml"
NAMES = ("A", "B", "C", "D")
N_WALL = 20
SAME_ORDER = "taken to be in the same order"


def write_side(folder: Path, side: str, *, order: tuple[int, ...] = (0, 1, 2, 3)) -> dict[str, object]:
    """Quadrants as areas, two features that tell them, a medial wall; areas numbered in `order`."""
    mesh = sphere_mesh(3)
    x = mesh.vertices[:, 0]
    area = 2 * (mesh.vertices[:, 1] > 0) + (mesh.vertices[:, 2] > 0)
    cortex = np.ones(mesh.n_vertices)
    cortex[np.argsort(x)[:N_WALL]] = 0
    rng = np.random.default_rng(ord(side))
    maps = {"myelin": area % 2 + 0.3 * rng.normal(size=len(x)), "cells": area // 2 + 0.3 * rng.normal(size=len(x))}
    maps["cells"][5] = np.nan
    table = LabelTable.from_names([f"{side}_{NAMES[i]}" for i in order])
    labels = np.array([order.index(i) + 1 for i in area], np.int32)
    for kind, radius in (("pial", 51.0), ("white", 49.0)):
        write_surface(folder / f"{side}.{kind}.surf.gii", Mesh(mesh.vertices * radius / 50, mesh.faces), side, kind)
    write_surface(folder / f"{side}.sphere.surf.gii", mesh, side, "sphere")
    write_scalars(folder / f"{side}.maps.func.gii", maps, side)
    write_scalars(folder / f"{side}.cortex.shape.gii", {"cortex": cortex}, side)
    (write_labels if side == "L" else lambda path, *rest: write_annot(path, *rest[:2]))(
        folder / f"{side}.areas{'.label.gii' if side == 'L' else '.annot'}", labels, table, side
    )
    blocks = np.digitize(x, np.quantile(x, [0.4, 0.6])).astype(str)
    pq.write_table(pa.table({"block": blocks, "myelin_map": maps["myelin"]}), folder / f"{side}.parquet")
    own = {kind: f"{side}.{kind}.surf.gii" for kind in ("pial", "white", "sphere")}
    own |= {"labels": f"{side}.areas{'.label.gii' if side == 'L' else '.annot'}", "cortex": f"{side}.cortex.shape.gii"}
    return {
        "brain": "B1",
        "hemisphere": side,
        **own,
        "features": [f"{side}.maps.func.gii"],
        "columns": f"{side}.parquet",
    }


@pytest.fixture
def manifest(tmp_path) -> Path:
    (tmp_path / "own").mkdir()
    sides = [write_side(tmp_path / "own", "L"), write_side(tmp_path / "own", "R", order=(2, 0, 3, 1))]
    path = tmp_path / "own" / "surfaces.yaml"
    path.write_text(yaml.safe_dump({"name": "test", "hemispheres": sides}))
    return path


def change(manifest: Path, **keys: object) -> None:
    data = yaml.safe_load(manifest.read_text())
    data["hemispheres"][0] |= keys
    manifest.write_text(yaml.safe_dump(data))


def test_what_is_imported(manifest, tmp_path):
    summary = import_graphs(manifest, tmp_path / "run")
    left, right = load_graphs(tmp_path / "run")
    assert summary["B1_hemi-L"] == {
        "n_nodes": 642, "n_with_features": 642 - N_WALL - 1, "n_features": 2, "n_labelled": 642 - N_WALL,
    }  # fmt: skip
    np.testing.assert_allclose(left.positions, sphere_mesh(3).vertices, atol=1e-4)
    np.testing.assert_allclose(left.nodes["thickness_mm"], 2.0, atol=1e-4)
    # areas of one name are one area on both sides, however the files number them
    area = 2 * (left.positions[:, 1] > 0) + (left.positions[:, 2] > 0)
    for graph in (left, right):
        assert set(graph.labels.names) == set(NAMES)
        inside = graph.annotation > 0
        assert inside.sum() == 642 - N_WALL
        found = [graph.labels.name(label) for label in graph.annotation[inside].tolist()]
        assert found == [NAMES[i] for i in area[inside].tolist()]
    features = load_features(tmp_path / "run", "maps", left)
    assert features.shape == (642, 2) and np.isnan(features[~left.is_linked]).all()
    assert not left.is_linked[5] and (left.nodes["link_reason"][5] == "no features")


def test_later_stages_work(manifest, tmp_path, cytomesh):
    run = tmp_path / "run"
    assert cytomesh("graph", "import", manifest, "--out", run)[0] == 0
    words = ("--set", "model={kind: logistic}", "--set", "split={kind: hemisphere}", "--set", "null.spins=2")
    code, _, errors = cytomesh("classify", "--out", run, "--name", "sides", *words)
    assert code == 0, errors
    assert read_json(run / "classify" / "sides" / "metrics.json")["splits"]["test"]["mean"]["macro_f1"] > 0.8
    split = "split={kind: column, column: block, train: ['0'], test: ['2'], validation: ['1']}"
    code, _, errors = cytomesh("classify", "--out", run, "--name", "blocks", *words[:2], "--set", split)
    assert code == 0, errors
    code, said, _ = cytomesh("parcellate", "--out", run, "--set", "n_parcels=6")
    assert code == 0 and "variance explained above geometry" in said and "_over_" not in said
    assert cytomesh("classify-predict", "--out", run, "--name", "new", "--model", run / "classify" / "sides")[0] == 0
    assert cytomesh("report", "--out", run)[0] == 0
    code, out, _ = cytomesh("status", "--out", run)
    assert code == 0 and "stale" not in out
    assert not [fault for fault in undocumented(run) if fault.startswith(("features/", "classify/<name>/model.json"))]


def test_later_stages_work_without_pial_and_white(manifest, tmp_path, cytomesh):
    run, data = tmp_path / "run", yaml.safe_load(manifest.read_text())
    for i, own in enumerate(data["hemispheres"]):
        side = own["hemisphere"]
        write_surface(manifest.parent / f"{side}.surf.gii", sphere_mesh(3), side, "midthickness")
        own |= {"midthickness": f"{side}.surf.gii", "pial": None, "white": None, "role": ("train", "unseen")[i]}
    manifest.write_text(yaml.safe_dump(data))
    assert cytomesh("graph", "import", manifest, "--out", run)[0] == 0
    words = ("--set", "model={kind: logistic}", "--set", "split={kind: hemisphere}", "--set", "null.spins=2")
    code, _, errors = cytomesh("classify", "--out", run, "--name", "sides", *words)
    assert code == 0, errors
    code, _, errors = cytomesh("classify-predict", "--out", run, "--name", "new", "--model", run / "classify" / "sides")
    assert code == 0, errors
    areas = read_table(run / "classify" / "new" / "B1_hemi-L_areas.parquet")
    assert len(areas) == 4 and "surface_mm2" in areas and "thickness_mm" not in areas
    code, _, errors = cytomesh("report", "--out", run)
    assert code == 0, errors
    code, _, errors = cytomesh("classify", "--out", run, *words, "--set", "inputs.names=[thickness]")
    assert code == 1 and "thickness" in errors and "graph import" in errors


def test_ways_out_of_imported_graphs_lead_to_the_import(manifest, tmp_path, cytomesh):
    run = tmp_path / "run"
    import_graphs(manifest, run)
    again = f"'cytomesh graph import SURFACES.yaml --out {run} --no-resume'"
    left = load_graph(run / "graphs" / "B1_hemi-L")
    nodes, features = run / "graphs" / left.name / "nodes.parquet", run / "features" / "maps" / f"{left.name}.npy"
    for path in (nodes, features):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CytomeshError, match=again):
        load_graph(nodes.parent)
    with pytest.raises(CytomeshError, match=again):
        load_features(run, "maps", left)
    import_graphs(manifest, run, resume=False)
    with pytest.raises(CytomeshError, match="graph import.* or choose one of: maps"):
        load_features(run, "cnn", left)
    code, _, errors = cytomesh("embed", "--out", run)
    assert code == 1 and "build-graph" not in errors


def test_a_split_among_neighbours_is_refused(manifest, tmp_path, cytomesh):
    run = tmp_path / "run"
    side = manifest.parent / "L.parquet"
    chance = np.random.default_rng(0).integers(0, 2, 642).astype(str)
    for name in ("L", "R"):
        pq.write_table(pa.table({"block": chance}), side.with_name(f"{name}.parquet"))
    import_graphs(manifest, run)
    split = "split={kind: column, column: block, train: ['0'], test: ['1'], validation: 0}"
    code, _, errors = cytomesh("classify", "--out", run, "--set", "model={kind: logistic}", "--set", split)
    assert code == 1 and "training node as neighbour" in errors
    code, _, errors = cytomesh("classify", "--out", run, "--set", split.replace("block,", "other,"))
    assert code == 1 and "no column 'other'" in errors and "block" in errors


def test_again_only_what_changed(manifest, tmp_path):
    run = tmp_path / "run"
    import_graphs(manifest, run)
    paths = [*(run / "graphs").rglob("qc.json"), *(run / "features").rglob("*.npy")]
    before = {path: path.stat().st_mtime_ns for path in paths}
    import_graphs(manifest, run)
    assert {path: path.stat().st_mtime_ns for path in paths} == before
    values = sphere_mesh(3).vertices[:, 0]
    write_scalars(manifest.parent / "L.maps.func.gii", {"myelin": values, "cells": values}, "L")
    reasons = Freshness(run, FileDigests()).reasons("graphs/B1_hemi-L")
    assert reasons == ["imported file of features 1 (L.maps.func.gii) changed"]
    import_graphs(manifest, run)
    changed = {
        path.parent.name if path.name == "qc.json" else path.stem
        for path in paths
        if path.stat().st_mtime_ns != before[path]
    }
    assert changed == {"B1_hemi-L"}
    left = load_graph(run / "graphs" / "B1_hemi-L")
    np.testing.assert_allclose(load_features(run, "maps", left)[left.is_linked, 0], values[left.is_linked], atol=1e-4)
    # an import is a copy
    for path in manifest.parent.iterdir():
        path.unlink()
    assert Freshness(run, FileDigests()).reasons("features/maps/B1_hemi-L") == []


def test_a_graph_that_its_manifest_has_no_more_is_stale(manifest, tmp_path, capsys):
    run, data = tmp_path / "run", yaml.safe_load(manifest.read_text())
    other = manifest.with_name("other.yaml")  # a second manifest adds its brain to the same run
    other.write_text(yaml.safe_dump(data | {"hemispheres": [data["hemispheres"][0] | {"brain": "B2"}]}))
    for path in (manifest, other):
        import_graphs(path, run)
    assert "any more" not in capsys.readouterr().err
    data["hemispheres"] = [data["hemispheres"][1] | {"brain": "Renamed"}]
    manifest.write_text(yaml.safe_dump(data))
    import_graphs(manifest, run)
    said = capsys.readouterr().err
    for side in "LR":
        assert said.count(f"B1_hemi-{side} is not in {manifest} any more: remove {run}/graphs/B1_hemi-{side}") == 1
    states = {item.product: item.state for item in run_status(run)}
    assert {name for name, state in states.items() if state == "stale"} == {
        f"{stage}/B1_hemi-{side}" for stage in ("graphs", "features/maps") for side in "LR"
    }
    for side in "LR":
        shutil.rmtree(run / "graphs" / f"B1_hemi-{side}")
    assert Freshness(run, FileDigests()).stale(["graphs/B2_hemi-L", "graphs/Renamed_hemi-R"]) == ""


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"sphere": "coarse.surf.gii"}, "162 vertices"),
        ({"white": "turned.surf.gii"}, "join other vertices"),
        ({"features": ["L.parquet"]}, "numbers"),
        ({"features": []}, "features"),
        ({"columns": "clash.csv"}, "x_mm"),
        ({"features": ["absent.npy"]}, "absent.npy"),
        ({"pial": None}, "midthickness is missing"),
        ({"hemisphere": "R"}, "B1_hemi-R"),
        ({"brain": "../x"}, "brain"),
        ({"feature": ["L.maps.func.gii"]}, "feature"),
        ({"columns": "text.csv"}, "section: found text, such as 'A1'"),
        ({"cortex": "text.csv"}, "text.csv: section: found text, such as 'A1'"),
        ({"cortex": "L.maps.func.gii"}, "2 maps: myelin, cells"),
        ({"cortex": "none.npy"}, "no vertex above 0"),
        ({"features": ["L.areas.label.gii"]}, "arrays of intent LABEL"),
        ({"features": ["huge.npy"]}, "huge.npy: huge: found 1e[+]300"),
        ({"features": ["gaps.npy"]}, r"no vertex of cortex.* in every map; 'gaps 2' has none at 4\d\d of 622"),
        ({"pial": "R.pial.surf.gii"}, "R.pial.surf.gii: found structure CortexRight"),
        ({"features": ["both.npy"]}, "both.npy: both: found 1284 values.*642 vertices"),
        ({"labels": "bare.label.gii"}, "bare.label.gii: found labels such as [1-4], and no label table"),
    ],
)
def test_what_does_not_fit_is_named(manifest, tmp_path, keys, words):
    folder, mesh = manifest.parent, sphere_mesh(3)
    write_surface(folder / "coarse.surf.gii", sphere_mesh(2), "L", "sphere")
    write_surface(folder / "turned.surf.gii", Mesh(mesh.vertices, mesh.faces[:, [1, 2, 0]]), "L", "white")
    (folder / "clash.csv").write_text("x_mm\n" + "1\n" * 642)
    (folder / "text.csv").write_text("section\n" + "A1\n" * 642)
    np.save(folder / "none.npy", np.zeros(642))
    np.save(folder / "huge.npy", np.full(642, 1e300))
    gaps = np.where(np.arange(642)[:, None] % 3 == [0, 1], np.nan, 1.0)  # no row has both
    gaps[2::3, 1] = np.nan
    np.save(folder / "gaps.npy", gaps)
    np.save(folder / "both.npy", np.ones(2 * 642))
    bare = nib.load(folder / "L.areas.label.gii")
    bare.labeltable = nib.gifti.GiftiLabelTable()
    nib.save(bare, folder / "bare.label.gii")
    change(manifest, **keys)
    with pytest.raises((StudyError, GraphError, CytomeshError), match=words):
        import_graphs(manifest, tmp_path / "run")


def test_sections_and_their_roles_are_kept_whole(manifest, tmp_path):
    first = np.arange(642) < 300
    table = pa.table({"section": np.where(first, 4, np.nan), "section_role": np.where(first, "train", "none")})
    pq.write_table(table, manifest.parent / "L.parquet")
    import_graphs(manifest, tmp_path / "run")
    graph = load_graph(tmp_path / "run" / "graphs" / "B1_hemi-L")
    assert set(graph.section_role.tolist()) == {"train", "none"} and set(graph.section.tolist()) == {4, -1}


def test_names_of_files_with_accents_written_apart(manifest, tmp_path):
    np.save(manifest.parent / "carte\u0301.npy", np.arange(642.0))
    own = yaml.safe_load(manifest.read_text())
    for hemisphere in own["hemispheres"]:
        hemisphere["features"] = ["cart\u00e9.npy"]
    manifest.write_text(yaml.safe_dump(own))
    assert import_graphs(manifest, tmp_path / "run")["B1_hemi-L"]["n_features"] == 1


def test_areas_of_both_sides_in_one_table(manifest, tmp_path):
    folder = manifest.parent
    labels, known = read_labels(folder / "L.areas.label.gii")
    table = LabelTable.from_names([*known.names, *(f"R_{name}" for name in NAMES)])
    write_labels(folder / "L.areas.label.gii", labels, table, "L")
    import_graphs(manifest, tmp_path / "run")
    assert set(load_graph(tmp_path / "run" / "graphs" / "B1_hemi-L").labels.names) == set(NAMES)


def test_areas_whose_names_end_with_their_side(manifest, tmp_path):
    own = yaml.safe_load(manifest.read_text())
    for hemisphere in own["hemispheres"]:
        side, path = hemisphere["hemisphere"], manifest.parent / f"{hemisphere['hemisphere']}.label.gii"
        labels, known = read_vertex_labels(manifest.parent / hemisphere["labels"], 642, side)
        write_labels(path, labels, replace(known, names=tuple(f"{name[2:]}_{side}" for name in known.names)), side)
        hemisphere["labels"] = path.name
    manifest.write_text(yaml.safe_dump(own))
    import_graphs(manifest, tmp_path / "run")
    assert [set(graph.labels.names) for graph in load_graphs(tmp_path / "run")] == [set(NAMES)] * 2


def test_the_template_is_valid():
    own = validate(OwnSurfaces, read_yaml(TEMPLATE, StudyError), str(TEMPLATE), StudyError)
    assert own.hemispheres[0].name == "sub-01_hemi-L"


def test_a_second_manifest_takes_the_order_of_maps_in_the_run(manifest, tmp_path, capsys):
    run, data = tmp_path / "run", yaml.safe_load(manifest.read_text())
    import_graphs(manifest, run)
    maps = read_vertex_data(manifest.parent / "L.maps.func.gii", 642, "L")
    write_scalars(manifest.parent / "turned.func.gii", {"cells": maps["cells"], "myelin": maps["myelin"]}, "L")
    second = data["hemispheres"][0] | {"brain": "B2", "features": ["turned.func.gii"]}
    other = manifest.with_name("other.yaml")
    other.write_text(yaml.safe_dump(data | {"hemispheres": [second]}))
    capsys.readouterr()
    import_graphs(other, run)
    assert "in another order than those of B1_hemi-L in the run: reordered by name" in capsys.readouterr().err
    one, two = (load_features(run, "maps", load_graph(run / "graphs" / f"{brain}_hemi-L")) for brain in ("B1", "B2"))
    np.testing.assert_array_equal(one, two)
    import_graphs(manifest, run)  # again: nothing changes its order
    assert map_names(run, "maps", "B1_hemi-L") == map_names(run, "maps", "B2_hemi-L") == ("myelin", "cells")


def test_features_are_matched_by_name(manifest, tmp_path, capsys):
    folder = manifest.parent
    maps = read_vertex_data(folder / "R.maps.func.gii", 642, "R")
    write_scalars(folder / "R.maps.func.gii", {"cells": maps["cells"], "myelin": maps["myelin"]}, "R")
    import_graphs(manifest, tmp_path / "run")
    assert "reordered by name" in capsys.readouterr().err
    right = load_graph(tmp_path / "run" / "graphs" / "B1_hemi-R")
    found = load_features(tmp_path / "run", "maps", right)
    np.testing.assert_array_equal(found[right.is_linked, 0], maps["myelin"][right.is_linked].astype(np.float32))
    assert map_names(tmp_path / "run", "maps", right.name) == ("myelin", "cells")
    write_scalars(folder / "R.maps.func.gii", {"cells": maps["cells"], "iron": maps["myelin"]}, "R")
    with pytest.raises(GraphError, match="without myelin, with iron"):
        import_graphs(manifest, tmp_path / "run")
    write_scalars(folder / "R.maps.func.gii", {"cells": maps["cells"]}, "R")
    with pytest.raises(GraphError, match="1 map without myelin, expected as in B1_hemi-L 2 maps: myelin; cells"):
        import_graphs(manifest, tmp_path / "run")


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (["myelin", "thickness"], ["curv", "sulc"], ""),
        (["thickness"], ["curv"], ""),
        (["thickness", "curv"], ["thickness", "thickness"], ""),
        (["curv_mean", "sulc_mean"], ["iron_mean", "cells_mean"], ""),
        (["left 1", "left 2"], ["right 1", "right 2"], SAME_ORDER),
        (["100307_L_Thickness", "100307_L_Myelin"], ["100408_R_Thickness", "100408_R_Myelin"], SAME_ORDER),
        (["L_thickness"], ["R_thickness"], SAME_ORDER),
        (["s1 curv", "s1 sulc"], ["s2 sulc", "s2 curv"], "reordered by name"),
        (["m0", "m1"], ["z0", "z1"], SAME_ORDER),
    ],
)
def test_maps_of_other_names_are_joined_where_something_tells_how(left, right, words, caplog):
    def data(names):
        surfaces, n = {"midthickness": sphere_mesh(1)}, sphere_mesh(1).n_vertices
        values, labels = np.tile(np.arange(len(names), dtype=np.float32), (n, 1)), np.zeros(n, np.int32)
        return VertexData(surfaces, values, labels, LabelTable.from_names([]), labels == 0, {}, tuple(names))

    read = {"B1_hemi-L": data(left), "B1_hemi-R": data(right)}
    with nullcontext() if words else pytest.raises(GraphError, match=right[0]):
        joined = same_features(read)["B1_hemi-R"]
        order = [0, 1] if words == SAME_ORDER else [1, 0]
        assert joined.features[0].tolist() == order[: len(right)]
        assert joined.names == tuple(right[i] for i in order[: len(right)])
    assert words in caplog.text


def test_columns_of_one_name_in_two_tables_are_named(manifest, tmp_path):
    folder, data = manifest.parent, yaml.safe_load(manifest.read_text())
    for side in "LR":
        for name in "ab":
            (folder / f"{side}.{name}.csv").write_text("mean\n" + "0.5\n" * 642)
        (folder / f"{side}.more.csv").write_text("x,y\n" + "".join(f"{i / 9},1\n" for i in range(642)))
    for item in data["hemispheres"]:
        side = item["hemisphere"]
        tables = ["a", "b", "more"] if side == "L" else ["a", "more", "b"]
        item["features"] = [f"{side}.{table}.csv" for table in tables]
    manifest.write_text(yaml.safe_dump(data))
    with pytest.raises(GraphError, match=r"B1_hemi-R: features: found several maps called mean, expected names"):
        import_graphs(manifest, tmp_path / "run")
    data["hemispheres"][1]["features"] = ["R.a.csv", "R.b.csv", "R.more.csv"]  # of one name, and in one order
    manifest.write_text(yaml.safe_dump(data))
    assert import_graphs(manifest, tmp_path / "run")["B1_hemi-R"]["n_features"] == 4


def test_a_ribbon_inside_out_and_triangles_turned_apart_are_named(manifest, tmp_path):
    pial, white = (manifest.parent / f"L.{kind}.surf.gii" for kind in ("pial", "white"))
    for a, b in ((pial, tmp_path / "kept"), (white, pial), (tmp_path / "kept", white)):
        a.rename(b)
    with pytest.raises(CytomeshError, match=r"L.pial.surf.gii: found pial not outside of white at 100%"):
        import_graphs(manifest, tmp_path / "run")
    mesh = sphere_mesh(3)
    faces = mesh.faces.copy()
    faces[::7] = faces[::7, ::-1]
    write_surface(pial, Mesh(mesh.vertices, faces), "L", "pial")
    with pytest.raises(CytomeshError, match=r"edges that two triangles run through in the same direction"):
        import_graphs(manifest, tmp_path / "run")


def test_a_medial_wall_that_nobody_named_is_said(manifest, tmp_path, capsys):
    change(manifest, cortex=None)
    mesh = sphere_mesh(3)
    white = mesh.vertices * np.where(mesh.vertices[:, :1] < -40, 51.0, 49.0) / 50
    write_surface(manifest.parent / "L.white.surf.gii", Mesh(white, mesh.faces), "L", "white")
    import_graphs(str(manifest), str(tmp_path / "run"))
    said = capsys.readouterr().err
    assert "B1_hemi-L: pial and white coincide at" in said and "cortex: lh.thickness" in said
    assert said.count("all nodes count as cortex") == 1 and "B1_hemi-R: " not in said


def test_without_a_map_of_cortex_all_nodes_are_said_to_be_cortex(manifest, tmp_path, capsys):
    change(manifest, cortex=None)
    import_graphs(manifest, tmp_path / "run")
    said = capsys.readouterr().err
    assert said.count("all nodes count as cortex") == 1 and "B1_hemi-L: all nodes" in said


def test_a_mask_of_the_medial_wall_given_as_cortex_is_said(manifest, tmp_path, capsys):
    wall = read_vertex_data(manifest.parent / "L.cortex.shape.gii", 642, "L")["cortex"] == 0
    np.save(manifest.parent / "wall.npy", wall)
    change(manifest, cortex="wall.npy")
    import_graphs(manifest, tmp_path / "run")
    said = capsys.readouterr().err
    assert f"{N_WALL} of 642 vertices are above 0 in 'wall', and count as cortex: is it a mask of the medial" in said
    assert said.count("mask of the medial wall") == 1  # the right one's is of cortex


def test_a_left_hemisphere_that_lies_right_is_said(manifest, tmp_path, capsys):
    mesh = sphere_mesh(3)
    for kind, radius in (("pial", 51.0), ("white", 49.0)):
        for_left = Mesh(mesh.vertices * radius / 50 + [55, 0, 0], mesh.faces)
        write_surface(manifest.parent / f"L.{kind}.surf.gii", for_left, "L", kind)
    import_graphs(manifest, tmp_path / "run")
    said = capsys.readouterr().err
    assert "B1_hemi-L: 100% of the vertices lie at x > 0" in said and "B1_hemi-R: " not in said


def test_the_topology_of_imported_surfaces_is_looked_at(manifest, tmp_path):
    import_graphs(manifest, tmp_path / "run")
    record = read_json(tmp_path / "run" / "graphs" / "B1_hemi-L" / "qc.json")
    assert {kind: facts["euler_number"] for kind, facts in record["surfaces"].items()} == {
        "pial": 2, "midthickness": 2, "white": 2,
    }  # fmt: skip
    page = quality_part(tmp_path / "run", load_graphs(tmp_path / "run")).body
    assert "2 / 2 / 2" in page and "pass" in page and "fail" not in page
