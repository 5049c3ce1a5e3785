import json
import os
import time

import numpy as np
import pytest
import shapely

from cytomesh.core.config import load_config
from cytomesh.core.errors import ContourError, QualityError
from cytomesh.core.progress import hush, speak
from cytomesh.core.run import read_study_path
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.storage import load_graph, load_graphs, load_surface
from cytomesh.study.check import check_study
from cytomesh.study.contours import HemisphereContours, SectionContours, read_contours, write_contours
from cytomesh.study.study import open_study
from tests.processes import start_program

SETTINGS = ("surface.voxel_mm=0.5", "surface.edge_length_mm=1.5")
NAME = "B01_hemi-L"


def settings(*overrides: str) -> BuildGraphConfig:
    return load_config(BuildGraphConfig, None, [*SETTINGS, *overrides])


@pytest.fixture(scope="module")
def built(tmp_path_factory, write_ellipsoids):
    """A finished run of the ellipsoid study with one missing section: (run, summary)."""
    folder = tmp_path_factory.mktemp("built")
    manifest = write_ellipsoids(folder / "study", missing=(8,))
    return folder / "run", build_graphs(manifest, folder / "run", settings(), workers=1)


def test_surfaces_are_the_ellipsoids(built):
    run, summary = built
    assert summary[NAME]["euler_number"] == 2
    for kind, axes in (("pial", (12.0, 9.0, 10.0)), ("white", (9.5, 6.5, 7.5))):
        mesh = load_surface(run, NAME, kind)
        assert mesh.euler_number == 2 and mesh.is_closed
        assert mesh.volume_mm3 == pytest.approx(4 / 3 * np.pi * np.prod(axes), rel=0.04)
    thickness = load_graph(run / "graphs" / NAME).nodes["thickness_mm"]
    assert np.median(thickness) == pytest.approx(2.5, abs=0.3)


def test_every_column_of_the_node_table_is_there(built):
    graph = load_graphs(built[0])[0]
    assert graph.nodes.metadata["brain_role"] == "train" and graph.nodes.metadata["study"] == "ellipsoids"
    assert graph.nodes.units["column_px"] == "px"
    assert graph.reference == pytest.approx(graph.positions)
    linked = graph.is_linked
    assert linked.mean() > 0.9
    assert (graph.nodes["link_reason"][linked] == "").all() and (graph.nodes["link_reason"][~linked] != "").all()
    for name in ("column_px", "row_px", "angle_deg", "obliqueness_deg", "distance_mm"):
        assert np.isfinite(graph.nodes[name][linked]).all() and np.isnan(graph.nodes[name][~linked]).all()
    assert (graph.nodes["curvature_per_mm"] > 0).mean() > 0.95
    assert graph.nodes["area_mm2"].sum() == pytest.approx(graph.mesh.area_mm2)


def test_links_point_outward_and_annotation_follows_the_side(built):
    graph = load_graphs(built[0])[0]
    linked = graph.is_linked & (np.abs(graph.positions[:, 1]) < 5.0)
    outward = np.degrees(np.arctan2(graph.positions[:, 2], graph.positions[:, 0]))[linked]
    assert np.abs((graph.nodes["angle_deg"][linked] - outward + 180) % 360 - 180).max() < 30
    column = graph.nodes["column_px"]
    clear = linked & (np.abs(column - 149.5) > 2)
    assert (graph.annotation[clear] == np.where(column[clear] < 149.5, 1, 2)).all()
    roles = graph.section_role[linked]
    assert (roles == np.where(graph.section[linked] % 4 == 0, "test", "train")).all()


def test_a_missing_section_is_bridged_by_its_neighbours(built):
    graph = load_graphs(built[0])[0]
    assert 8 not in graph.section
    near = graph.is_linked & (np.abs(graph.positions[:, 1] + 1.5) < 0.4)
    assert near.any() and set(graph.section[near]) == {7, 9}


def test_the_quality_record_and_the_study_are_written(built):
    run, _ = built
    qc = json.loads((run / "graphs" / NAME / "qc.json").read_text())
    assert qc["unusable_sections"] == {"8": "missing"} and qc["skipped_sections"] == []
    assert qc["links"]["share_linked_of_reachable"] > 0.9 and qc["links"]["max_distance_mm"] == pytest.approx(1.0)
    assert read_study_path(run).name == "study.yaml"
    assert (run / "graphs" / "config.yaml").is_file() and (run / "graphs" / NAME / "provenance.json").is_file()


def test_finished_hemispheres_are_kept_and_changed_inputs_are_not(make_study, tmp_path):
    manifest, run = make_study(), tmp_path / "run"
    build_graphs(manifest, run, settings(), workers=1)
    marker = run / "graphs" / NAME / "nodes.parquet"
    before = marker.stat().st_mtime_ns
    assert not build_graphs(manifest, run, settings(), workers=1)[NAME]["is_new"]
    assert marker.stat().st_mtime_ns == before
    contours = manifest.parent / "data" / "03.geojson"
    os.utime(contours, ns=(1, 1))
    assert not build_graphs(manifest, run, settings(), workers=1)[NAME]["is_new"]
    contours.write_text(contours.read_text() + " ")
    assert build_graphs(manifest, run, settings(), workers=1)[NAME]["is_new"]
    assert build_graphs(manifest, run, settings("links.max_distance_mm=0.4"), workers=1)[NAME]["is_new"]


def test_same_input_same_bytes(make_study, tmp_path):
    manifest = make_study()
    for name in ("a", "b"):
        build_graphs(manifest, tmp_path / name, settings(), workers=1)
    first, second = (load_graphs(tmp_path / name)[0] for name in ("a", "b"))
    assert first.digest == second.digest


def test_a_bad_section_stops_the_stage_or_is_listed(make_study, tmp_path, cytomesh):
    manifest = make_study()
    (manifest.parent / "data" / "10.geojson").write_text("not contours")
    with pytest.raises(ContourError, match=r"10\.geojson"):
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    assert not (tmp_path / "run" / "graphs" / NAME / "qc.json").exists()
    options = [part for override in SETTINGS for part in ("--set", override)]
    code, out, err = cytomesh(
        "build-graph", manifest, "--out", tmp_path / "run", *options, "--on-bad-section", "skip", "--json"
    )
    assert code == 0, err
    assert json.loads(out)[NAME]["n_skipped_sections"] == 1
    qc = json.loads((tmp_path / "run" / "graphs" / NAME / "qc.json").read_text())
    assert qc["skipped_sections"][0]["section"] == 10 and "10.geojson" in qc["skipped_sections"][0]["problem"]
    assert 10 not in load_graphs(tmp_path / "run")[0].section


def test_failed_checks_fail_the_stage_and_leave_no_graph(make_study, tmp_path, cytomesh):
    manifest = make_study()
    strict = settings("links.max_reach_mm=0.01")
    with pytest.raises(QualityError, match="image links for"):
        build_graphs(manifest, tmp_path / "run", strict, workers=1)
    folder = tmp_path / "run" / "graphs" / NAME
    assert not (folder / "qc.json").exists() and "checks failed" in (folder / "qc.html").read_text()
    code, _, err = cytomesh("build-graph", manifest, "--out", tmp_path / "run", "--set", "surface.voxel=1")
    assert code == 1 and "voxel_mm" in err


@pytest.mark.slow
def test_a_killed_run_leaves_whole_files_and_goes_on(make_study, tmp_path):
    manifest, run = make_study(), tmp_path / "run"
    options = [part for override in SETTINGS for part in ("--set", override)]
    command = ("build-graph", manifest, "--out", run, "--workers", 1, *options)
    process = start_program(tmp_path / "errors.txt", *command)
    folder = run / "graphs" / NAME
    deadline = time.monotonic() + 120
    while not list(folder.glob("*")) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.join()
    for path in folder.glob("[!.]*.surf.gii"):
        load_surface(run, NAME, path.name.removesuffix(".surf.gii"))
    process = start_program(tmp_path / "errors.txt", *command)
    process.join()
    assert process.exitcode == 0, (tmp_path / "errors.txt").read_text()
    assert load_graphs(run)[0].n_nodes > 100
    assert not list(folder.glob(".partial-*"))


def test_a_limit_fails_the_stage_and_leaves_the_page(make_study, tmp_path):
    manifest = make_study()
    with pytest.raises(QualityError, match=r"checks\.thickness_mm.*qc\.html"):
        build_graphs(manifest, tmp_path / "run", settings("checks.thickness_mm=[4, 5]"), workers=1)
    folder = tmp_path / "run" / "graphs" / NAME
    assert "checks failed" in (folder / "qc.html").read_text() and not (folder / "qc.json").exists()


def test_other_formats_are_written_on_request(make_study, tmp_path):
    build_graphs(make_study(), tmp_path / "run", settings("formats=[freesurfer, ply]"), workers=1)
    names = {path.name for path in (tmp_path / "run" / "graphs" / NAME).iterdir()}
    assert {"lh.pial", "lh.white", "lh.midthickness", "lh.thickness", "lh.curv", "lh.sulc", "pial.ply"} <= names
    assert {f"{NAME}.spec", "thickness.shape.gii", "sulcal_depth.shape.gii", "qc.html"} <= names


def test_nodes_at_an_excluded_region_link_to_the_neighbours(make_study, tmp_path):
    manifest = make_study()
    contours = manifest.parent / "data" / "10.geojson"
    data = json.loads(contours.read_text())
    ring = [[0.0, 0.0], [150.0, 0.0], [150.0, 300.0], [0.0, 300.0], [0.0, 0.0]]
    data["features"].append(
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": "exclude"}},
        }
    )
    contours.write_text(json.dumps(data))
    build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    graph = load_graphs(tmp_path / "run")[0]
    here = graph.section == 10
    assert here.any() and (graph.nodes["column_px"][here] >= 149.0).all()
    # section 10 lies at y = 0.5 mm
    beside = (np.abs(graph.positions[:, 1] - 0.5) < 0.4) & (graph.positions[:, 0] < -1.0)
    assert beside.any() and set(graph.section[beside]) == {9, 11}

    # where no section is near enough either, the reason is that of the excluded region
    build_graphs(manifest, tmp_path / "near", settings("links.max_distance_mm=0.55"), workers=1)
    graph = load_graphs(tmp_path / "near")[0]
    excluded = graph.nodes["link_reason"] == "excluded region of section 10"
    assert excluded.any() and not graph.is_linked[excluded].any()
    assert (graph.positions[excluded, 0] < 1.0).all()


def redraw(manifest, index, change):
    """Replace the pial and white region of a section by what `change` makes of them."""
    section = open_study(manifest).brain("B01").sections[index]
    rings = read_contours(section)["L"]
    write_contours(section.contours, SectionContours({"L": HemisphereContours(*change(rings.pial, rings.white))}))


def multi(region):
    return shapely.MultiPolygon([part for part in getattr(region, "geoms", [region]) if not part.is_empty])


@pytest.mark.parametrize("boundaries", [("white",), ("pial", "white")])
def test_a_forgotten_ring_is_bridged_and_said(make_study, tmp_path, capsys, boundaries):
    manifest = make_study()
    nothing = shapely.MultiPolygon()
    redraw(manifest, 10, lambda pial, white: (nothing if "pial" in boundaries else pial, nothing))
    # the study's annotation fills its images
    problems = [problem for problem in check_study(manifest).problems if "outside every pial" not in problem.found]
    assert [problem.place for problem in problems] == ["B01 section 10"]
    summary = build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    for kind, axes in (("pial", (12.0, 9.0, 10.0)), ("white", (9.5, 6.5, 7.5))):
        volume = load_surface(tmp_path / "run", NAME, kind).volume_mm3
        assert volume == pytest.approx(4 / 3 * np.pi * np.prod(axes), rel=0.03)
    qc = json.loads((tmp_path / "run" / "graphs" / NAME / "qc.json").read_text())
    assert qc["bridged"] == [{"section": 10, "boundaries": list(boundaries)}] and qc["skipped_sections"] == []
    assert qc["surfaces"]["thickness_mm"]["max"] < 4.0
    assert summary[NAME]["n_bridged_sections"] == 1
    said = f"section 10: no {' and no '.join(boundaries)} ring, interpolated as over a missing section"
    assert said in capsys.readouterr().err
    assert said in (tmp_path / "run" / "graphs" / NAME / "qc.html").read_text()


def test_white_matter_that_is_nowhere_is_named_with_the_hemisphere_and_a_way_out(make_study, tmp_path, cytomesh):
    manifest = make_study()
    for index in range(1, 19):
        redraw(manifest, index, lambda pial, _: (pial, shapely.MultiPolygon()))
    code, _, err = cytomesh("build-graph", manifest, "--out", tmp_path / "run")
    assert code == 1
    assert "cytomesh: B01_hemi-L: contours: found no white contour in any section, expected pial and white" in err
    assert "contours.classes" in err.splitlines()[-1]


def test_a_side_of_which_no_ring_is_drawn_is_named(make_study, tmp_path, cytomesh):
    study = make_study()
    study.write_text(study.read_text().replace("- L\n", "- R\n"))
    code, _, err = cytomesh("build-graph", study, "--out", tmp_path / "run", "--workers", 1)
    assert code == 1 and "hemisphere R: found no pial_R in any of" in err and "correct hemispheres" in err


def test_a_sliver_of_white_matter_is_cut_and_said(make_study, tmp_path, capsys):
    """0.25 mm2 outside pial, as where surfaces cross at the medial wall; and the section stays in use."""
    manifest = make_study()
    sliver = shapely.box(280, 150, 285, 155)
    redraw(manifest, 10, lambda pial, white: (pial, multi(white | sliver)))
    with pytest.raises(ContourError, match=r"if it is a sliver, set contours\.repair: true"):
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    manifest.write_text(manifest.read_text() + "contours: {repair: true}\n")
    build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    qc = json.loads((tmp_path / "run" / "graphs" / NAME / "qc.json").read_text())
    assert qc["trimmed"] == [{"section": 10, "white_mm2": pytest.approx(0.25)}] and qc["skipped_sections"] == []
    said = "white matter outside the pial boundary taken away in 1 section, 0.25 mm2, most in section 10"
    assert said in capsys.readouterr().err
    assert said in (tmp_path / "run" / "graphs" / NAME / "qc.html").read_text()


def test_a_discarded_piece_fails_the_stage(make_study, tmp_path):
    """A second body beside the first, as when the other hemisphere's rings are named as this one's."""
    manifest = make_study()
    for index in range(6, 14):
        other = [shapely.Point(40, 30).buffer(radius) for radius in (28, 20)]
        redraw(manifest, index, lambda pial, white, other=other: (multi(pial | other[0]), multi(white | other[1])))
    lenient = ("checks.max_volume_error=null", "checks.max_area_error=null")
    with pytest.raises(QualityError, match=r"white: largest discarded piece.*checks\.max_discarded_share"):
        build_graphs(manifest, tmp_path / "run", settings(*lenient), workers=1)


def test_a_hole_that_is_closed_is_said_with_its_place(make_study, tmp_path, capsys):
    """Two rings side by side in the middle sections: a tunnel through the body, which becomes a sphere."""
    manifest = make_study()
    for index in (8, 9, 10, 11):
        slits = [shapely.box(150 - half, 0, 150 + half, 300) for half in (10, 30)]
        redraw(manifest, index, lambda pial, white, slits=slits: (multi(pial - slits[0]), multi(white - slits[1])))
    limits = ("volume_error", "area_error", "changed_share", "discarded_share")
    lenient = [f"checks.max_{name}=null" for name in limits]
    build_graphs(manifest, tmp_path / "run", settings(*lenient), workers=1)
    said = capsys.readouterr().err
    for kind in ("pial", "white"):
        assert f"{kind}: topology corrected, from Euler number 0 to 2 (a sphere): " in said
    report = json.loads((tmp_path / "run" / "graphs" / NAME / "qc.json").read_text())["report"]
    x, y, _ = report["white"]["places_mm"][0]
    assert abs(x) < 10 and abs(y) < 5
    assert "topology corrected" in (tmp_path / "run" / "graphs" / NAME / "qc.html").read_text()


def test_objections_to_the_stack_are_said_once_and_shown(write_ellipsoids, tmp_path, capsys):
    manifest = write_ellipsoids(tmp_path / "study")
    table = tmp_path / "study" / "sections.tsv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:9] + lines[12:]))  # sections 8 to 10 are not declared
    speak()
    try:
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)
        said = [line for line in capsys.readouterr().err.splitlines() if "are absent" in line]
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)
        assert "absent" not in capsys.readouterr().err
    finally:
        hush()
    assert len(said) == 1 and said[0].startswith("B01: sections 7 and 11: planes 4.000 mm apart")
    page = (tmp_path / "run" / "graphs" / NAME / "qc.html").read_text()
    assert "Sections that do not fit their stack" in page and "about 3 sections are absent" in page
