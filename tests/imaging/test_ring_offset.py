from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shapely.affinity import scale, translate
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.imaging.image_look import ImageLook
from cytomesh.study.contours import HemisphereContours, SectionContours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

N = 6


def blob(k):
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = 90 + 15 * np.cos(3 * angles + k) + 8 * np.cos(5 * angles - k)
    return np.column_stack([190 + radius * np.cos(angles), 150 + 0.9 * radius * np.sin(angles)])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    from skimage.draw import polygon

    folder = tmp_path_factory.mktemp("images")
    for k in range(N):
        pixels = np.full((300, 400), 235.0)
        pixels[polygon(*blob(k)[:, ::-1].T, pixels.shape)] = 120
        pixels += np.random.default_rng(k).normal(0, 3, pixels.shape)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{k}.png")
    return folder


def look(images, change, changed=range(N)):
    plane = SectionPlane(np.array([[0.1, 0, 0], [0, 0, 0], [0, -0.1, 0]]))
    sections = [Section("B", k, images / f"{k}.png", 100.0, plane) for k in range(N)]
    seen = []
    for k, section in enumerate(sections):
        pial = change(Polygon(blob(k))) if k in changed else Polygon(blob(k))
        seen.append(ImageLook()(section, SectionContours({"L": HemisphereContours(MultiPolygon([pial]))}))[1])
    return ImageLook().rings(Path("t"), sections, seen)


@pytest.mark.parametrize("move", [(0, 0), (1, -1), (2, 0)])
def test_rings_as_they_are_drawn_pass(images, move):
    assert look(images, lambda ring: translate(ring, *move)) == []


@pytest.mark.parametrize("factor", [0.8, 0.95, 1.1])
def test_rings_of_another_pixel_size_are_said_once(images, factor):
    (problem,) = look(images, lambda ring: scale(ring, factor, factor, origin=(-0.5, -0.5)))
    assert (
        problem.source == "t" and f"{1 / factor:.2f}".rstrip("0") in problem.found and "times as large" in problem.found
    )


def test_moved_rings_are_said_once(images):
    (problem,) = look(images, lambda ring: translate(ring, 7, -5))
    assert problem.source == "t" and "moved by -7 columns and 5 rows" in problem.found


def test_a_single_moved_section_is_named(images):
    (problem,) = look(images, lambda ring: translate(ring, 8, 0), [3])
    assert problem.source.endswith("3.png") and "-8 columns" in problem.found
