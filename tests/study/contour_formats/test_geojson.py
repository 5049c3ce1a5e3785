import json
import unicodedata

import pytest
from shapely.geometry import MultiPolygon, box

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats import geojson
from cytomesh.study.contour_formats.geojson import geojson_features, write_geojson
from cytomesh.study.contour_formats.json_file import load_json


def test_round_trip_is_corner_based(tmp_path):
    path = tmp_path / "c.geojson"
    write_geojson(path, {"tissue": MultiPolygon([box(0, 0, 4, 4).difference(box(1, 1, 2, 2))])})
    (feature,) = geojson_features(path, load_json(path))
    assert feature.names == ("tissue",) and feature.place == "feature 0 ('tissue')"
    (rings,) = feature.polygons
    assert [len(ring) for ring in rings] == [5, 5] and rings[0].min() == 0.5 and rings[0].max() == 4.5


def test_bare_list_and_points_with_heights(tmp_path):
    path = tmp_path / "c.json"
    geometry = {"type": "Polygon", "coordinates": [[[0, 0, 7], [1, 0, 7], [1, 1, 7], [0, 0, 7]]]}
    path.write_text(json.dumps([{"type": "Feature", "geometry": geometry}]))
    (feature,) = geojson_features(path, load_json(path))
    assert feature.polygons[0][0].shape == (4, 2) and feature.names == ()


def test_features_are_counted(tmp_path, monkeypatch):
    path = tmp_path / "bomb.geojson"
    monkeypatch.setattr(geojson, "MAX_FEATURES", 2)
    path.write_text("[{},{},{}]")
    with pytest.raises(ContourError, match="found 3 objects or more.*limit MAX_FEATURES"):
        geojson_features(path, load_json(path))


def write(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return load_json(path)


def feature(classification, **more):
    geometry = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    return {"geometry": geometry, "properties": {"classification": classification}, **more}


@pytest.mark.parametrize(
    ("classification", "names"),
    [
        ({"name": "pial_L"}, ("pial_L",)),
        ("pial_L", ("pial_L",)),
        ({"names": ["Cortex", "pial_L"]}, ("Cortex: pial_L", "Cortex", "pial_L")),
        ({"name": "Cortex: left"}, ("Cortex: left", "Cortex", "left")),
        ({"names": []}, ()),
        (None, ()),
        ({"name": unicodedata.normalize("NFD", "Gro\u00dfhirn f\u00fcr")}, ("Gro\u00dfhirn f\u00fcr",)),
    ],
)
def test_how_classes_are_written(tmp_path, classification, names):
    path = tmp_path / "c.geojson"
    (found,) = geojson_features(path, write(path, feature(classification)))
    assert found.names == names and found.place == (f"feature 0 ('{names[0]}')" if names else "feature 0")


def test_children_of_children(tmp_path):
    path = tmp_path / "c.geojson"
    inner = feature("c", childObjects=[feature("d")])
    found = geojson_features(path, write(path, feature("a"), feature("b", childObjects=[inner, feature("e")])))
    assert [item.place for item in found] == [
        "feature 0 ('a')", "feature 1 ('b')", "feature 1.0 ('c')", "feature 1.0.0 ('d')", "feature 1.1 ('e')",
    ]  # fmt: skip
    within = feature("b")
    within["properties"]["childObjects"] = [inner, "no object", feature("e")]  # where QuPath itself writes them
    again = geojson_features(path, write(path, feature("a"), within))
    assert [item.place for item in again] == [item.place for item in found]


@pytest.mark.parametrize("coordinates", [[], [[]]])
@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon"])
def test_polygons_without_a_ring(tmp_path, kind, coordinates):
    path = tmp_path / "c.geojson"
    item = feature("pial_L", geometry={"type": kind, "coordinates": coordinates})
    (found,) = geojson_features(path, write(path, item))
    assert (found.polygons == () and found.fault.startswith(f"a {kind} without a ring")) or "shape" in found.fault


@pytest.mark.parametrize(
    "changes", [{"plane": {"z": float("inf")}}, {"coordinates": [[[0, 0], [10**400, 0], [1, 1], [0, 0]]]}]
)
def test_numbers_beyond_all_bounds(tmp_path, changes):
    path = tmp_path / "c.geojson"
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    (found,) = geojson_features(path, write(path, feature("pial_L", geometry=square | changes)))
    assert found.fault.startswith("a ring that cannot be read")
