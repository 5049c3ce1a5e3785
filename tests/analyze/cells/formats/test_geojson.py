"""GeoJSON of segmented cells."""

import gzip
import json

import numpy as np
import pytest

from cytomesh.analyze.cells.formats.registry import read_cells
from cytomesh.core.errors import CellError
from tests.analyze.cells.tables import disc, feature, write_geojson


def test_polygons_have_centre_area_and_perimeter_and_cells_lie_within_annotations(tmp_path):
    inner = feature(disc(30, 40, 5))
    outer = feature(disc(50, 50, 45), "annotation")
    outer["properties"]["childObjects"] = [inner]  # where QuPath writes them
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [3, 4]}, "properties": {}}
    parts = [[disc(70, 70, 1).tolist()], [disc(80, 80, 2).tolist()]]
    several = {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": parts}}
    table = read_cells(write_geojson(tmp_path / "cells.geojson", [outer, point, several]))
    np.testing.assert_allclose(table.places, [(30, 40), (3, 4), (80, 80)], atol=1e-9)
    np.testing.assert_allclose(table.measures["area"], [25 * np.pi, np.nan, 4 * np.pi], rtol=1e-3)
    np.testing.assert_allclose(table.measures["perimeter"][0], 10 * np.pi, rtol=1e-3)
    assert table.unit == "px" and table.is_corner


def test_packed_lists_are_read_and_none_is_none(tmp_path):
    (tmp_path / "a.geojson.gz").write_bytes(gzip.compress(json.dumps([feature(disc(3, 4, 1))]).encode()))
    assert len(read_cells(tmp_path / "a.geojson.gz")) == 1
    assert len(read_cells(write_geojson(tmp_path / "b.geojson", []))) == 0


@pytest.mark.parametrize(
    "outer", [{"properties": {"objectType": "tile"}}, {"id": "PathAnnotationObject", "properties": None}]
)
def test_tiles_and_what_old_exports_call_annotations_are_no_cells(tmp_path, outer):
    found = read_cells(write_geojson(tmp_path / "a.geojson", [feature(disc(9, 9, 8)) | outer, feature(disc(3, 4, 1))]))
    np.testing.assert_allclose(found.places, [(3, 4)], atol=1e-9)


def polygon(coordinates: str, kind: str = "Polygon") -> str:
    """Two cells, the first a point, the second as given."""
    first, second = (f'{{"type": "Feature", "geometry": {{"type": "{k}", "coordinates": {c}}}}}' for k, c in
                     (("Point", "[1, 2]"), (kind, coordinates)))  # fmt: skip
    return f"[{first}, {second}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cells that cannot be read"),
        ('{"features": 3}', "no list of features"),
        ('[{"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}}]', "a LineString"),
        ('[{"type": "Feature", "geometry": null}]', "cell without geometry"),
        (polygon("[[[0, 0], [NaN, 0], [4, 4], [0, 0]]]"), "cell 2: found an outline that is not finite"),
        (polygon("[[[0, 0], [1, 1]]]"), "cell 2: found an outline of fewer than three points"),
        (polygon("[]"), "cell 2: found a Polygon whose coordinates are none"),
        (polygon('[[["a", 1], [2, 3], [4, 5]]]'), "cell 2: found a Polygon whose coordinates are none"),
        (polygon("[[[0, 0], [1], [3, 4]]]"), "cell 2: found a Polygon whose coordinates are none"),
        (polygon("[]", "MultiPolygon"), "cell 2: found a MultiPolygon whose coordinates are none"),
        (polygon(f"[[[0, 0], [1{'0' * 400}, 1], [3, 4]]]"), "cell 2: found a Polygon whose coordinates are none"),
        (polygon("[1]", "Point"), "cell 2: found a Point whose coordinates are none"),
    ],
)
def test_what_is_no_cell_is_named(tmp_path, text, said):
    (tmp_path / "cells.geojson").write_text(text)
    with pytest.raises(CellError, match=said):
        read_cells(tmp_path / "cells.geojson")


def test_properties_that_are_none_say_nothing(tmp_path):
    rows = [feature(disc(3, 4, 1)) | {"properties": properties} for properties in (None, [1], "cell")]
    assert len(read_cells(write_geojson(tmp_path / "a.geojson", rows)).places) == 3
