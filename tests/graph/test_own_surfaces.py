"""Surfaces that a study gives: sections are linked to them as they are, or one clear error says why not."""

import json

import nibabel.freesurfer as freesurfer
import numpy as np
import pytest
import shapely
import yaml

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.bigbrain.prepare import MM_PER_PX, coronal_plane, section_a
from cytomesh.core.config import load_config
from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import CytomeshError, SurfaceError
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.cuts import on_cut_rings
from cytomesh.graph.features import save_features
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.inputs import SectionInput
from cytomesh.graph.lookup import open_lookup
from cytomesh.graph.own_surfaces import check_own_surfaces
from cytomesh.graph.spheres import load_spheres
from cytomesh.graph.storage import load_graph, load_surface
from cytomesh.study.check import check_study
from cytomesh.study.contours import HemisphereContours, SectionContours
from cytomesh.study.sections import Section, write_sections
from cytomesh.study.study import open_study
from cytomesh.surface.gifti import write_scalars, write_surface
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_mesh

NAME = "B01_hemi-L"
PIAL, WHITE = np.array([12.0, 9.0, 10.0]), np.array([9.5, 6.5, 7.5])
KINDS = ("pial", "white", "sphere")
WALL_X = 8.0  # the medial wall of the open surface: cut off beyond


def settings(*overrides: str) -> BuildGraphConfig:
    return load_config(BuildGraphConfig, None, ["surface.voxel_mm=0.5", "surface.edge_length_mm=1.5", *overrides])


def ellipsoids() -> dict[str, Mesh]:
    """Pial, white and sphere of the study's hemisphere; vertices in no order that a program would give them."""
    unit = sphere_mesh(4, 1.0)
    order = np.random.default_rng(0).permutation(unit.n_vertices)
    vertices, faces = unit.vertices[order], np.argsort(order)[unit.faces]
    return {kind: Mesh(vertices * size, faces) for kind, size in (("pial", PIAL), ("white", WHITE), ("sphere", 100.0))}


def opened(mesh: Mesh) -> Mesh:
    """Without the triangles of the medial wall; all vertices stay."""
    wall = ellipsoids()["pial"].vertices[:, 0] > WALL_X
    return Mesh(mesh.vertices, mesh.faces[~wall[mesh.faces].any(axis=1)])


def give(manifest, meshes, side="L", **keys):
    """Write surfaces beside a study and name them in its manifest."""
    files = {}
    for kind, mesh in meshes.items():
        files[kind] = f"own/{kind}.surf.gii"
        (manifest.parent / "own").mkdir(exist_ok=True)
        write_surface(manifest.parent / files[kind], mesh, side, kind)
    data = yaml.safe_load(manifest.read_text())
    data["brains"][0]["surfaces"] = {"L": {**files, **keys}}
    manifest.write_text(yaml.safe_dump(data))
    return manifest


def problems_of(manifest, **options):
    """What `study check` says, but for the annotation of the whole image."""
    problems = check_study(manifest, own=check_own_surfaces, **options).problems
    return [problem for problem in problems if "outside every pial" not in problem.found]


def without_contours(manifest):
    table = manifest.parent / "sections.tsv"
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    column = rows[0].index("contours")
    table.write_text("\n".join("\t".join([*r[:column], "n/a", *r[column + 1 :]]) for r in rows[1:]) + "\n")
    table.write_text("\t".join(rows[0]) + "\n" + table.read_text())
    return manifest


@pytest.fixture(scope="module")
def own(tmp_path_factory, write_ellipsoids):
    """A run on given surfaces and sections with contours: (manifest, run, summary)."""
    folder = tmp_path_factory.mktemp("own")
    manifest = give(write_ellipsoids(folder / "study"), ellipsoids())
    return manifest, folder / "run", build_graphs(manifest, folder / "run", settings(), workers=1)


def test_node_i_is_vertex_i_of_the_files(own):
    _, run, summary = own
    given, graph = ellipsoids(), load_graph(own[1] / "graphs" / NAME)
    for kind, mesh in given.items():
        found = load_surface(run, NAME, kind)
        np.testing.assert_array_equal(found.vertices, mesh.vertices.astype(np.float32))
        np.testing.assert_array_equal(found.faces, mesh.faces)
    middle = (given["pial"].vertices + given["white"].vertices) / 2
    np.testing.assert_allclose(graph.nodes.stack(("x_mm", "y_mm", "z_mm")), middle, atol=1e-5)
    np.testing.assert_array_equal(graph.mesh.faces, given["pial"].faces)
    assert summary[NAME]["n_nodes"] == 2562 and summary[NAME]["n_linked"] > 2400
    assert load_spheres(run, [graph])[0].shape == (2562, 3)


def test_links_lie_in_the_cortex_and_carry_annotation(own):
    graph = load_graph(own[1] / "graphs" / NAME)
    linked, middle = graph.is_linked, (PIAL + WHITE) / 2
    x, z = 0.1 * graph.nodes["column_px"][linked] - 15.0, 15.0 - 0.1 * graph.nodes["row_px"][linked]
    y = graph.section[linked] - 9.5
    assert np.abs(np.sqrt((x / middle[0]) ** 2 + (y / middle[1]) ** 2 + (z / middle[2]) ** 2) - 1).max() < 0.01
    assert set(np.unique(graph.annotation)) == {0, 1, 2}
    assert np.isfinite(graph.nodes["thickness_mm"]).all() and (graph.nodes["curvature_per_mm"] > 0).mean() > 0.95
    place = open_lookup(own[1], NAME)
    assert place.graph.n_nodes == 2562


def test_the_record_and_the_page_say_where_surfaces_come_from(own):
    folder = own[1] / "graphs" / NAME
    qc, page = json.loads((folder / "qc.json").read_text()), (folder / "qc.html").read_text()
    assert qc["surfaces_from"] == "own files" and qc["own_files"]["pial"] == "own/pial.surf.gii"
    assert "Surfaces from your own files" in page and "own/white.surf.gii" in page and "surfaces given" in page
    names = {verdict["name"] for verdict in qc["verdicts"]}
    assert not any("topology correction" in name or "contours' own" in name for name in names)
    assert {"pial: contour to surface, mean of the worst section", "nodes linked, of all"} <= names
    assert max(s["pial_distance_mm"]["mean"] or 0 for s in qc["sections"]) < 0.2


def test_own_surfaces_of_a_rebuilt_graph_give_its_links_again(tmp_path, write_ellipsoids):
    manifest = write_ellipsoids(tmp_path / "study", missing=(8,))
    build_graphs(manifest, tmp_path / "rebuilt", settings(), workers=1)
    rebuilt = load_graph(tmp_path / "rebuilt" / "graphs" / NAME)
    places = rebuilt.nodes.stack(("x_mm", "y_mm", "z_mm"))  # in float64, which GIFTI does not have
    give(manifest, {kind: load_surface(tmp_path / "rebuilt", NAME, kind) for kind in ("pial", "white")},
         midthickness="own/middle.ply")  # fmt: skip
    write_double_ply(manifest.parent / "own" / "middle.ply", Mesh(places, rebuilt.mesh.faces))
    build_graphs(manifest, tmp_path / "own", settings(), workers=1)
    graph = load_graph(tmp_path / "own" / "graphs" / NAME)
    np.testing.assert_array_equal(graph.section, rebuilt.section)
    for name in ("column_px", "row_px", "distance_mm"):
        np.testing.assert_allclose(graph.nodes[name], rebuilt.nodes[name], atol=1e-6)
    np.testing.assert_allclose(graph.nodes["angle_deg"], rebuilt.nodes["angle_deg"], atol=1e-2)
    np.testing.assert_array_equal(graph.annotation, rebuilt.annotation)
    np.testing.assert_array_equal(graph.nodes["link_reason"], rebuilt.nodes["link_reason"])
    np.testing.assert_allclose(graph.nodes["sulcal_depth_mm"], rebuilt.nodes["sulcal_depth_mm"], atol=1e-3)


def write_double_ply(path, mesh):
    head = f"ply\nformat ascii 1.0\nelement vertex {mesh.n_vertices}\nproperty double x\nproperty double y\n"
    head += f"property double z\nelement face {mesh.n_faces}\nproperty list uchar int vertex_indices\nend_header\n"
    rows = [" ".join(map(repr, vertex)) for vertex in mesh.vertices.tolist()]
    path.write_text(head + "\n".join([*rows, *(f"3 {a} {b} {c}" for a, b, c in mesh.faces)]) + "\n")


def test_sections_without_contours_are_linked_by_their_planes(own, tmp_path, write_ellipsoids):
    manifest = without_contours(give(write_ellipsoids(tmp_path / "study"), ellipsoids()))
    assert problems_of(manifest) == []
    build_graphs(manifest, tmp_path / "run", settings("alignment.enabled=true"), workers=1)
    graph, drawn = load_graph(tmp_path / "run" / "graphs" / NAME), load_graph(own[1] / "graphs" / NAME)
    assert graph.digest == drawn.digest
    page = (tmp_path / "run" / "graphs" / NAME / "qc.html").read_text()
    assert "surfaces given" not in page and "NaN" not in page


def test_an_open_surface_and_a_cortex_map_are_said_and_pass(tmp_path, write_ellipsoids, cytomesh):
    manifest = give(
        write_ellipsoids(tmp_path / "study"),
        map_meshes(opened, KINDS),
        cortex="own/cortex.shape.gii",
    )
    x = ellipsoids()["pial"].vertices[:, 0]
    write_scalars(manifest.parent / "own" / "cortex.shape.gii", {"cortex": x < WALL_X - 1}, "L")
    summary = build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    graph = load_graph(tmp_path / "run" / "graphs" / NAME)
    assert graph.n_nodes == 2562 and summary[NAME]["n_outside_cortex"] == (~graph.is_cortex).sum()
    np.testing.assert_array_equal(graph.is_cortex, x < WALL_X - 1)
    reasons = graph.nodes["link_reason"]
    assert (reasons[x > WALL_X + 1] == "in no triangle").all()
    assert (reasons[(x > WALL_X - 1) & (x < WALL_X - 0.5)] == "no cortex in the study's map").all()
    assert not graph.is_linked[~graph.is_cortex].any() and graph.is_linked[graph.is_cortex].mean() > 0.97
    page = (tmp_path / "run" / "graphs" / NAME / "qc.html").read_text()
    assert "pial: open, with" in page and "checks passed" in page
    # what comes after works on a mesh with a hole, and spins by the sphere that was given
    values = np.where(graph.is_linked[:, None], graph.positions, np.nan).astype(np.float32)
    save_features(tmp_path / "run", "places", graph, values, {})
    inputs = ("--set", "inputs.names=['features:places']", "--set", "model={kind: logistic}")
    for words in (
        ("classify", "--name", "linear", *inputs, "--set", "split={kind: section}", "--set", "null.spins=2"),
        ("parcellate", "--set", "encoder=places", "--set", "n_parcels=4", "--set", "evaluation={spins: 2, tilings: 2}"),
        ("report",),
        ("status",),
    ):
        code, _, errors = cytomesh(words[0], "--out", tmp_path / "run", *words[1:])
        assert code == 0, errors


def map_meshes(change, kinds=("pial", "white")):
    return {kind: change(mesh) if kind in kinds else mesh for kind, mesh in ellipsoids().items()}


def test_freesurfer_files_are_taken_to_scanner_coordinates(own, tmp_path, write_ellipsoids):
    manifest, centre = write_ellipsoids(tmp_path / "study"), np.array([5.0, -17.0, 19.0])
    volume = {"head": np.array([2, 0, 20], np.int32), "valid": "1  # volume info valid", "filename": "orig.mgz",
              "volume": np.array([256, 256, 256]), "voxelsize": np.ones(3), "xras": np.array([-1.0, 0, 0]),
              "yras": np.array([0, 0, -1.0]), "zras": np.array([0, 1.0, 0]), "cras": centre}  # fmt: skip
    for kind, mesh in ellipsoids().items():
        vertices = mesh.vertices - (0 if kind == "sphere" else centre)
        path = manifest.parent / f"lh.{kind}"
        freesurfer.write_geometry(path, vertices.astype(np.float32), mesh.faces, volume_info=volume)
    give(manifest, {}, **{kind: f"lh.{kind}" for kind in ("pial", "white", "sphere")})
    build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    graph, gifti = load_graph(tmp_path / "run" / "graphs" / NAME), load_graph(own[1] / "graphs" / NAME)
    np.testing.assert_allclose(graph.positions, gifti.positions, atol=1e-4)
    assert (graph.section == gifti.section).mean() > 0.99
    np.testing.assert_array_equal(graph.mesh.faces, gifti.mesh.faces)
    # the same numbers without the volume's centre, as `mris_convert` writes them by default
    give(manifest, map_meshes(moved(-centre)))
    with pytest.raises(SurfaceError, match="c_ras"):
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)


def test_changed_surfaces_make_the_graph_stale(own, tmp_path, write_ellipsoids):
    manifest, run = give(write_ellipsoids(tmp_path / "study"), ellipsoids()), tmp_path / "run"
    build_graphs(manifest, run, settings(), workers=1)
    assert not build_graphs(manifest, run, settings(), workers=1)[NAME]["is_new"]
    given = ellipsoids()
    write_surface(manifest.parent / "own" / "pial.surf.gii", Mesh(given["pial"].vertices * 1.01, given["pial"].faces),
                  "L", "pial")  # fmt: skip
    assert Freshness(run, FileDigests()).reasons(f"graphs/{NAME}") == ["pial of B01 L changed"]
    assert build_graphs(manifest, run, settings(), workers=1)[NAME]["is_new"]
    data = yaml.safe_load(manifest.read_text())
    del data["brains"][0]["surfaces"]["L"]["sphere"]
    manifest.write_text(yaml.safe_dump(data))
    assert Freshness(run, FileDigests()).reasons(f"graphs/{NAME}") == ["sphere of B01 L gone"]


def moved(by):
    return lambda mesh: Mesh(mesh.vertices + np.asarray(by), mesh.faces)


def scaled(factor):
    return lambda mesh: Mesh(mesh.vertices * factor, mesh.faces)


def exchanged(meshes):
    return {**meshes, "pial": meshes["white"], "white": meshes["pial"]}


WRONG = {
    "micrometres": (map_meshes(scaled(1000.0)), r"24000 mm long, expected 3 to 500 mm"),
    "metres": (map_meshes(scaled(0.001)), r"0\.024 mm long, expected 3 to 500 mm"),
    "beyond the stack": (map_meshes(moved((0, 40, 0))), r"from 3\d.* to 4\d.* mm.*from -9\.5 to 9\.5 mm.*c_ras"),
    "outside the images": (map_meshes(moved((-60, 0, 0))), "0% of the vertices near a section within its image"),
    "off the contours": (map_meshes(moved((6, 0, 4))), r"pial contours \d\.\d mm from the surface"),
    "pial inside": (exchanged(ellipsoids()), "exchange pial and white"),
    "turned": ({k: Mesh(m.vertices, m.faces[:, ::-1]) for k, m in ellipsoids().items()}, "flip-normals"),
    "other mesh": (ellipsoids() | {"white": sphere_mesh(3, 8.0)}, r"white\.surf\.gii.*642 vertices.*2562 vertices"),
    "other triangles": (
        {k: Mesh(m.vertices, m.faces[::-1]) if k == "white" else m for k, m in ellipsoids().items()},
        "join other vertices",
    ),
    "no sphere": (ellipsoids() | {"sphere": moved((60, 0, 0))(ellipsoids()["sphere"])}, "sphere around the origin"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_one_error_and_one_problem(name, tmp_path, write_ellipsoids):
    meshes, words = WRONG[name]
    manifest = give(write_ellipsoids(tmp_path / "study"), meshes)
    with pytest.raises(CytomeshError, match=words) as caught:
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    problems = problems_of(manifest)
    assert [str(problem) for problem in problems] == [str(caught.value)]
    assert caught.value.source.endswith(".surf.gii") and caught.value.hint and caught.value.expected


def test_a_file_of_the_other_side_is_refused(tmp_path, write_ellipsoids):
    manifest = give(write_ellipsoids(tmp_path / "study"), ellipsoids(), side="R")
    with pytest.raises(SurfaceError, match="says it is of hemisphere R"):
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)


def test_sides_that_are_exchanged_are_refused(tmp_path, write_ellipsoids):
    manifest = give(write_ellipsoids(tmp_path / "study"), ellipsoids())
    given = ellipsoids()
    for kind in ("pial", "white"):
        write_surface(manifest.parent / "own" / f"R.{kind}.surf.gii", moved((-3.0, 0, 0))(given[kind]), "R", kind)
    data = yaml.safe_load(manifest.read_text())
    brain = data["brains"][0]
    brain["hemispheres"] = ["L", "R"]
    brain["surfaces"]["R"] = {kind: f"own/R.{kind}.surf.gii" for kind in ("pial", "white")}
    manifest.write_text(yaml.safe_dump(data))
    with pytest.raises(SurfaceError, match="x to grow from left to right"):
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    assert "exchange L and R" in str(problems_of(manifest)[-1])
    brain["hemispheres"] = ["L"]
    manifest.write_text(yaml.safe_dump(data))
    with pytest.raises(CytomeshError, match="surfaces of R, which is not among hemispheres"):
        open_study(manifest)


def test_a_surface_beyond_the_midline_of_whole_brain_images_is_refused(tmp_path, write_ellipsoids):
    small = {kind: Mesh(mesh.vertices * 0.45 + [7.0, 0, 0], mesh.faces) for kind, mesh in ellipsoids().items()
             if kind != "sphere"}  # fmt: skip
    manifest = without_contours(give(write_ellipsoids(tmp_path / "study"), small))
    with pytest.raises(SurfaceError, match=r"x below 0 \(RAS\)"):
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)
    # a mirror image of it is right
    left = {kind: Mesh(mesh.vertices * [-1, 1, 1], mesh.faces[:, ::-1]) for kind, mesh in small.items()}
    give(manifest, left)
    assert build_graphs(manifest, tmp_path / "run", settings(), workers=1)[NAME]["n_linked"] > 2000


def test_surfaces_off_the_tissue_are_a_problem_of_the_study(tmp_path, write_ellipsoids):
    from PIL import Image, ImageDraw

    manifest = without_contours(write_ellipsoids(tmp_path / "study"))
    for section in open_study(manifest).brain("B01").sections:
        shrink = np.sqrt(max(1 - (section.plane.offset_mm / PIAL[1]) ** 2, 0.0))
        image = Image.new("L", (300, 300), 235)
        half = 10 * shrink * PIAL[[0, 2]]
        ImageDraw.Draw(image).ellipse([*(149.5 - half), *(149.5 + half)], fill=90)
        image.save(section.image)
    give(manifest, ellipsoids())
    assert problems_of(manifest) == []
    give(manifest, map_meshes(moved((5.0, 0, -4.0))))
    assert problems_of(manifest, depth="quick") == []  # within the images: pixels alone tell
    (problem,) = problems_of(manifest)
    assert "of the midsurface on tissue (median of 6 images)" in problem.found and "c_ras" in problem.hint


def test_an_absent_file_is_named_with_its_field(tmp_path, write_ellipsoids):
    manifest = give(write_ellipsoids(tmp_path / "study"), ellipsoids(), cortex="none.shape.gii")
    (problem,) = problems_of(manifest)
    assert problem.place == "brains.B01.surfaces.L.cortex" and "none.shape.gii" in problem.found
    with pytest.raises(CytomeshError, match=r"none\.shape\.gii"):
        build_graphs(manifest, tmp_path / "run", settings(), workers=1)


@pytest.mark.real
@pytest.mark.slow
def test_bigbrain_s_own_mesh_is_linked_to_its_section(real_data, tmp_path):
    bigbrain = real_data / "bigbrain"
    image, files = section_a(bigbrain), {}
    plane = coronal_plane(image.y_mm, image.x0_mm, image.z0_mm)
    write_sections(tmp_path / "sections.tsv", [Section("bigbrain", 0, image.path, 1000 * MM_PER_PX, plane)])
    data = load_nodes(bigbrain, "L", "164k")
    for kind, mesh in surfaces(data).items():
        files[kind] = f"{kind}.surf.gii"
        write_surface(tmp_path / files[kind], mesh, "L", kind)
    np.save(tmp_path / "cortex.npy", data["valid"].astype(np.int8))
    own = {"L": {**files, "cortex": "cortex.npy"}}
    brain = {"id": "bigbrain", "role": "train", "hemispheres": ["L"], "sections": "sections.tsv", "surfaces": own}
    study = {"name": "A", "species": "human", "stain": "Merker", "space": {"name": "bigbrain"}, "brains": [brain]}
    study["data_roots"] = [str(image.path.parent)]
    manifest = tmp_path / "study.yaml"
    manifest.write_text(yaml.safe_dump(study))
    assert problems_of(manifest) == []
    build_graphs(manifest, tmp_path / "run", settings("links.max_distance_mm=0.6", "links.max_reach_mm=2"), workers=1)
    graph = load_graph(tmp_path / "run" / "graphs" / "bigbrain_hemi-L")
    # the reference puts a vertex half-way between its pial and white point, projected onto the plane
    reference = np.load(bigbrain / "sections" / "coronal_A_node_links.npz", allow_pickle=False)
    vertices = reference["L_vertex"]
    expected = (reference["L_pial_colrow"].astype(np.float64) + reference["L_white_colrow"]) / 2
    away = np.linalg.norm(graph.nodes.stack(("column_px", "row_px"))[vertices] - expected, axis=1)
    assert graph.is_linked[vertices].mean() > 0.98 and graph.is_linked.sum() <= len(vertices)
    assert np.nanmedian(away[np.abs(reference["L_mid_dy_mm"]) < 0.1]) < 1.0


def test_rings_on_a_cut_say_nothing_of_vertices_far_from_them(shapes):
    plane, ring = shapes.coronal(0.0), shapely.box(400, 400, 600, 600)
    contours = SectionContours(
        {"L": HemisphereContours(shapely.MultiPolygon([ring]))}, cut=shapely.box(590, 0, 610, 999)
    )
    item = SectionInput(Section("B", 0, None, 50.0, plane), plane, contours, (1001, 1001))
    on_ring = plane.world(np.array([[600.0, 500.0], [400.0, 500.0]]))
    points = np.concatenate([on_ring, on_ring + np.array([0.0, 3.0, 0.0])])
    kept = load_config(BuildGraphConfig, None).cuts
    assert on_cut_rings([item], "L", points, kept).tolist() == [True, False, True, False]
    assert on_cut_rings([item], "L", points, kept, 1.0).tolist() == [True, False, False, False]
