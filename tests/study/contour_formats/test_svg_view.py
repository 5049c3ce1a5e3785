import numpy as np
import pytest

from cytomesh.study.contour_formats.svg_view import is_image, length, nested_view, page


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("3", 3),
        (" -1.5px ", -1.5),
        ("1in", 96),
        ("72pt", 96),
        ("6pc", 96),
        ("2.54cm", 96),
        ("25.4mm", 96),
        ("1e2", 100),
    ],
)
def test_lengths(text, units):
    assert length(text) == pytest.approx(units)


@pytest.mark.parametrize("text", ["", "5%", "2em", "px", "1 2"])
def test_what_is_no_length(text):
    with pytest.raises(ValueError, match="length"):
        length(text)


def test_views_map_the_corners_of_their_box():
    """Of 10 x 10 units in 40 x 20 px at (3, 4): twice as large in the middle."""
    matrix = nested_view({"x": "3", "y": "4", "width": "40", "height": "20", "viewBox": "5 6 10 10"})
    corners = matrix @ np.array([[5, 6, 1], [15, 16, 1]]).T
    np.testing.assert_allclose(corners[:2].T, [[13, 4], [33, 24]])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"viewBox": "0 0 1 0"}, "viewBox"),
        ({"viewBox": "0 0 1"}, "viewBox"),
        ({"viewBox": "0 0 1 1"}, "without width"),
        ({"viewBox": "0 0 1 1", "width": "1", "height": "1", "preserveAspectRatio": "defer"}, "preserveAspectRatio"),
    ],
)
def test_views_that_cannot_be_read(attributes, message):
    with pytest.raises(ValueError, match=message):
        nested_view(attributes)


def test_pages():
    assert page({"viewBox": "1 2 30 40", "width": "3"}).tolist() == [1, 2, 30, 40]
    assert page({"width": "30", "height": "40px"}).tolist() == [0, 0, 30, 40]
    assert page({}) is None and page({"width": "100%", "height": "4"}) is None


def test_rounded_pages_are_the_image_and_pyramid_levels_are_not():
    assert is_image(np.array([0, 0, 10_010.0, 5_000.0]), (5_000, 10_000))
    assert not is_image(np.array([0, 0, 10_000.0, 5_100.0]), (5_000, 10_000))
    assert not is_image(np.array([200.0, 0, 10_000.0, 5_000.0]), (5_000, 10_000))
