"""A brain of the phantom that is cut along it, and at a tilt: surfaces and links lie where they should."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
import yaml
from PIL import Image
from scipy.spatial import cKDTree

from cytomesh.core.config import load_config
from cytomesh.core.labels import LabelTable
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.storage import load_graph, load_surface
from cytomesh.phantom.brain import declare
from cytomesh.phantom.config import ArtefactConfig, PhantomBrainConfig, PhantomConfig, SectionConfig
from cytomesh.phantom.ribbon import Slab
from cytomesh.phantom.section import contours
from cytomesh.study.atlas import write_labels
from cytomesh.study.contours import HemisphereContours, SectionContours, read_contours, write_contours
from cytomesh.study.sections import write_sections
from cytomesh.surface.gifti import read_surface

BRAIN, NAME = PhantomBrainConfig(id="S01", role="train", plane="sagittal", tilt_deg=20.0), "S01_hemi-L"
CUT = SectionConfig(um_per_px=500, annotation_um_per_px=500, spacing_mm=5, misalignment_mm=0)
SETTINGS = ("surface.voxel_mm=1.5", "surface.edge_length_mm=4")
NORMAL = (np.cos(np.radians(20)), 0.0, np.sin(np.radians(20)))
"""Of the planes, which contain the axis from back to front: sagittal ones turned about it."""
KINDS = ("pial", "midthickness", "white")


@pytest.fixture(scope="module")
def built(small_study, tmp_path_factory):
    """The true surfaces of a phantom brain cut that way, and what is built of the contours: (run, truth, sections)."""
    folder = tmp_path_factory.mktemp("sagittal")
    truth = {kind: read_surface(small_study / "truth" / "sub-T01" / f"hemi-L_{kind}.surf.gii") for kind in KINDS}
    n, pial, white = truth["pial"].n_vertices, truth["pial"], truth["white"]
    slab = Slab(pial.vertices, white.vertices, pial.faces, np.zeros(n, np.int32), np.zeros((n, 6), np.float32))
    whole = SimpleNamespace(config=BRAIN, cortex=SimpleNamespace(pial=pial.vertices, faces=pial.faces))
    brains = PhantomConfig(brains=(BRAIN,), sections=CUT, artefacts=ArtefactConfig(missing=0, torn=0, gradient=0))
    sections = []
    for section, true, shape, _ in declare(whole, brains, folder):
        np.testing.assert_allclose(np.abs(section.plane.normal @ NORMAL), 1.0)
        section.image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(shape, 200, np.uint8)).save(section.image.with_suffix(".png"))
        write_contours(section.contours, SectionContours({"L": HemisphereContours(*contours(slab, true, 500.0))}))
        facts = {"annotation": None, "annotation_um_per_px": None, "image": section.image.with_suffix(".png")}
        sections.append(replace(section, **facts))
    write_sections(folder / "sections.tsv", sections)
    write_labels(folder / "labels.tsv", LabelTable.from_names(["A"]))
    brain = {"id": "S01", "role": "train", "hemispheres": ["L"], "sections": "sections.tsv"}
    study = {"name": "sagittal", "species": "none", "stain": "none", "space": {"name": "own"}, "brains": [brain]}
    study["atlas"] = {"labels": "labels.tsv", "space": "own"}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    build_graphs(folder / "study.yaml", folder / "run", load_config(BuildGraphConfig, None, SETTINGS), workers=1)
    return folder / "run", truth, {section.index: section for section in sections}


@pytest.mark.parametrize("kind", KINDS)
def test_vertices_lie_on_the_true_surface(built, kind):
    run, truth, _ = built
    true = truth[kind]
    dense = np.concatenate([true.vertices, true.vertices[true.faces].mean(axis=1)])  # 1 mm apart
    away, _ = cKDTree(dense).query(load_surface(run, NAME, kind).vertices)
    assert np.median(away) < 0.8
    assert np.quantile(away, 0.95) < 2.5  # between planes 5 mm apart


def crossings(graph, section):
    """The segments in which a section's plane cuts the midsurface, by its matrix alone: starts and ends, (n, 3)."""
    column, row, origin = section.plane.to_world.T
    height = (graph.positions - origin) @ np.cross(column, row)
    is_above = height[graph.mesh.faces] > 0
    found = []
    for triangle in graph.mesh.faces[is_above.any(axis=1) & ~is_above.all(axis=1)]:
        for a, b in zip(triangle, np.roll(triangle, 1), strict=True):
            if (height[a] > 0) != (height[b] > 0):
                share = height[a] / (height[a] - height[b])
                found.append(graph.positions[a] + share * (graph.positions[b] - graph.positions[a]))
    return np.array(found[::2]), np.array(found[1::2])


def distances(point, starts, ends):
    along = ends - starts
    share = np.clip(((point - starts) * along).sum(axis=1) / (along**2).sum(axis=1), 0.0, 1.0)
    return np.linalg.norm(starts + share[:, None] * along - point, axis=1)


def test_links_are_the_nearest_points_of_all_cuts_by_each_sections_matrix(built):
    run, _, sections = built
    graph = load_graph(run / "graphs" / NAME)
    assert graph.is_linked.mean() > 0.97
    cuts = {index: crossings(graph, section) for index, section in sections.items()}
    everywhere = [np.concatenate(ends) for ends in zip(*cuts.values(), strict=True)]
    is_nearest = []
    for node in np.random.default_rng(0).permutation(np.flatnonzero(graph.is_linked))[:300]:
        section, place = sections[int(graph.section[node])], graph.positions[node]
        column, row, origin = section.plane.to_world.T
        seen = graph.nodes["column_px"][node] * column + graph.nodes["row_px"][node] * row + origin
        assert distances(seen, *cuts[section.index]).min() < 1e-3
        away = (place - origin) @ np.cross(column, row) / np.linalg.norm(np.cross(column, row))
        assert abs(graph.nodes["distance_mm"][node]) == pytest.approx(abs(away), abs=1e-3)
        is_nearest.append(np.linalg.norm(seen - place) < distances(place, *everywhere).min() + 1e-3)
    assert np.mean(is_nearest) > 0.9  # of the others the nearest one lies on the other bank


def test_linked_pixels_lie_in_the_cortex_of_the_contours_and_point_to_the_pial_side(built):
    run, _, sections = built
    graph = load_graph(run / "graphs" / NAME)
    outward = load_surface(run, NAME, "pial").vertices - load_surface(run, NAME, "white").vertices
    is_cortex, turns = [], []
    for index, section in sections.items():
        rows = np.flatnonzero(graph.section == index)
        pixels = np.stack([graph.nodes["column_px"][rows], graph.nodes["row_px"][rows]], axis=1)
        ribbon = read_contours(section)["L"]
        is_cortex.append(shapely.contains_xy(ribbon.pial, *pixels.T) & ~shapely.contains_xy(ribbon.white, *pixels.T))
        column, row, _ = section.plane.to_world.T
        expected = np.degrees(np.arctan2(-outward[rows] @ row, outward[rows] @ column))
        turns.append(np.abs((graph.nodes["angle_deg"][rows] - expected + 180) % 360 - 180))
    assert np.concatenate(is_cortex).mean() > 0.85
    assert np.median(np.concatenate(turns)) < 15
