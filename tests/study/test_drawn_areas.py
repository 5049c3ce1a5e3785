"""Areas as QuPath polygons, against the same areas as an image and against a slow reference."""

import gzip
import json
import logging
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import shapely
from PIL import Image

from cytomesh.core.errors import ContourError
from cytomesh.core.labels import LabelTable
from cytomesh.graph.annotate import transfer_annotation
from cytomesh.graph.links import ImageLinks
from cytomesh.study.annotation import read_annotation
from cytomesh.study.check import check_study
from cytomesh.study.manifest import AnnotationSettings, ContourSettings
from cytomesh.study.sections import read_sections
from cytomesh.study.study import open_study

LABELS = LabelTable.from_names(["V1", "V2", "M1"])
SQUARE = [[10, 10], [40, 10], [40, 40], [10, 40], [10, 10]]


def box(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def drawn(classification, *polygons, **more):
    """An annotation as QuPath exports it; `polygons` are lists of rings."""
    geometry = {"type": "Polygon", "coordinates": polygons[0]}
    if len(polygons) > 1:
        geometry = {"type": "MultiPolygon", "coordinates": list(polygons)}
    properties = {"objectType": "annotation"}
    if classification is not None:
        properties["classification"] = classification if isinstance(classification, dict) else {"name": classification}
    return {"type": "Feature", "id": "0", "geometry": geometry, "properties": properties, **more}


@pytest.fixture
def section(study_folder):
    return read_sections(study_folder.table, "B01")[1]


@pytest.fixture
def areas(section, tmp_path):
    """Write features to a file and read them as the section's annotation."""

    def read(*features, classes=None, repair=False, contours=None, **changes):
        path = tmp_path / "areas.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        settings = {
            "annotation_settings": AnnotationSettings(classes=classes or {}),
            "contour_settings": contours or ContourSettings(repair=repair),
        }
        return read_annotation(replace(section, annotation=path, **settings, **changes), LABELS)

    return read


def by_rays(points, rings):
    """Even-odd rule, edge by edge."""
    x, y = np.transpose(points)
    is_inside = np.zeros(len(points), bool)
    for ring in rings:
        for (x0, y0), (x1, y1) in pairwise(ring):
            if y0 != y1:
                is_inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return is_inside


def star(random, x, y, radius, n=40):
    angles = np.sort(random.uniform(0, 2 * np.pi, n))
    radii = radius * random.uniform(0.5, 1.0, n)
    ring = np.c_[x + radii * np.cos(angles), y + radii * np.sin(angles)].round(3).tolist()
    return [*ring, ring[0]]


def stars(random):
    holed = [star(random, 25, 30, 22), star(random, 25, 30, 8)]
    return [
        ("V1", [holed]),
        ("V2", [[star(random, 60, 25, 15)], [star(random, 60, 48, 8)]]),
        ("M1", [[star(random, 15, 18, 12)]]),
    ]


def test_points_are_in_the_areas_that_a_slow_reference_finds(areas):
    random = np.random.default_rng(3)
    named = stars(random)
    annotation = areas(*(drawn(name, *polygons) for name, polygons in named))
    pixels = random.uniform([-5, -5], [85, 65], (3000, 2))
    expected = np.zeros(len(pixels), int)
    for name, polygons in named:
        for rings in polygons:
            expected[by_rays(pixels + 0.5, rings)] = LABELS.index(name)  # QuPath counts from the corner of pixel (0, 0)
    assert all((expected == label).sum() > 20 for label in (0, 1, 2, 3))
    np.testing.assert_array_equal(annotation.sample(pixels), expected)
    places = annotation.labelled(2000)
    assert 1000 < len(places) < 4000 and (annotation.sample(places) > 0).all()
    np.testing.assert_array_equal(annotation.extent, [80, 60])


def test_polygons_and_a_fine_image_of_them_name_nodes_alike(areas, section, tmp_path):
    random = np.random.default_rng(4)
    named = stars(random)
    polygons = areas(*(drawn(name, *parts) for name, parts in named))
    fine = np.zeros((240, 320), np.uint8)  # four pixels to one of the image
    rows, columns = np.mgrid[:240, :320]
    for name, parts in named:
        for rings in parts:
            inside = by_rays((np.c_[columns.ravel(), rows.ravel()] + 0.5) / 4, rings)
            fine[inside.reshape(fine.shape)] = LABELS.index(name)
    Image.fromarray(fine).save(tmp_path / "fine.png")
    image = replace(section, annotation=tmp_path / "fine.png", annotation_um_per_px=section.um_per_px / 4)
    pixels = random.uniform([0, 0], [79, 59], (20000, 2))
    n = len(pixels)
    links = replace(ImageLinks.empty(np.full(n, "")), section=np.full(n, section.index, np.int32), pixels=pixels)
    by_image = transfer_annotation([image], links, LABELS)
    by_polygons = transfer_annotation([replace(section, annotation=tmp_path / "areas.geojson")], links, LABELS)
    np.testing.assert_array_equal(by_polygons, polygons.sample(pixels))
    differ = by_image != by_polygons
    edges = np.concatenate([np.diff(r, axis=0) for _, parts in named for rings in parts for r in map(np.array, rings)])
    starts = np.concatenate([np.array(r)[:-1] for _, parts in named for rings in parts for r in rings]) - 0.5
    for pixel in pixels[differ]:
        along = np.clip(((pixel - starts) * edges).sum(1) / (edges**2).sum(1), 0, 1)
        assert np.linalg.norm(starts + along[:, None] * edges - pixel, axis=1).min() < 0.5 / 4 * np.sqrt(2) + 1e-6
    assert 0 < differ.mean() < 0.05


def test_names_are_mapped_and_what_is_no_area_is_ignored(areas):
    features = [
        drawn("pial_L", [SQUARE]),  # contours in the same file
        drawn("Ignore*", [SQUARE]),
        drawn("Tissue", [SQUARE]),
        drawn(None, [SQUARE]),
        drawn("striate", [box(0, 0, 10, 10)]),
        drawn({"names": ["Cortex", "V2"], "color": [1, 2, 3]}, [box(10, 0, 20, 10)]),
        drawn("M1", [box(20, 0, 30, 10)]),
    ]
    annotation = areas(*features, classes={"striate": "V1", "*": "ignore"})
    np.testing.assert_array_equal(annotation.sample([[5, 5], [15, 5], [25, 5], [25, 30]]), [1, 2, 3, 0])
    with pytest.raises(ContourError) as caught:
        areas(*features, drawn("v1", [SQUARE]))
    text = str(caught.value)
    assert "feature 2 ('Tissue'): unknown class 'Tissue'" in text and "feature 3: no classification" in text
    assert 'or leave all others out by "*": ignore in annotations.classes' in text
    assert "unknown class 'v1', expected an area of the label table (V1, V2, M1)" in text
    with pytest.raises(ContourError, match=r"areas.geojson.*did you mean 'V1'\?.*annotations.classes"):
        areas(drawn("V1a", [SQUARE]))


def test_what_the_study_calls_a_ring_is_no_area_of_the_label_table(areas):
    rings = ContourSettings(classes={"V2": "pial_L", "M1": "ignore"})
    features = (drawn("V1", [SQUARE]), drawn("V2", [box(0, 0, 50, 50)]), drawn("M1", [box(60, 10, 80, 40)]))
    places = np.array([[20.0, 20.0], [5.0, 5.0], [70.0, 20.0]])
    assert areas(*features, contours=rings).sample(places).tolist() == [1, 0, 3]
    assert areas(*features, contours=rings, classes={"V2": "V1"}).sample(places).tolist() == [1, 1, 3]


def test_the_last_of_overlapping_areas_counts_and_is_said(areas):
    outer, inner = drawn("V1", [SQUARE]), drawn("V2", [box(20, 20, 30, 30)])
    for features in ([outer, inner], [drawn("V1", [SQUARE], childObjects=[inner])]):
        found = areas(*features)
        np.testing.assert_array_equal(found.sample([[25, 25], [15, 15]]), [2, 1])
        assert found.overlap is None
    # a stroke over the border, and areas side by side
    found = areas(outer, drawn("V2", [box(39.9, 10, 70, 40)]), drawn("M1", [box(10, 40, 40, 55)]))
    assert found.overlap is None and found.crossing.is_empty
    found = areas(inner, outer)
    np.testing.assert_array_equal(found.sample([[25, 25]]), [1])
    assert "'V1' over 100% of 'V2'" in found.overlap.found
    found = areas(outer, drawn("V2", [box(30, 10, 70, 40)]))
    np.testing.assert_array_equal(found.sample([[35, 25]]), [2])
    assert found.overlap.found == "areas that overlap: 'V2' over 33% of 'V1'"
    assert found.crossing.equals(shapely.box(29.5, 9.5, 39.5, 39.5))


def test_overlaps_are_said_once_of_the_hemisphere_that_they_are_in(section, tmp_path, caplog, study_folder):
    """Both hemispheres of a brain are on one section, and each reads its file."""
    path = tmp_path / "areas.geojson"
    path.write_text(json.dumps({"features": [drawn("V1", [SQUARE]), drawn("V2", [box(30, 10, 70, 40)])]}))
    with caplog.at_level(logging.WARNING, "cytomesh"):
        for pixels in ([[35.0, 25.0], [15.0, 15.0]], [[60.0, 25.0], [15.0, 15.0]]):
            links = replace(
                ImageLinks.empty(np.full(2, "")), section=np.full(2, section.index, np.int32), pixels=np.array(pixels)
            )
            transfer_annotation([replace(section, annotation=path)], links, LABELS)
    (record,) = caplog.records
    assert "areas.geojson" in record.message and "'V2' over 33% of 'V1'" in record.message
    caplog.clear()
    several = [replace(section, index=index, annotation=path) for index in (1, 2, 3)]
    links = replace(
        ImageLinks.empty(np.full(3, "")), section=np.arange(1, 4, dtype=np.int32), pixels=np.full((3, 2), [35.0, 25.0])
    )
    with caplog.at_level(logging.WARNING, "cytomesh"):
        transfer_annotation(several, links, LABELS)
    (record,) = caplog.records
    assert record.message.count("areas that overlap") == 1
    assert record.message.endswith("So in 2 more sections: 'cytomesh study check' lists all")
    (study_folder.folder / "sub-B01" / "areas.geojson").write_bytes(path.read_bytes())
    study_folder.change_table("areas2.png", "areas.geojson")
    report = check_study(study_folder.manifest)
    assert [warning.found for warning in report.warnings] == ["areas that overlap: 'V2' over 33% of 'V1'"]


def test_packed_files_and_empty_ones(section, tmp_path):
    path = tmp_path / "areas.geojson.gz"
    path.write_bytes(gzip.compress(json.dumps({"features": [drawn("V1", [SQUARE])]}).encode()))
    annotation = read_annotation(replace(section, annotation=path), LABELS)
    np.testing.assert_array_equal(annotation.sample([[25, 25], [5, 5]]), [1, 0])
    path.write_bytes(gzip.compress(b'{"type": "FeatureCollection", "features": []}'))
    annotation = read_annotation(replace(section, annotation=path), LABELS)
    assert not annotation.sample([[25, 25]]).any() and annotation.labelled(100).shape == (0, 2)


BOW = [[10, 10], [40, 40], [40, 10], [10, 40], [10, 10]]


@pytest.mark.parametrize(
    ("features", "changes", "message"),
    [
        ([drawn("V1", [BOW])], {}, "ring crosses itself at \\(25.0, 25.0\\) px.*contours.repair"),
        ([drawn("V1", [box(10, 10, 95, 40)])], {}, "ring over columns 10.0 to 95.0.*within the image \\(80 x 60 px"),
        ([drawn("V1", [box(1000, 1000, 7000, 5000)])], {}, "look like micrometres"),
        ([drawn("V1", [SQUARE])], {"annotation_um_per_px": 400.0}, "pixel size of 400 um for polygons.*write n/a"),
        ([drawn("V1", [[[1, 1], [2, 2]]])], {}, "a ring of 2 different points"),
        ([{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {
            "classification": {"name": "V1"}}}], {}, "found a Point, expected a closed ring"),
    ],
)  # fmt: skip
def test_polygons_that_cannot_be_used(areas, features, changes, message):
    with pytest.raises(ContourError, match=message):
        areas(*features, **changes)


def test_repair_mends_areas_too(areas):
    annotation = areas(drawn("V1", [BOW]), repair=True)
    np.testing.assert_array_equal(annotation.sample([[25, 12], [25, 38], [13, 25], [37, 25]]), [0, 0, 1, 1])


def test_study_check_reads_them_before_anything_is_built(study_folder):
    path = study_folder.folder / "sub-B01" / "areas.geojson"
    study_folder.change_table("areas2.png", "areas.geojson")

    def write(name, ring):
        path.write_text(json.dumps({"features": [drawn(name, [ring])]}))
        return [str(problem) for problem in check_study(study_folder.manifest).problems]

    assert write("V1", box(12, 12, 18, 48)) == []
    (problem,) = write("V3", box(12, 12, 18, 48))
    assert "areas.geojson" in problem and "unknown class 'V3'" in problem
    (problem,) = write("V1", box(72, 1, 79, 59))
    assert "100% of the labelled pixels outside every pial contour" in problem
    study_folder.change(annotations={"classes": {"V3": "V2"}})
    assert write("V3", box(12, 12, 18, 48)) == []
    assert open_study(study_folder.manifest).brains[0].sections[1].annotation_settings.classes == {"V3": "V2"}
    study_folder.change(annotations={"classes": {"V3": "V4"}})
    (problem,) = write("V1", box(12, 12, 18, 48))
    assert "annotations.classes.V3: found 'V4', expected an area of labels.tsv, or ignore" in problem
