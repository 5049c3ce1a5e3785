import base64
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from cytomesh.core.tables import Table
from cytomesh.report.surfaces import VIEWS, folds, inflated, opening_view, pack, reduced_mesh
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_graph


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    shape = trimesh.creation.icosphere(4, 40.0)
    return Mesh(shape.vertices, shape.faces)


SIDES = ((0, -1), (0, 1), (2, 1), (2, -1), (1, 1), (1, -1))


@pytest.mark.parametrize(("view", "axis", "sign"), [(v, *side) for v, side in zip(VIEWS, SIDES, strict=True)])
def test_a_block_opens_on_its_cortex_and_a_hemisphere_laterally(view: str, axis: int, sign: int) -> None:
    """A left one, whose other faces are cuts; cortex behind a cut face is not seen through it."""
    graph = sphere_graph()
    assert graph.hemisphere == "L" and opening_view(graph) == "lateral"
    is_cortex = sign * graph.positions[:, axis] > 0.5 * np.abs(graph.positions).max()
    block = replace(graph, nodes=Table({**graph.nodes.columns, "is_cortex": is_cortex}))
    assert opening_view(block) == view


def test_small_mesh_is_kept(sphere: Mesh) -> None:
    keep, faces = reduced_mesh(sphere, 5000)
    np.testing.assert_array_equal(keep, np.arange(sphere.n_vertices))
    assert faces is sphere.faces


def test_reduced_mesh_consists_of_own_vertices(sphere: Mesh) -> None:
    keep, faces = reduced_mesh(sphere, 800)
    reduced = Mesh(sphere.vertices[keep], faces)
    assert 600 < len(keep) < 1000
    assert reduced.area_mm2 == pytest.approx(sphere.area_mm2, rel=0.03)
    assert reduced.euler_number == 2


def test_inflated_keeps_place_and_size_and_loses_folds(sphere: Mesh) -> None:
    folded = sphere.vertices * (1 + 0.1 * np.sin(sphere.vertices[:, 1:2]))
    smooth = inflated(folded, sphere.faces)
    np.testing.assert_allclose(smooth.mean(axis=0), folded.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(smooth.std(axis=0), folded.std(axis=0), rtol=1e-9)
    radius = np.linalg.norm(smooth, axis=1)
    assert radius.std() < 0.5 * np.linalg.norm(folded, axis=1).std()


def test_packed_arrays_come_back() -> None:
    values = np.array([0, 1, 65535], np.uint16)
    packed = pack(values)
    assert packed["type"] == "Uint16Array"
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(packed["data"]), "<u2"), values)


def test_folds_are_dark_in_sulci_and_bright_on_crowns() -> None:
    graph = sphere_graph()
    bulge = np.sin(graph.positions[:, 2] / 8)
    bulge[5] = np.nan
    shade = folds(replace(graph, nodes=Table({**graph.nodes.columns, "curvature_per_mm": bulge})))
    assert shade.dtype == np.uint8
    assert shade[bulge > 0.9].min() > 180 and shade[bulge < -0.9].max() < 76
    flat = folds(replace(graph, nodes=Table({**graph.nodes.columns, "curvature_per_mm": 0 * graph.positions[:, 0]})))
    assert (flat == 128).all()
