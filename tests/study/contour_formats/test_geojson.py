import json
import time
import tracemalloc

import pytest
from shapely.geometry import MultiPolygon, box

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats import geojson
from cytomesh.study.contour_formats.geojson import read_geojson, write_geojson


def test_round_trip_is_corner_based(tmp_path):
    path = tmp_path / "c.geojson"
    write_geojson(path, {"tissue": MultiPolygon([box(0, 0, 4, 4).difference(box(1, 1, 2, 2))])})
    (feature,) = read_geojson(path)
    assert feature.names == ("tissue",) and feature.place == "feature 0 ('tissue')"
    (rings,) = feature.polygons
    assert [len(ring) for ring in rings] == [5, 5] and rings[0].min() == 0.5 and rings[0].max() == 4.5


def test_bare_list_and_points_with_heights(tmp_path):
    path = tmp_path / "c.json"
    geometry = {"type": "Polygon", "coordinates": [[[0, 0, 7], [1, 0, 7], [1, 1, 7], [0, 0, 7]]]}
    path.write_text(json.dumps([{"type": "Feature", "geometry": geometry}]))
    (feature,) = read_geojson(path)
    assert feature.polygons[0][0].shape == (4, 2) and feature.names == ()


def test_ten_million_points_are_refused_at_once(tmp_path):
    path = tmp_path / "bomb.geojson"
    path.write_text('{"features":[{"geometry":{"type":"Polygon","coordinates":[[' + "[0,0]," * 10_000_000 + "]]}}]}")
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(ContourError, match=r"found about 10,000,00\d points, expected at most 2,000,000 \(limit MAX_P"):
        read_geojson(path)
    assert time.process_time() - start < 5
    # the text itself, and nothing more
    assert tracemalloc.get_traced_memory()[1] < 1.5 * path.stat().st_size
    tracemalloc.stop()


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100 + "]" * 100, '{"a":' * 100 + "1" + "}" * 100])
def test_deep_nesting_is_refused(tmp_path, text):
    path = tmp_path / "bomb.geojson"
    path.write_text(text)
    with pytest.raises(ContourError, match="at most 64 levels .limit MAX_DEPTH"):
        read_geojson(path)


def test_numbers_without_brackets_and_features_are_counted(tmp_path, monkeypatch):
    path = tmp_path / "bomb.geojson"
    path.write_text("[" + "0," * 8_400_000 + "0]")
    with pytest.raises(ContourError, match="limit MAX_POINTS"):
        read_geojson(path)
    monkeypatch.setattr(geojson, "MAX_FEATURES", 2)
    path.write_text("[{},{},{}]")
    with pytest.raises(ContourError, match="found 3 objects or more.*limit MAX_FEATURES"):
        geojson.read_geojson(path)
