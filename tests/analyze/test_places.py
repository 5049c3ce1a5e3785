"""Encoders of few tokens."""

import pytest

from cytomesh.analyze.places import few_places
from tests.analyze.inspect.encoders import encoder


@pytest.mark.parametrize(("rows", "columns", "is_few"), [(2, 2, True), (6, 9, True), (7, 7, False), (14, 14, False)])
def test_few_places_are_said_to_be(rows, columns, is_few):
    said = few_places(encoder("test_vit", patch_size=16), rows, columns)
    assert bool(said) == is_few
    if is_few:
        assert f"test_vit has {rows} x {columns} places" in said and "patch of 32 px" in said and "patch_size" in said
