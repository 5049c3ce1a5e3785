"""The stage on a brain that is a ball, beside what is counted by hand."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from cytomesh.analyze.cells.run import cells_run
from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.measures import load_measure, save_measures
from cytomesh.analyze.variation import variation_run
from cytomesh.core.errors import CellError, ConfigError, ImageError, MissingStageError, QualityError
from cytomesh.core.files import read_json
from cytomesh.core.tables import read_table, write_table
from cytomesh.graph.features import save_features
from cytomesh.graph.lookup import open_lookup
from cytomesh.graph.storage import load_graphs
from cytomesh.report.status import run_status
from tests.analyze.cells.conftest import (
    BOUNDARIES,
    DIAMETERS_UM,
    LAYERED,
    PER_MM2,
    PLANES_MM,
    SIDE_PX,
    UM_PER_PX,
    Ball,
    draw_cells,
    linear_depth,
    settings,
)
from tests.analyze.cells.tables import write_parquet

LAYERS = ("I", "II", "III", "IV", "V", "VI")


@pytest.fixture
def own(ball, tmp_path):
    """A copy of the ball to change."""
    shutil.copytree(ball.run.parent, tmp_path / "own")
    return Ball(tmp_path / "own" / "study" / "study.yaml", tmp_path / "own" / "run")


def layer_rows(run, name):
    return read_json(run / "analyze" / name / "metrics.json")["graphs"]["B01_hemi-L"]["layers"]


# cells of layer I are as far from each other as it is thick: their polygons reach into the next
@pytest.mark.parametrize(("layers", "bias"), [(LAYERED, 0.02), ({"source": "table"}, 0.2)], ids=["depths", "table"])
def test_layers_of_the_hemisphere_have_the_densities_that_cells_were_drawn_by(ball, layers, bias):
    cells_run(ball.run, f"by_{layers['source']}", settings(layers=layers, volume={"section_um": 20.0}, grid_um=150))
    rows = {row["layer"]: row for row in layer_rows(ball.run, f"by_{layers['source']}")}
    for layer, per_mm2, diameter in zip(LAYERS, PER_MM2, DIAMETERS_UM, strict=True):
        row = rows[layer]
        noise = 4 / np.sqrt(row["n_cells"]) + bias  # counting, and what facets of the sphere shift
        assert row["density_per_mm2"] == pytest.approx(per_mm2, rel=noise), layer
        assert row["density_per_mm3"] == pytest.approx(row["density_per_mm2"] / 0.02)
        assert row["diameter_um"] == pytest.approx(diameter, rel=0.04)
    drawn = sum(len(draw_cells(section)["layer"]) for section in PLANES_MM)
    assert rows["all"]["n_cells"] == pytest.approx(drawn, rel=0.01)
    ring_mm2 = 3 * np.pi * (20.0**2 - 17.0**2)
    assert rows["all"]["cortex_mm2"] == pytest.approx(ring_mm2, rel=0.01)


def test_a_node_is_measured_in_its_column_of_cortex(ball):
    cells_run(ball.run, "nodes", settings(layers=LAYERED, radius_mm=1.0, grid_um=100))
    (graph,) = load_graphs(ball.run)
    found = read_table(ball.run / "analyze" / "nodes" / "nodes" / f"{graph.name}.parquet")
    assert found.units["density_III_per_mm2"] == "1/mm2" and found.units["area_V_um2"] == "um2"
    lookup = open_lookup(ball.run, graph.name)
    step_px = 50.0 / UM_PER_PX
    axis = np.arange(0, 2 * SIDE_PX) * step_px + 0.1
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    linked = np.flatnonzero(graph.is_linked)
    assert np.isnan(found["density_per_mm2"][~graph.is_linked]).all()
    measured = linked[found["n_cells"][linked] > 50]
    for node in measured[:: len(measured) // 5]:  # term by term, slow on purpose
        section = int(graph.section[node])
        plane = lookup.planes[section]
        link = plane.world(graph.nodes.stack(["column_px", "row_px"])[[node]])[0]
        cells = draw_cells(section)
        pixels = np.column_stack([cells["column_px"], cells["row_px"]])

        def near(points, section=section, plane=plane, link=link):
            world = plane.world(points)
            foot = world / np.linalg.norm(world, axis=1, keepdims=True) * 18.5
            depth = linear_depth(points, PLANES_MM[section])
            is_near = (np.linalg.norm(foot - link, axis=1) <= 1.0) & (depth >= 0) & (depth <= 1)
            return is_near, np.searchsorted(BOUNDARIES, depth)

        (is_cell, of_cell), (is_point, of_point) = near(pixels), near(grid)
        mm2 = is_point.sum() * 0.0025
        assert found["cortex_mm2"][node] == pytest.approx(mm2, rel=0.08)
        assert found["n_cells"][node] == pytest.approx(is_cell.sum(), rel=0.08)
        assert found["density_per_mm2"][node] == pytest.approx(is_cell.sum() / mm2, rel=0.1)
        thick = is_cell & (of_cell == 2), is_point & (of_point == 2)
        expected = thick[0].sum() / (thick[1].sum() * 0.0025)
        assert found["density_III_per_mm2"][node] == pytest.approx(expected, rel=0.2)
        mean = cells["area_um2"][is_cell].mean()
        assert found["area_um2"][node] == pytest.approx(mean, rel=0.05)


def test_layers_come_from_what_another_analysis_measured(own):
    (graph,) = load_graphs(own.run)
    shares = np.diff([0, *BOUNDARIES, 1])
    columns = {f"layer_{name}_mm": np.full(graph.n_nodes, 3 * s) for name, s in zip(LAYERS, shares, strict=True)}
    columns["layer_II_mm"][:5] = np.nan
    save_measures(own.run / "analyze" / "layers", graph, columns, {})
    wanted = settings(layers={"source": "analysis", "analysis": "layers"})
    cells_run(own.run, "measured", wanted)
    cells_run(own.run, "fixed", settings(layers=LAYERED))
    for a, b in zip(layer_rows(own.run, "measured"), layer_rows(own.run, "fixed"), strict=True):
        assert a["density_per_mm2"] == pytest.approx(b["density_per_mm2"], rel=0.01)
    del columns["layer_VI_mm"]
    save_measures(own.run / "analyze" / "layers", graph, columns, {})
    assert {status.product: status.state for status in run_status(own.run)}["analyze/measured"] == "stale"
    with pytest.raises(ConfigError, match="no columns layer_I_share"):
        cells_run(own.run, "measured", wanted)


def test_layers_come_from_what_was_drawn_in_the_sections(own):
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    pixels = np.column_stack([columns.ravel(), rows.ravel()])
    (own.folder / "layers").mkdir()
    n_cells, n_pixels = np.zeros(7), np.zeros(7)
    for index, y in list(PLANES_MM.items())[:2]:
        depth = linear_depth(pixels, y)
        layer = np.where((depth < 0) | (depth > 1), 0, 1 + np.searchsorted(BOUNDARIES, depth)).astype(np.uint8)
        layer = layer.reshape(SIDE_PX, SIDE_PX)
        Image.fromarray(layer).save(own.folder / "layers" / f"B01_{index:04d}.png")
        cells = draw_cells(index)
        at = [np.round(cells[name]).astype(int) for name in ("row_px", "column_px")]
        n_cells += np.bincount(layer[*at], minlength=7)
        n_pixels += np.bincount(layer.ravel(), minlength=7)
    wanted = settings(layers={"source": "masks"}, grid_um=130)
    cells_run(own.run, "masks", wanted)
    notes = read_json(own.run / "analyze" / "masks" / "metrics.json")["notes"]
    assert notes == ["B01: no layers were drawn in sections 5"]
    by_hand = n_cells / n_pixels / (1e-3 * UM_PER_PX) ** 2
    for k, row in enumerate(layer_rows(own.run, "masks")[1:], start=1):
        noise = 1 / np.sqrt(n_cells[k]) if k == 1 else 0  # facets lie within the ball: some of layer I is outside
        assert row["density_per_mm2"] == pytest.approx(by_hand[k], rel=0.02 + noise)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(own.folder / "layers" / "B01_0004.png")
    assert {status.product: status.state for status in run_status(own.run)}["analyze/masks"] == "stale"
    with pytest.raises(ImageError, match=r"set truth.um_per_px"):
        cells_run(own.run, "masks", wanted)
    (own.folder / "layers").rename(own.folder / "elsewhere")
    with pytest.raises(MissingStageError, match=r"set truth.files"):
        cells_run(own.run, "masks", wanted)


def test_corrections_are_applied_and_said(own):
    thin = cells_run(own.run, "area", settings())
    assert thin["correction"] == "counts per area only: the thickness of the sections is not known"
    assert "density_per_mm3" not in thin["B01_hemi-L: all"]
    volume = {"section_um": 20.0, "linear_shrinkage": 1.25, "overcount": "abercrombie"}
    found = cells_run(own.run, "volume", settings(volume=volume, layers=LAYERED))
    assert found["correction"] == (
        "sections of 20 um; Abercrombie's t / (t + d) for cells cut through; linear shrinkage 1.25 in all directions"
    )
    for layer, diameter in zip(LAYERS[2:3], DIAMETERS_UM[2:3], strict=True):
        row = next(row for row in layer_rows(own.run, "volume") if row["layer"] == layer)
        by_hand = row["density_per_mm2"] / 0.020 / 1.25**3 * 20 / (20 + diameter)
        assert row["density_per_mm3"] == pytest.approx(by_hand, rel=0.01)


def test_cells_of_a_patch_are_measured_in_its_field(own):
    for index in PLANES_MM:
        cells = draw_cells(index)
        pixels = np.column_stack([cells["column_px"], cells["row_px"]])
        kept = (pixels[:, 0] > 200) & (pixels[:, 0] < 240) & (pixels[:, 1] < 220)
        some = {name: values[kept] for name, values in cells.items()}
        patch = some | {"column_px": some["column_px"] - 200.0}  # counted from the patch's own corner
        write_parquet(own.folder / "cells" / f"B01_{index:04d}.parquet", UM_PER_PX, **patch)
    tables = {"offset_px": [200, 0]}
    cells_run(own.run, "all", settings(tables=tables))
    cells_run(own.run, "patch", settings(tables=tables | {"field": "cells"}))
    density = {name: layer_rows(own.run, name)[0]["density_per_mm2"] for name in ("all", "patch")}
    mean = np.average(PER_MM2, weights=np.diff([0, *BOUNDARIES, 1]))
    assert density["patch"] == pytest.approx(mean, rel=0.1) and density["all"] < 0.2 * mean
    notes = read_json(own.run / "analyze" / "all" / "metrics.json")["notes"]
    assert any("set tables.field: cells" in note for note in notes)


def test_the_command_keeps_what_is_current_and_variation_takes_its_columns(own, cytomesh):
    words = ("cells", "--out", own.run, "--set", "tables.files=cells/{brain}_{section:04d}.parquet", "--json")
    words += ("--set", "grid_um=250", "--set", f"layers={json.dumps(LAYERED)}")
    code, out, err = cytomesh(*words)
    assert code == 0, err
    assert json.loads(out)["B01_hemi-L: cells in cortex"] > 15_000
    written = (own.run / "analyze" / "cells" / "metrics.json").stat().st_mtime_ns
    assert cytomesh(*words)[0] == 0
    assert (own.run / "analyze" / "cells" / "metrics.json").stat().st_mtime_ns == written
    (graph,) = load_graphs(own.run)
    density = read_table(own.run / "analyze" / "cells" / "nodes" / f"{graph.name}.parquet")["density_III_per_mm2"]
    rng = np.random.default_rng(0)
    known = np.isfinite(density) & graph.is_linked
    features = rng.normal(size=(graph.n_nodes, 6)).astype(np.float32)
    features[:, 0] += 10 * np.nan_to_num((density - np.nanmean(density)) / np.nanstd(density))
    features[~graph.is_linked] = np.nan
    save_features(own.run, "cnn", graph, features, {})
    given = {"targets": ["cells:density_III_per_mm2"], "components": [1, 4], "folds": {"n": 3}}
    found = variation_run(own.run, "v", VariationConfig.model_validate(given))
    assert found["cnn: cells:density_III_per_mm2"]["r2"] > 0.8 and known.sum() > 100
    write_parquet(own.folder / "cells" / "B01_0004.parquet", UM_PER_PX, **draw_cells(4, seed=1))
    states = {status.product: status.state for status in run_status(own.run)}
    assert states["analyze/cells"] == "stale" and states["analyze/v"] == "stale"


def test_brains_without_tables_have_no_measures_and_make_nothing_stale(own):
    manifest = yaml.safe_load(own.study.read_text())
    manifest["brains"].append(manifest["brains"][0] | {"id": "B02"})
    own.study.write_text(yaml.safe_dump(manifest))
    first, second = (own.run / "graphs" / f"{brain}_hemi-L" for brain in ("B01", "B02"))
    shutil.copytree(first, second)
    (second / "provenance.json").unlink()  # of B01
    nodes = read_table(second / "nodes.parquet")
    write_table(second / "nodes.parquet", replace(nodes, metadata={**nodes.metadata, "brain": "B02"}))
    cells_run(own.run, "cells", settings(tables={"files": "cells/{brain}_{section:04d}.parquet"}))
    known, other = (load_measure(own.run, graph, "cells:density_per_mm2") for graph in load_graphs(own.run))
    assert np.isfinite(known).any() and np.isnan(other).all()
    reads = read_json(own.run / "analyze" / "cells" / "provenance.json")["inputs"]["products"]
    assert "graphs/B02_hemi-L" in json.dumps(reads)


def test_what_is_odd_is_said(own):
    for index in PLANES_MM:
        cells = draw_cells(index)
        some = {name: cells[name][:0] if index == 3 else cells[name][:2000] for name in ("column_px", "row_px")}
        if index == 4:
            some = {name: np.concatenate([values, values + 2e-3]) for name, values in some.items()}
        if index == 5:
            some = {"column_px": np.array([220.0, 221.0]), "row_px": np.array([220.0, 220.0])}
        write_parquet(own.folder / "cells" / f"B01_{index:04d}.parquet", UM_PER_PX, **some)
    cells_run(own.run, "odd", settings())
    notes = read_json(own.run / "analyze" / "odd" / "metrics.json")["notes"]
    assert notes == [
        "B01 section 4: most cells lie within 1 um of another; was the section segmented twice?",
        "B01 section 5: none of its 2 cells lies in cortex",
        "B01: no cells in the tables of sections 3: left out",
    ]
    for index in PLANES_MM:
        one = {name: values[:1] for name, values in draw_cells(index).items()}
        write_parquet(own.folder / "cells" / f"B01_{index:04d}.parquet", UM_PER_PX, **one)
    cells_run(own.run, "one", settings())
    assert "cells lie around 0 %" in read_json(own.run / "analyze" / "one" / "metrics.json")["notes"][0]
    with pytest.raises(QualityError, match=r"cells around less than 0.25 mm2 of cortex"):
        cells_run(own.run, "hull", settings(tables={"field": "cells"}))


def test_what_does_not_fit_is_named(own):
    with pytest.raises(CellError, match="no table of cells of B01, expected at least one"):
        cells_run(own.run, "x", settings(tables={"files": "nowhere/{section}.csv"}))
    with pytest.raises(CellError, match="without an area"):
        for index in PLANES_MM:
            cells = draw_cells(index)
            places = {name: cells[name][:2000] for name in ("column_px", "row_px")}
            write_parquet(own.folder / "cells" / f"B01_{index:04d}.parquet", UM_PER_PX, **places)
        cells_run(own.run, "x", settings(volume={"section_um": 20.0, "overcount": "abercrombie"}))
    for layer in ({}, {"layer": np.full(2000, "deep")}):
        for index in PLANES_MM:
            cells = draw_cells(index)
            places = {name: cells[name][:2000] for name in ("column_px", "row_px")}
            write_parquet(own.folder / "cells" / f"B01_{index:04d}.parquet", UM_PER_PX, **places, **layer)
        with pytest.raises(CellError, match="cells without a layer, expected a column layer"):
            cells_run(own.run, "x", settings(layers={"source": "table"}))
    for index in PLANES_MM:
        middle = {"column_px": [220.0, 221.0], "row_px": [220.0, 220.0]}
        write_parquet(own.folder / "cells" / f"B01_{index:04d}.parquet", UM_PER_PX, **middle)
    with pytest.raises(QualityError, match="6 cells, none of them in the cortex"):
        cells_run(own.run, "x", settings())
    for index in PLANES_MM:
        write_parquet(
            own.folder / "cells" / f"B01_{index:04d}.parquet", UM_PER_PX, column_px=[0.0][:0], row_px=[0.0][:0]
        )
    with pytest.raises(CellError, match="no cell of B01"):
        cells_run(own.run, "x", settings())
