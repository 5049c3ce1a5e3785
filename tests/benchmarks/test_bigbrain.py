"""The fixed entry points on real data."""

import json

import numpy as np
import pytest

from cytomesh.graph.features import load_features
from cytomesh.graph.inputs import plane_contours, read_inputs
from cytomesh.graph.storage import load_graphs, load_surface
from cytomesh.study.contours import read_contours
from cytomesh.study.study import open_study
from cytomesh.surface.ends import cut_ends
from tests.processes import run_module

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def study(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bigbrain")
    done = run_module(
        "benchmarks.bigbrain.prepare", "--out", folder, "--data", real_data, "--json", folder / "facts.json"
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_contours_become_a_study_that_opens(study):
    brain = open_study(study / "study.yaml").brain("bigbrain")
    assert len(brain.sections) == 144 and brain.hemispheres == ("L", "R")
    with_image = [section for section in brain.sections if section.image]
    assert len(with_image) == 1 and with_image[0].plane.offset_mm == pytest.approx(4.05)
    assert json.loads((study / "facts.json").read_text())["y_mm"] == 4.05


def test_the_hemispheres_end_by_poles_and_a_block_of_them_by_cuts(study):
    sections = open_study(study / "study.yaml").brain("bigbrain").sections
    for side in ("L", "R"):
        contours = plane_contours(read_inputs(sections, side, 1, skip_bad=False), side)
        assert cut_ends(contours) == (False, False)
        assert cut_ends(contours[60:90]) == (True, True)


def test_rings_in_pixels_keep_their_area_and_holes(study):
    brain = open_study(study / "study.yaml").brain("bigbrain")
    section = next(s for s in brain.sections if abs(s.plane.offset_mm - 4.0) < 1e-6)
    left = read_contours(section)["L"]
    to_mm2 = (section.um_per_px / 1000.0) ** 2
    assert 1000 < left.pial.area * to_mm2 < 6000
    assert 0.3 < left.white.area / left.pial.area < 0.8
    world = section.plane.world(np.asarray(left.pial.geoms[0].exterior.coords))
    assert world[:, 0].max() < 10 and world[:, 0].min() > -75


def test_another_section_takes_the_place_of_a_contour_plane(real_data, tmp_path):
    png = real_data / "bigbrain" / "sections" / "bigbrain_coronal_A.png"
    places = ("--y-mm", 4.0, "--x0-mm", -70.58, "--z0-mm", 62.06)
    done = run_module("benchmarks.bigbrain.prepare", "--out", tmp_path, "--data", real_data, "--section", png, *places)
    assert done.returncode == 0, done.stderr
    sections = open_study(tmp_path / "study.yaml").brain("bigbrain").sections
    with_image = [section for section in sections if section.image]
    assert len(sections) == 143 and len(with_image) == 1 and with_image[0].contours is not None
    assert run_module("benchmarks.bigbrain.prepare", "--out", tmp_path, "--section", png).returncode != 0


@pytest.mark.parametrize(("key", "n_areas"), [("economo", 38), ("julich26", 81), ("yeo7", 7)])
def test_nodes_become_graphs_by_the_protocol(real_data, tmp_path, key, n_areas):
    done = run_module("benchmarks.bigbrain.nodes", "--out", tmp_path, "--data", real_data, "--labels", key)
    assert done.returncode == 0, done.stderr
    graphs = load_graphs(tmp_path)
    assert [graph.name for graph in graphs] == ["bigbrain_hemi-L", "bigbrain_hemi-R"]
    for graph in graphs:
        assert graph.n_nodes == 10242 and len(graph.labels) == n_areas
        assert not any("GapMap" in name for name in graph.labels.names)
        features = np.asarray(load_features(tmp_path, "profiles", graph))
        linked = graph.is_linked
        assert features.shape == (10242, 24) and np.isnan(features[~linked]).all()
        assert features[linked].mean(axis=0) == pytest.approx(0.0, abs=0.05)
        assert np.abs(features[linked]).max() <= 5.0
        assert (graph.annotation[~linked] == 0).all()
        counts = np.bincount(graph.annotation, minlength=max(graph.labels.indices) + 1)
        assert counts[list(graph.labels.indices)].min() >= 20
        assert np.linalg.norm(load_surface(tmp_path, graph.name, "sphere").vertices, axis=1) == pytest.approx(
            100, abs=0.1
        )


def test_an_unknown_label_key_names_the_known_ones(real_data, tmp_path):
    done = run_module("benchmarks.bigbrain.nodes", "--out", tmp_path, "--data", real_data, "--labels", "brodmann")
    assert done.returncode != 0 and "economo" in done.stderr


@pytest.mark.slow
def test_contours_of_a_hemisphere_become_its_surfaces(study, real_data, tmp_path):
    manifest = study / "left.yaml"  # the study is that of other tests, too
    manifest.write_text((study / "study.yaml").read_text().replace("  - R\n", ""))
    options = [
        "--set",
        "surface.voxel_mm=0.8",
        "--set",
        "surface.edge_length_mm=2.0",
        "--set",
        "links.max_distance_mm=0.6",
    ]
    done = run_module("cytomesh", "build-graph", manifest, "--out", tmp_path, *options, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)["bigbrain_hemi-L"]
    assert facts["euler_number"] == 2 and facts["n_linked"] > 100
    graph = load_graphs(tmp_path)[0]
    assert set(graph.section[graph.is_linked]) == {10405}
    assert load_surface(tmp_path, graph.name, "pial").volume_mm3 == pytest.approx(334840, rel=0.03)
