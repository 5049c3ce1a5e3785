import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cytomesh.imaging.pictures import direction_letter, line_path, round_length, thumbnail
from cytomesh.imaging.pyramid import open_image


@pytest.mark.parametrize(("total", "expected"), [(100, 20), (60, 10), (4, 0.5), (0.7, 0.1)])
def test_scale_bars_have_round_lengths(total: float, expected: float) -> None:
    assert round_length(total) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("vector", "letter"), [((1, 0.2, 0), "R"), ((-1, 0, 0), "L"), ((0, 2, 1), "A"), ((0, 0, -1), "I")]
)
def test_directions_are_ras(vector: tuple[float, float, float], letter: str) -> None:
    assert direction_letter(np.array(vector)) == letter


def test_thumbnail_lies_where_the_image_is(tmp_path: Path) -> None:
    image = np.full((400, 600), 255, np.uint8)
    image[200:240, 320:360] = 0
    Image.fromarray(image).save(tmp_path / "image.png")
    with open_image(tmp_path / "image.png") as pyramid:
        small, (x, y, width, height) = thumbnail(pyramid, (100, 400, 200, 600), 100)
    rows, columns = np.nonzero(small < 128)
    assert max(small.shape) <= 100
    step = width / small.shape[1]
    assert y + rows.min() * height / small.shape[0] == pytest.approx(200, abs=step)
    assert x + (columns.max() + 1) * step == pytest.approx(360, abs=step)


def test_segments_that_meet_are_one_simplified_line():
    corners = np.array([[0, 0], [4, 0], [8, 0], [8, 8], [0, 8], [0, 0]], np.float64)
    segments = np.stack([corners[:-1], corners[1:]], axis=1)[[3, 0, 4, 2, 1]]
    segments[0] = segments[0, ::-1]
    path = line_path(segments + 1e-9 * np.arange(5)[:, None, None], 0.1)
    assert path.count("M") == 1 and set(re.split("[ML]", path)[1:]) <= {
        "0.0 0.0",
        "8.0 0.0",
        "8.0 8.0",
        "0.0 8.0",
        "4.0 0.0",
    }
    assert 5 <= path.count("L") + 1 <= 6
    assert line_path(np.zeros((0, 2, 2)), 0.1) == ""
