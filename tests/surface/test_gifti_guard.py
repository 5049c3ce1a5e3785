import base64
import re
import zlib

import numpy as np
import pytest

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.gifti import read_surface, write_surface
from tests.conftest import sphere_mesh


@pytest.fixture
def text(tmp_path):
    write_surface(tmp_path / "a.surf.gii", sphere_mesh(1), "L", "white")
    return (tmp_path / "a.surf.gii").read_text()


def packed(n_bytes: int) -> str:
    return base64.b64encode(zlib.compress(bytes(n_bytes))).decode()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"<Data>[^<]*</Data>", f"<Data>{packed(2**26)}</Data>", "packed data that are not the 504 bytes"),
        (r"<Data>[^<]*</Data>", f"<Data>{packed(500)}</Data>", "packed data that are not the 504 bytes"),
        (r'Dim0="\d+"', 'Dim0="1000000000000"', "an array of 2 axes"),
        (r'Dimensionality="2"', 'Dimensionality="1000000000"', "Dim2"),
        ("<Data>", "<Data>" + "<a>" * 50, "nested more than 32 deep"),
        (r"</GIFTI>", "", "damaged"),
    ],
)
def test_what_a_file_says_is_compared_with_what_it_holds(tmp_path, text, old, new, message):
    path = tmp_path / "a.surf.gii"
    path.write_text(re.sub(old, new, text))
    with pytest.raises(SurfaceError, match=rf"a\.surf\.gii: found a damaged GIFTI file .*{message}|{message}"):
        read_surface(path)


def test_a_surface_that_is_not_finite_is_named_by_its_file(tmp_path):
    path = tmp_path / "a.surf.gii"
    mesh = sphere_mesh(1)
    write_surface(path, mesh, "L", "white")
    points = np.full((mesh.n_vertices, 3), np.nan, "<f4")
    data = base64.b64encode(zlib.compress(points.tobytes())).decode()
    path.write_text(re.sub(r"<Data>[^<]*</Data>", f"<Data>{data}</Data>", path.read_text(), count=1))
    with pytest.raises(SurfaceError, match=r"a\.surf\.gii: mesh: vertex 0: found NaN"):
        read_surface(path)
