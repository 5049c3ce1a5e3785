import dataclasses

import numpy as np
import pytest

from cytomesh.core.errors import QualityError
from cytomesh.graph.config import CheckConfig
from cytomesh.graph.links import LinkSection, Ribbon, link_positions
from cytomesh.graph.qc import check_links, check_surfaces, link_facts, surface_facts, unused_sections
from cytomesh.surface.mesh import Mesh


def facts_of(mesh):
    ribbon = Ribbon(mesh, mesh, mesh)
    return surface_facts(ribbon, np.full(mesh.n_vertices, 2.0))


def torus(n=12):
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    u, v = 2 * np.pi * i / n, 2 * np.pi * j / n
    vertices = np.stack([(3 + np.cos(v)) * np.cos(u), (3 + np.cos(v)) * np.sin(u), np.sin(v)], axis=-1).reshape(-1, 3)
    a, b = i * n + j, ((i + 1) % n) * n + j
    c, d = ((i + 1) % n) * n + (j + 1) % n, i * n + (j + 1) % n
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return Mesh(vertices, faces)


def test_a_sphere_passes_and_its_facts_are_right(shapes):
    ribbon = shapes.sphere(4)
    facts = surface_facts(ribbon, np.full(ribbon.pial.n_vertices, 2.0))
    check_surfaces("B_hemi-L", facts, CheckConfig())
    assert facts["pial"]["area_mm2"] == pytest.approx(4 * np.pi * 100, rel=0.01)
    assert facts["thickness_mm"]["median"] == 2.0
    assert facts["thickness_histogram"]["counts"].sum() == ribbon.pial.n_vertices


def test_a_handle_fails_unless_it_is_only_to_be_reported():
    facts = facts_of(torus())
    with pytest.raises(QualityError, match=r"Euler number 0.*require_euler"):
        check_surfaces("B_hemi-L", facts, CheckConfig())
    check_surfaces("B_hemi-L", facts, CheckConfig(require_euler=False))
    assert facts["pial"]["euler_number"] == 0


def test_two_pieces_and_holes_fail(shapes):
    sphere = shapes.sphere(1).pial
    two = Mesh(
        np.concatenate([sphere.vertices, sphere.vertices + 50]),
        np.concatenate([sphere.faces, sphere.faces + sphere.n_vertices]),
    )
    with pytest.raises(QualityError, match="2 separate pieces"):
        check_surfaces("B_hemi-L", facts_of(two), CheckConfig())
    with pytest.raises(QualityError, match="open surface"):
        check_surfaces("B_hemi-L", facts_of(Mesh(sphere.vertices, sphere.faces[1:])), CheckConfig(require_euler=False))


@pytest.fixture
def linked(shapes):
    ribbon = shapes.sphere(4)
    nodes = ribbon.midthickness.vertices
    sections = [LinkSection(i, shapes.coronal(float(y)), (1001, 1001)) for i, y in enumerate(range(-9, 10))]
    return nodes, sections, link_positions(ribbon, sections, nodes, 0.5, 1.0)


def test_good_links_pass_and_are_counted(linked):
    nodes, sections, links = linked
    check_links("B_hemi-L", links, nodes, sections, len(nodes), 1.0, 0.8)
    facts = link_facts(links, len(nodes), len(nodes))
    assert facts["n_linked"] == links.is_linked.sum() == sum(facts["nodes_per_section"].values())
    assert sum(facts["reasons"].values()) + facts["n_linked"] == len(nodes)
    assert facts["distance_mm"]["max"] <= 0.5 + 1e-9
    assert link_facts(links, 0, len(nodes))["share_linked_of_reachable"] is None


def test_a_link_outside_its_image_fails(linked):
    nodes, sections, links = linked
    smaller = [dataclasses.replace(section, shape=(600, 600)) for section in sections]
    with pytest.raises(QualityError, match="links inside their image"):
        check_links("B_hemi-L", links, nodes, smaller, len(nodes), 1.0, 0.0)


def test_a_link_far_from_its_node_fails(linked):
    nodes, sections, links = linked
    wrong = dataclasses.replace(links, pixels=links.pixels + 80.0)
    with pytest.raises(QualityError, match="mm from its node"):
        check_links("B_hemi-L", wrong, nodes, sections, len(nodes), 1.0, 0.0)


def test_too_few_links_fail_and_say_why(shapes):
    ribbon = shapes.sphere(3)
    nodes = ribbon.midthickness.vertices
    sections = [LinkSection(4, shapes.coronal(0.0), (1001, 480))]
    links = link_positions(ribbon, sections, nodes, 1.0, 2.0)
    n_reachable = int((np.abs(nodes[:, 1]) <= 1.0).sum())
    with pytest.raises(QualityError, match=r"no section within 1 mm.*outside the image of section 4"):
        check_links("B_hemi-L", links, nodes, sections, n_reachable, 2.0, 0.8)


def test_unused_sections_say_why():
    record = {
        "unusable_sections": {"12": "missing", "7": "damaged"},
        "skipped_sections": [{"section": 9, "problem": "p"}],
    }
    assert unused_sections(record) == ["section 7: damaged", "section 9: left out: p", "section 12: missing"]
    assert unused_sections({}) == []
