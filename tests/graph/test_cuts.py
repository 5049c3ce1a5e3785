"""Blocks: what lies beyond cut ends, along the image's border or along lines of class `cut` is no cortex."""

import json

import numpy as np
import pytest
import shapely
from PIL import Image
from shapely.geometry import MultiPolygon, mapping

from cytomesh.core.config import load_config
from cytomesh.core.digests import file_digests
from cytomesh.core.tables import Table, read_table, write_table
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.provenance import LINKS, graph_parts
from cytomesh.graph.storage import load_graph, load_surface
from cytomesh.study.contour_formats.features import CORNER
from cytomesh.study.contours import read_contours
from cytomesh.study.study import open_study

NAME = "B01_hemi-L"
# sections every millimetre from -9.5: those from -3.5 to 3.5 are a block without poles
POLES = tuple(n for n in range(20) if not 6 <= n <= 13)
FIRST, LAST = -3.5, 3.5


def build(manifest, run, *overrides):
    settings = load_config(BuildGraphConfig, None, ["surface.voxel_mm=0.5", "surface.edge_length_mm=1.2", *overrides])
    summary = build_graphs(manifest, run, settings, workers=1)
    return load_graph(run / "graphs" / NAME), summary[NAME]


@pytest.fixture(scope="module")
def block(tmp_path_factory, write_ellipsoids):
    """The middle of the ellipsoids: (run, graph, summary)."""
    folder = tmp_path_factory.mktemp("block")
    run = folder / "run"
    return run, *build(write_ellipsoids(folder / "study", missing=POLES), run)


def test_what_lies_beyond_the_outermost_sections_of_a_block_is_no_cortex(block):
    run, graph, summary = block
    y, pial = graph.positions[:, 1], load_surface(run, NAME, "pial").vertices[:, 1]
    beyond = (y < FIRST - 1e-3) | (y > LAST + 1e-3) | (pial < FIRST - 1e-3) | (pial > LAST + 1e-3)
    assert beyond.any() and not graph.is_cortex[beyond].any() and graph.is_cortex[~beyond].mean() > 0.99
    assert summary["n_outside_cortex"] == (~graph.is_cortex).sum()
    out = ~graph.is_cortex
    assert (
        not graph.is_linked[out].any() and not graph.annotation[out].any() and (graph.section_role[out] == "none").all()
    )
    assert (graph.nodes["link_reason"][out] == "beyond the cut end of the stack").all()
    assert np.isnan(graph.nodes["thickness_mm"][out]).all()
    assert graph.is_linked[~out].mean() > 0.99 and (graph.annotation[~out] > 0).mean() > 0.99


def test_cortex_beside_a_cut_is_as_thick_and_as_large_as_it_was(block):
    _, graph, summary = block
    cortex = graph.is_cortex
    from_cut = np.minimum(graph.positions[:, 1] - FIRST, LAST - graph.positions[:, 1])
    thickness = graph.nodes["thickness_mm"]
    near, inside = cortex & (from_cut < 1.0), cortex & (from_cut > 2.0)
    assert near.sum() > 50
    assert np.median(thickness[near]) == pytest.approx(np.median(thickness[inside]), abs=0.1)
    assert thickness[near].min() > 1.8
    # the zone of an ellipsoid between the outermost sections
    y = np.linspace(FIRST, LAST, 400)
    shrink = np.sqrt(1.0 - (y / 9.0) ** 2)
    angle = np.linspace(0, 2 * np.pi, 400)
    zone = np.stack(
        np.broadcast_arrays(12 * np.outer(shrink, np.cos(angle)), y[:, None], 10 * np.outer(shrink, np.sin(angle))), 2
    )
    along, around = np.diff(zone, axis=0)[:, :-1], np.diff(zone, axis=1)[:-1]
    area = np.linalg.norm(np.cross(along, around), axis=2).sum()
    assert summary["pial_area_mm2"] == pytest.approx(area, rel=0.06)


def test_the_record_says_what_was_cut_and_summaries_leave_it_out(block):
    run, graph, _ = block
    qc = json.loads((run / "graphs" / NAME / "qc.json").read_text())
    assert qc["cortex"]["cut_ends"] == [True, True]
    assert qc["cortex"]["n_nodes"] == graph.is_cortex.sum()
    assert sum(qc["surfaces"]["thickness_histogram"]["counts"]) == graph.is_cortex.sum()
    assert qc["links"]["n_reachable"] <= graph.is_cortex.sum() and qc["links"]["share_linked"] > 0.99
    assert "are not cortex" in (run / "graphs" / NAME / "qc.html").read_text()
    assert all(v["highest"] is None or v["value"] <= v["highest"] for v in qc["verdicts"])


def test_poles_and_missing_sections_are_no_cuts(write_ellipsoids, tmp_path):
    # the first two sections are gone: the stack ends 2.5 mm below the pole, on a quarter of the largest area
    graph, summary = build(write_ellipsoids(tmp_path / "study", missing=(0, 1)), tmp_path / "run")
    assert graph.is_cortex.all() and summary["n_outside_cortex"] == 0
    assert np.isfinite(graph.nodes["thickness_mm"]).all()


def test_the_settings_overrule_what_the_ends_look_like(write_ellipsoids, tmp_path):
    study = write_ellipsoids(tmp_path / "study", missing=POLES)
    unchecked = [f"checks.{key}=null" for key in ("max_volume_error", "max_area_error", "max_changed_share")]
    unchecked.append("checks.min_linked=0")
    graph, _ = build(study, tmp_path / "run", "cuts.ends=false", *unchecked)
    assert graph.is_cortex.all()


def test_rings_along_a_cut_line_are_no_cortex(write_ellipsoids, tmp_path):
    study = write_ellipsoids(tmp_path / "study")
    # a flat cut at x = -8 mm, through cortex and white matter, marked by a line along it
    column = (15.0 - 8.0) * 10.0
    for section in open_study(study).brain("B01").sections:
        document = json.loads(section.contours.read_text())
        rest = shapely.box(column + CORNER, 0, 300, 300)
        kept = []
        for feature in document["features"]:
            part = shapely.geometry.shape(feature["geometry"]).intersection(rest)
            if not part.is_empty:
                kept.append({**feature, "geometry": mapping(part)})
        line = {"type": "LineString", "coordinates": [[column + 1, 0], [column - 1, 300]]}
        kept.append({"type": "Feature", "geometry": line, "properties": {"classification": {"name": "cut"}}})
        section.contours.write_text(json.dumps({"type": "FeatureCollection", "features": kept}))
    graph, _ = build(study, tmp_path / "run", "checks.max_area_error=null")
    pial = load_surface(tmp_path / "run", NAME, "pial").vertices
    on_cut = pial[:, 0] < -7.8
    assert on_cut.sum() > 50 and graph.is_cortex[on_cut].mean() < 0.05
    assert (graph.nodes["link_reason"][~graph.is_cortex] == "on a cut face").all()
    assert graph.is_cortex[pial[:, 0] > -7.0].all()
    assert not graph.annotation[~graph.is_cortex].any()


def test_rings_along_the_border_of_the_image_are_no_cortex(write_ellipsoids, tmp_path):
    study = write_ellipsoids(tmp_path / "study")
    # images 260 px wide end at x = 11 mm; the rings that went on to 12 mm follow their border
    for section in open_study(study).brain("B01").sections:
        Image.fromarray(np.asarray(Image.open(section.image))[:, :240]).save(section.image)
        document = json.loads(section.contours.read_text())
        for feature in document["features"]:
            part = shapely.geometry.shape(feature["geometry"]).intersection(shapely.box(0, 0, 240, 300))
            feature["geometry"] = mapping(part)
        section.contours.write_text(json.dumps(document))
        areas = Image.open(section.annotation)
        Image.fromarray(np.asarray(areas)[:, :120]).save(section.annotation)
    options = ["checks.max_area_error=null"]
    graph, _ = build(study, tmp_path / "run", *options)
    pial = load_surface(tmp_path / "run", NAME, "pial").vertices
    on_border = pial[:, 0] > 8.95 - 0.1
    assert on_border.sum() > 50 and graph.is_cortex[on_border].mean() < 0.1
    assert graph.is_cortex[pial[:, 0] < 8.0].all()
    everything, _ = build(study, tmp_path / "all", "cuts.image_border=false", "surface.voxel_mm=1.0", *options)
    assert everything.is_cortex.all()


def test_tables_without_the_column_are_cortex_throughout(block, tmp_path):
    run, graph, _ = block
    folder = run / "graphs" / NAME
    table = read_table(folder / "nodes.parquet", "graph")
    columns = {name: values for name, values in table.columns.items() if name != "is_cortex"}
    older = tmp_path / NAME
    older.mkdir()
    for path in folder.iterdir():
        if path.is_file():
            (older / path.name).write_bytes(path.read_bytes())
    write_table(older / "nodes.parquet", Table(columns, table.units, table.metadata), "graph")
    read = load_graph(older)
    assert read.is_cortex.all() and read.n_nodes == graph.n_nodes
    with file_digests(tmp_path) as digests:
        assert graph_parts(tmp_path, read, digests)[LINKS] != graph_parts(tmp_path, graph, digests)[LINKS]


def test_a_polygon_and_a_line_of_class_cut_are_read(tmp_path, write_ellipsoids):
    study = write_ellipsoids(tmp_path / "study")
    section = open_study(study).brain("B01").sections[5]
    document = json.loads(section.contours.read_text())
    for geometry in (
        mapping(shapely.box(10, 20, 30, 40)),
        {"type": "MultiLineString", "coordinates": [[[100, 100], [100, 140]]]},
    ):
        document["features"].append(
            {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": "cut"}}}
        )
    section.contours.write_text(json.dumps(document))
    cut = read_contours(section).cut
    # half a millimetre, 5 px, on either side of the line; counted from the pixels' centres
    expected = MultiPolygon([shapely.box(9.5, 19.5, 29.5, 39.5), shapely.box(94.5, 99.5, 104.5, 139.5)])
    assert cut.symmetric_difference(expected).area < 1e-6
