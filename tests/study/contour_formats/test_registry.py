import pytest

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.registry import CONTOUR_READERS, read_features

from .contour_section import section


@pytest.mark.parametrize("suffix", [suffix for reader in CONTOUR_READERS.values() for suffix in reader.suffixes])
def test_every_suffix_has_a_reader_that_misses_its_file(tmp_path, suffix):
    with pytest.raises(ContourError, match=r"no such (file|annotation)"):
        read_features(section(tmp_path / f"c{suffix.upper()}", labels={"pial_L": [1]}), frozenset())


def test_unknown_format(tmp_path):
    with pytest.raises(ContourError, match=r"unknown contour format '.docx', expected .geojson, .json, .*, .roi"):
        read_features(section(tmp_path / "c.docx"), frozenset())
