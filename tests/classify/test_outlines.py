import json
import re

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon

from cytomesh.classify import outlines
from cytomesh.classify.label_rings import label_polygons
from cytomesh.classify.outlines import section_outlines, write_outlines
from cytomesh.core.errors import GraphError
from cytomesh.graph.links import Ribbon
from cytomesh.graph.lookup import CortexLookup
from cytomesh.study.planes import SectionPlane
from cytomesh.surface.mesh import Mesh
from tests.classify.conftest import change, make_graph

UM = 0.1  # mm per pixel
PIXELS = ("column_px", "row_px")


@pytest.fixture(scope="module")
def lookup():
    """A spherical cortex, 3 mm thick, cut through its middle; areas 1 and 2 on either side of x = 0."""
    graph = make_graph(subdivisions=4)
    x, y, z = graph.positions.T
    near = np.abs(y) < 3
    graph = change(
        graph,
        section=np.where(near, 7, -1).astype(np.int32),
        column_px=np.where(near, (x + 50) / UM, np.nan),
        row_px=np.where(near, (50 - z) / UM, np.nan),
        annotation=np.where(x > 0, 1, 2).astype(np.int32),
    )
    pial, white = (Mesh(graph.positions * r / 40, graph.mesh.faces) for r in (41.5, 38.5))
    plane = SectionPlane(np.array([[UM, 0, -50], [0, 0, 0], [0, -UM, 50]]))
    return CortexLookup(graph, Ribbon(pial, graph.mesh, white), {7: plane})


def test_half_rings_where_the_areas_are(lookup):
    found = section_outlines(lookup, 7, lookup.graph.annotation, step_mm=0.5)
    assert set(found) == {1, 2}
    half_ring = np.pi * (41.5**2 - 38.5**2) / 2 / UM**2
    for label, polygons in found.items():
        assert polygons.area == pytest.approx(half_ring, rel=0.06)
        column, row = polygons.centroid.coords[0]
        assert (column * UM - 50 > 20) == (label == 1)
        assert abs(50 - row * UM) < 1
    assert found[1].intersection(found[2]).area < 0.01 * half_ring


def test_nodes_without_a_place_in_the_image_change_nothing(lookup):
    labels = lookup.graph.annotation
    whole = section_outlines(lookup, 7, labels, step_mm=1.0)
    nodes = lookup.graph.nodes.columns
    seen = np.flatnonzero(lookup.graph.section == 7)
    _, places = lookup.pixels(seen)
    is_outmost = ((places == places.min(axis=0)) | (places == places.max(axis=0))).any(axis=1)
    lost = seen[~is_outmost][::7]  # the grid stays where it is
    pixels = {name: np.where(np.isin(np.arange(len(labels)), lost), np.nan, nodes[name]) for name in PIXELS}
    some = CortexLookup(change(lookup.graph, **pixels), lookup.ribbon, lookup.planes)
    found = section_outlines(some, 7, labels, step_mm=1.0)
    assert found.keys() == whole.keys()
    for label, polygons in found.items():
        assert polygons.equals_exact(whole[label], 0)
    none = change(lookup.graph, **dict.fromkeys(PIXELS, np.full(len(labels), np.nan)))
    assert section_outlines(CortexLookup(none, lookup.ribbon, lookup.planes), 7, labels, step_mm=1.0) == {}
    for section in (8, -1):
        with pytest.raises(GraphError, match=f"found section {section}"):
            section_outlines(lookup, section, labels, step_mm=1.0)


def test_unnamed_cortex_has_no_outline_and_qupath_reads_the_rest_in_its_colours(lookup, tmp_path, monkeypatch):
    labels = np.where(lookup.graph.annotation == 2, 0, 1).astype(np.int32)
    found = section_outlines(lookup, 7, labels, step_mm=1.0)
    assert set(found) == {1}
    monkeypatch.setattr(outlines, "open_lookup", lambda run, name: lookup)
    write_outlines(tmp_path, tmp_path, lookup.graph, labels, step_mm=1.0)
    (path,) = (tmp_path / "outlines").iterdir()
    assert path.name == f"{lookup.graph.name}_section-0007.geojson"
    written = json.loads(path.read_text())
    colour = np.rint(255 * lookup.graph.labels.colours[0, :3]).astype(int).tolist()
    classes = [feature["properties"]["classification"] for feature in written["features"]]
    assert all(item == {"name": "area 1", "color": colour} for item in classes)
    corner = np.array(written["features"][0]["geometry"]["coordinates"][0]).min(axis=0)
    # QuPath counts from the pixel's corner
    assert corner == pytest.approx(np.array(found[1].bounds[:2]) + 0.5, abs=0.005)


def test_written_outlines_have_two_decimals_and_stay_valid(lookup, tmp_path, monkeypatch):
    monkeypatch.setattr(outlines, "open_lookup", lambda run, name: lookup)
    write_outlines(tmp_path, tmp_path, lookup.graph, lookup.graph.annotation, step_mm=0.33)
    (path,) = (tmp_path / "outlines").iterdir()
    assert not re.search(r"\.\d{3}", path.read_text())
    found = section_outlines(lookup, 7, lookup.graph.annotation, step_mm=0.33)
    assert len(shapely.get_coordinates(list(found.values()))) > 100
    read = {label: [] for label in found}
    for feature in json.loads(path.read_text())["features"]:
        name = feature["properties"]["classification"]["name"]
        read[lookup.graph.labels.index(name)].append(shapely.geometry.shape(feature["geometry"]))
    assert shapely.coverage_is_valid([MultiPolygon(polygons) for polygons in read.values()])
    for label, region in found.items():
        written = shapely.affinity.translate(MultiPolygon(read[label]), -0.5, -0.5)
        assert written.is_valid and written.hausdorff_distance(region) < 0.01


def test_samples_outside_the_cortex_are_not_looked_up_and_nothing_else_changes(lookup, monkeypatch):
    looked_up = []
    places = CortexLookup.places

    def count(self, section, pixels, near):
        looked_up.append(len(pixels))
        return places(self, section, pixels, near)

    monkeypatch.setattr(CortexLookup, "places", count)
    few = section_outlines(lookup, 7, lookup.graph.annotation, step_mm=0.4)
    monkeypatch.setattr(outlines, "MARGIN", np.inf)
    everything = section_outlines(lookup, 7, lookup.graph.annotation, step_mm=0.4)
    assert few.keys() == everything.keys()
    assert all(few[label].equals_exact(everything[label], 0) for label in few)
    # a ring of 3 mm and its margin, of one of 10 mm
    assert looked_up[0] < 0.5 * looked_up[1]


def _boxes_joined(image):
    """Each label's pixels as squares, joined. Slow on purpose."""
    squares = {}
    for (row, column), label in np.ndenumerate(image):
        if label:
            squares.setdefault(int(label), []).append(shapely.box(column - 0.5, row - 0.5, column + 0.5, row + 0.5))
    return {label: shapely.union_all(own) for label, own in squares.items()}


@pytest.mark.parametrize("n_labels", [1, 2, 5])
def test_label_polygons_are_their_pixels(n_labels):
    random = np.random.default_rng(n_labels)
    # pixels at random: holes, islands in holes, regions that touch themselves and others at corners, and the border
    image = random.integers(0, n_labels + 1, (30, 40)).astype(np.int32)
    found, expected = label_polygons(image), _boxes_joined(image)
    assert found.keys() == expected.keys()
    for label, region in found.items():
        assert region.is_valid
        assert region.equals(expected[label])


@pytest.mark.parametrize("n_labels", [1, 2, 5])
def test_smooth_borders_are_shared_and_cross_nowhere(n_labels):
    image = np.random.default_rng(n_labels).integers(0, n_labels + 1, (30, 40)).astype(np.int32)
    found = outlines._polygons(image, np.zeros(2), 1.0)
    assert list(found) == list(range(1, n_labels + 1))
    regions = np.array(list(found.values()))
    assert shapely.is_valid(regions).all() and shapely.coverage_is_valid(regions)


def test_slanted_borders_have_no_stairs():
    """Three areas about a point and a ground of none: borders as long as straight ones, areas as large, no gaps."""
    row, column = np.mgrid[:120, :150]
    angle = np.arctan2(row - 60.3, column - 70.2)
    is_inside = np.hypot(row - 60.3, column - 70.2) < 50
    image = np.where(is_inside, 1 + np.searchsorted([-2.0, 0.9], angle) % 3, 0).astype(np.int32)
    found = outlines._polygons(image, np.zeros(2), 1.0)
    whole = shapely.union_all(list(found.values()))
    assert shapely.coverage_is_valid(np.array(list(found.values())))
    assert len(whole.geoms if hasattr(whole, "geoms") else [whole]) == 1 and not whole.interiors
    assert whole.area == pytest.approx(np.count_nonzero(image), rel=0.01)
    assert whole.length == pytest.approx(2 * np.pi * 50, rel=0.01)
    for label, region in found.items():
        assert region.area == pytest.approx(np.count_nonzero(image == label), rel=0.01)
    borders = sum(region.length for region in found.values()) - whole.length
    assert borders == pytest.approx(2 * 3 * 50, rel=0.02)  # stairs would be up to 41 % longer


def test_no_labels_no_polygons():
    assert label_polygons(np.zeros((4, 5), np.int32)) == {}
