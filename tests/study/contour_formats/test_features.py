import gzip
import unicodedata

import numpy as np
import pytest

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats import features
from cytomesh.study.contour_formats.features import close, composed, read_bytes, without_number


def test_close_and_names():
    ring = np.array([[0.0, 0], [1, 0], [1, 1], [0, 0]])
    assert close(ring) is ring and np.array_equal(close(ring[:-1]), ring)
    assert len(close(np.empty((0, 2)))) == 0
    assert without_number("pial_L-2") == ("pial_L-2", "pial_L") and without_number("pial_L") == ("pial_L",)


def test_large_and_missing_files(tmp_path, monkeypatch):
    with pytest.raises(ContourError, match="cannot be read"):
        read_bytes(tmp_path)
    monkeypatch.setattr(features, "MAX_BYTES", 10)
    path = tmp_path / "c.geojson"
    with pytest.raises(ContourError, match="no such file"):
        read_bytes(path)
    path.write_bytes(b"x" * 11)
    with pytest.raises(ContourError, match="limit MAX_BYTES"):
        read_bytes(path)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("pial_L-2", "pial_L"),
        ("pial_L (1)", "pial_L"),
        ("pial_L(12)", "pial_L"),
        ("pial_L_1_", "pial_L"),
        ("Area 4", "Area"),
        (unicodedata.normalize("NFD", "Großhirn für B-2"), "Großhirn für B"),
    ],
)
def test_numbers_that_programs_add(written, name):
    assert without_number(written) == (composed(written), name)


def test_a_name_that_is_a_number_stays():
    assert without_number("-2") == ("-2",) and without_number(" (1)") == ("(1)",)


def test_packed_files_are_unpacked_within_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "c.geojson.gz"
    path.write_bytes(gzip.compress(b"[]"))
    assert read_bytes(path) == b"[]"
    path.write_bytes(gzip.compress(b"[]")[:-9])
    with pytest.raises(ContourError, match="ends early"):
        read_bytes(path)
    path.write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(ContourError, match="cannot be unpacked"):
        read_bytes(path)
    monkeypatch.setattr(features, "MAX_BYTES", 2000)
    path.write_bytes(gzip.compress(bytes(1_000_000)))
    assert path.stat().st_size < 2000
    with pytest.raises(ContourError, match="unpacked, expected at most 0 MiB .limit MAX_BYTES"):
        read_bytes(path)
