import pytest

from cytomesh.core.errors import CytomeshError, FormatError
from cytomesh.core.formats import FORMATS, check_format


@pytest.mark.parametrize(("found", "version"), [(None, 0), (0, 0), ("0", 0), (1, 1), ("1", 1)])
def test_known_versions_as_numbers_and_as_text(found, version):
    assert check_format("nodes.parquet", "graph", found) == version


@pytest.mark.parametrize("found", [FORMATS["graph"] + 1, "99", -1, "1.0", True, "", "²", [1]])
def test_what_is_no_known_version_is_one_clear_error(found):
    expected = (
        rf"^nodes\.parquet: found graph format .*, expected format {FORMATS['graph']} or older\. Way out: upgrade"
    )
    with pytest.raises(FormatError, match=expected) as caught:
        check_format("nodes.parquet", "graph", found)
    assert isinstance(caught.value, CytomeshError)
