import sys

import pytest

from cytomesh.core.errors import CytomeshError
from cytomesh.core.extras import optional


def test_a_package_that_is_there():
    assert optional("json.decoder", "json").__name__ == "json.decoder"


def test_one_that_is_not_names_what_to_install():
    with pytest.raises(ImportError, match=r"no_such_package.*not installed.*pip install 'cytomesh\[x\]'") as caught:
        optional("no_such_package.part", "cytomesh[x]")
    assert isinstance(caught.value, CytomeshError)


def test_what_a_package_lacks_itself_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import no_such_dependency")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        optional("half_there", "half-there")
