"""Annotations that cytomesh writes, through QuPath and back: class, colour, name and geometry stay.

QuPath itself (Java) is not run: what it takes from GeoJSON, and writes, is done here as
qupath.lib.io.QuPathTypeAdapters and PathClassTypeAdapter of QuPath 0.6 do.
"""

import json
import uuid
from dataclasses import replace

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, mapping, shape

from cytomesh.core.labels import LabelTable
from cytomesh.study.annotation import read_annotation
from cytomesh.study.contour_formats.geojson import write_geojson
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

LABELS = LabelTable.from_names(["V1", "V2", "Area: hOc1"])


def imported(document):
    """Objects as QuPath has them: members that it does not know are lost, what is missing gets its default."""
    objects = []
    for feature in document["features"]:
        assert feature["type"] == "Feature"
        properties = feature["properties"]
        given = properties.get("classification") or {}
        names = given.get("names") or [part.strip() for part in given.get("name", "").split(":") if part.strip()]
        colour = given.get("color")
        assert colour is None or (len(colour) == 3 and all(isinstance(v, int) and 0 <= v < 256 for v in colour))
        objects.append(
            {
                "id": uuid.UUID(feature["id"]),
                "type": properties.get("objectType", "annotation"),
                "roi": shape(feature["geometry"]),
                "class": (tuple(names), tuple(colour) if colour else None),
                "name": properties.get("name"),
                "is_locked": properties.get("isLocked", False),
            }
        )
    return objects


def exported(objects, within=None):
    """GeoJSON as QuPath writes it; with `within`, the others are child objects of that one."""
    features = []
    for item in objects:
        names, colour = item["class"]
        classification = {"names": list(names)} if len(names) > 1 else {"name": names[0]}
        classification |= {"color": list(colour or (200, 0, 0))}
        properties = {"objectType": item["type"], "name": item["name"], "classification": classification}
        properties |= {"isLocked": True} if item["is_locked"] else {}
        properties |= {"measurements": {"Area px^2": item["roi"].area}, "metadata": {"ANNOTATION_DESCRIPTION": "x"}}
        properties = {key: value for key, value in properties.items() if value is not None}
        feature = {"type": "Feature", "id": str(item["id"]), "geometry": mapping(item["roi"]), "properties": properties}
        features.append(feature)
    if within is not None:
        outer = features.pop(within)
        outer["properties"]["childObjects"] = features
        features = [outer]
    return {"type": "FeatureCollection", "features": features}


@pytest.fixture
def areas():
    """Areas with a hole and with two parts, in pixels whose centres are integers."""
    hole = shapely.box(20, 20, 30, 30)
    return {
        "V1": MultiPolygon([shapely.box(10, 10, 60, 60).difference(hole)]),
        "V2": MultiPolygon([shapely.box(70, 10, 90, 40), shapely.box(70, 50.25, 90, 80)]),
        "Area: hOc1": MultiPolygon([hole]),
    }


def labels_at(path, places):
    section = Section("B01", 1, None, 20.0, SectionPlane(np.eye(3)), annotation=path)
    return read_annotation(replace(section), LABELS).sample(places)


@pytest.mark.parametrize("within", [None, 0])
def test_classes_colours_names_and_geometry_come_back(areas, tmp_path, within):
    colours = {name: [10 * i, 20, 255 - i] for i, name in enumerate(areas)}
    path = tmp_path / "areas.geojson"
    write_geojson(path, areas, colours)
    objects = imported(json.loads(path.read_text()))
    assert [": ".join(item["class"][0]) for item in objects] == ["V1", "V2", "V2", "Area: hOc1"]
    assert {": ".join(item["class"][0]): list(item["class"][1]) for item in objects} == colours
    assert len({item["id"] for item in objects}) == 4 and {item["type"] for item in objects} == {"annotation"}
    objects[1] |= {"name": "left bank", "is_locked": True}
    path.write_text(json.dumps(exported(objects, within)))
    again = imported({"features": _flat(json.loads(path.read_text())["features"])})
    assert [item["name"] for item in again].count("left bank") == 1
    assert {item["class"] for item in again} == {item["class"] for item in objects}
    places = np.random.default_rng(0).uniform(0, 100, (4000, 2))
    expected = np.zeros(len(places), int)
    for label, polygons in zip((1, 2, 3), areas.values(), strict=True):
        expected[shapely.contains_xy(polygons, *places.T)] = label
    np.testing.assert_array_equal(labels_at(path, places), expected)


def test_the_same_outlines_have_the_same_bytes(areas, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_geojson(tmp_path / name / "s.geojson", areas)
    assert (tmp_path / "a" / "s.geojson").read_bytes() == (tmp_path / "b" / "s.geojson").read_bytes()


def _flat(features):
    return [item for feature in features for item in (feature, *_flat(feature["properties"].get("childObjects", [])))]
