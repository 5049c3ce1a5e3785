import numpy as np
import pytest

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats import features
from cytomesh.study.contour_formats.features import close, read_bytes, without_number


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
