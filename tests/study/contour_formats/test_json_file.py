import time
import tracemalloc

import pytest

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.json_file import load_json


def test_ten_million_points_are_refused_at_once(tmp_path):
    path = tmp_path / "bomb.geojson"
    path.write_text('{"features":[{"geometry":{"type":"Polygon","coordinates":[[' + "[0,0]," * 10_000_000 + "]]}}]}")
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(ContourError, match=r"found about 10,000,00\d points, expected at most 2,000,000 \(limit MAX_P"):
        load_json(path)
    assert time.process_time() - start < 5
    # the text itself, and nothing more
    assert tracemalloc.get_traced_memory()[1] < 1.5 * path.stat().st_size
    tracemalloc.stop()


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100 + "]" * 100, '{"a":' * 100 + "1" + "}" * 100])
def test_deep_nesting_is_refused(tmp_path, text):
    path = tmp_path / "bomb.geojson"
    path.write_text(text)
    with pytest.raises(ContourError, match="at most 64 levels .limit MAX_DEPTH"):
        load_json(path)


def test_numbers_without_brackets_are_counted(tmp_path):
    path = tmp_path / "bomb.geojson"
    path.write_text("[" + "0," * 8_400_000 + "0]")
    with pytest.raises(ContourError, match="limit MAX_POINTS"):
        load_json(path)
