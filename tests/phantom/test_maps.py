"""Surfaces and maps as other programs write them: read by `graph import` without a word."""

import numpy as np
import pytest
import yaml
from scipy.spatial import cKDTree

from cytomesh.graph.features import load_features
from cytomesh.graph.imports import import_graphs
from cytomesh.graph.storage import load_graphs
from cytomesh.phantom.maps import LAYER_MAPS, MIRROR, divided_icosahedron, draw_maps, write_phantom_maps
from cytomesh.surface.any_surface import read_any_surface

N_AREAS = 12


def hemisphere(side: str, style: str) -> dict[str, object]:
    h = f"{side.lower()}h"
    own = {"brain": "B1", "hemisphere": side}
    if style == "freesurfer":
        own |= {kind: f"surf/{h}.{kind}" for kind in ("pial", "white", "sphere")}
        own |= {"cortex": f"surf/{h}.thickness", "labels": f"label/{h}.areas.annot"}
        return own | {"features": [f"surf/{h}.{name}" for name in LAYER_MAPS]}
    own |= {kind: f"{side}.{kind}.32k.surf.gii" for kind in ("pial", "white", "sphere")}
    own |= {"cortex": f"{side}.atlasroi.32k.shape.gii", "labels": "areas.32k.dlabel.nii"}
    return own | {"features": ["layers.32k.dscalar.nii"]}


@pytest.mark.parametrize(("style", "n"), [("freesurfer", 10_242), pytest.param("hcp", 32_492, marks=pytest.mark.slow)])
def test_what_is_written_is_imported_as_it_was_drawn(style, n, tmp_path, capsys):
    write_phantom_maps(tmp_path, style, n_areas=N_AREAS)
    manifest = tmp_path / "surfaces.yaml"
    manifest.write_text(yaml.safe_dump({"name": style, "hemispheres": [hemisphere(side, style) for side in "LR"]}))
    summary = import_graphs(manifest, tmp_path / "run")
    assert capsys.readouterr().err == ""
    for graph in load_graphs(tmp_path / "run"):
        drawn = draw_maps(graph.hemisphere, style, N_AREAS)
        assert graph.n_nodes == n and summary[graph.name]["n_features"] == 6
        np.testing.assert_array_equal(graph.is_linked, drawn.is_cortex)
        np.testing.assert_array_equal(graph.annotation, drawn.labels)
        assert set(drawn.labels[drawn.is_cortex]) == set(range(1, N_AREAS + 1))
        features = load_features(tmp_path / "run", "maps", graph)[drawn.is_cortex]
        expected = np.column_stack(list(drawn.maps.values()))[drawn.is_cortex]
        np.testing.assert_allclose(features, expected, rtol=1e-6)
        thickness = np.linalg.norm(drawn.surfaces["pial"].vertices - drawn.surfaces["white"].vertices, axis=1)
        np.testing.assert_allclose(expected.sum(axis=1).mean(), thickness[drawn.is_cortex].mean(), rtol=0.05)


def test_areas_of_both_sides_are_mirror_images():
    left, right = (draw_maps(side, "freesurfer", N_AREAS) for side in "LR")
    spheres = [known.surfaces["sphere"].vertices for known in (left, right)]
    _, nearest = cKDTree(spheres[0]).query(spheres[1] * MIRROR)
    both = left.is_cortex[nearest] & right.is_cortex
    assert (left.labels[nearest] == right.labels)[both].mean() > 0.95


@pytest.mark.parametrize("frequency", [1, 2, 5])
def test_a_divided_icosahedron_is_a_sphere(frequency):
    mesh = divided_icosahedron(frequency)
    assert (mesh.n_vertices, mesh.euler_number, mesh.is_closed) == (10 * frequency**2 + 2, 2, True)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 1.0)
    corners = mesh.vertices[mesh.faces]
    assert (np.linalg.det(corners) > 0).all()  # outward


def test_the_command_says_what_it_wrote(tmp_path, cytomesh):
    left_behind = tmp_path / "maps" / "surf" / ".partial-99999999-lh.pial"  # by a process that was killed
    left_behind.parent.mkdir(parents=True)
    left_behind.touch()
    code, said, _ = cytomesh("phantom-maps", "--out", tmp_path / "maps", "--areas", N_AREAS)
    assert not left_behind.exists()
    assert code == 0 and "10242" in said
    assert read_any_surface(tmp_path / "maps" / "surf" / "lh.pial").n_vertices == 10_242
