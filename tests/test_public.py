"""The public names: all there, documented, and none imported before it is asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import cytomesh


def test_every_name_is_there_and_documented():
    assert cytomesh.__all__ == sorted(cytomesh.__all__)
    assert set(cytomesh.__all__) == set(cytomesh._HOMES)
    for name in cytomesh.__all__:
        assert getattr(cytomesh, name).__doc__, name
        assert name in dir(cytomesh)


def test_type_checkers_find_every_name_where_it_is():
    tree = ast.parse(Path(cytomesh.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = {f"{node.module}.{each.name}" for node in imports for each in node.names}
    assert {f"cytomesh.{home}.{name}" for name, home in cytomesh._HOMES.items()} <= found


def test_importing_it_imports_nothing_else():
    heavy = "numpy, torch, scipy, nibabel, pydantic, trimesh"
    code = f"import sys, cytomesh; assert not set('{heavy}'.split(', ')) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(cytomesh, "segment_everything")
