import json

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
