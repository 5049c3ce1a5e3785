"""Rings that miss the tissue of their image, and would meet it elsewhere, are named; others are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image
from scipy.ndimage import gaussian_filter
from shapely.affinity import affine_transform, scale, translate
from shapely.geometry import MultiPolygon, Polygon

from benchmarks.bigbrain.prepare import CoronalImage, section_a, write_study
from cytomesh.imaging.image_look import ImageLook
from cytomesh.study.contours import HemisphereContours, SectionContours, read_contours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.study import open_study

CASES = Path(__file__).parents[1] / "data" / "cases"
WIDTH, HEIGHT = 900, 700


def outline() -> Polygon:
    """A lobed shape without symmetry, away from the image's border."""
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radius = 170 + 40 * np.sin(3 * angle + 0.5) + 25 * np.sin(5 * angle) + 30 * np.cos(angle)
    return Polygon(np.column_stack([350 + 1.2 * radius * np.cos(angle), 300 + radius * np.sin(angle)]))


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """Grey tissue with texture and holes on a light, noisy background."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside = shapely.contains_xy(outline(), columns, rows)
    texture = gaussian_filter(rng.normal(size=inside.shape), 3)
    pixels = np.where(inside, 130 + 200 * texture, 235 + 3 * rng.normal(size=inside.shape))
    path = tmp_path_factory.mktemp("tissue") / "section.png"
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return path


def problems(image: Path, region: Polygon) -> list[str]:
    plane = SectionPlane(np.array([[0.05, 0, 0], [0, 0, 0], [0, -0.05, 0]]))
    section = Section("B01", 3, image, 50.0, plane)
    rings = HemisphereContours(MultiPolygon([region]), MultiPolygon())
    return [str(problem) for problem in ImageLook()(section, SectionContours({"L": rings}))[0]]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p,
        lambda p: translate(p, 12, -9),
        lambda p: scale(p, 1.03, 0.97),
        lambda p: p.simplify(6),
        lambda p: p.difference(shapely.box(0, 0, 330, 300)).geoms[0] if hasattr(p, "geoms") else p.buffer(4),
    ],
    ids=["as it is", "a little moved", "a little stretched", "drawn roughly", "a little wide"],
)
def test_rings_on_the_tissue_are_left_alone(image, change):
    assert problems(image, change(outline())) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: scale(p, 0.5, 0.5, origin=(-0.5, -0.5)), "2 times as large"),
        (lambda p: scale(p, 2, 2, origin=(-0.5, -0.5)), "0.5 times as large"),
        (lambda p: affine_transform(p, (-1, 0, 0, 1, WIDTH - 1, 0)), "mirrored"),
        (lambda p: affine_transform(p, (1, 0, 0, -1, 0, HEIGHT - 1)), "upside down"),
        (lambda p: affine_transform(p, (-1, 0, 0, -1, WIDTH - 1, HEIGHT - 1)), "turned by 180 degrees"),
        (lambda p: translate(p, 150, 90), "moved by -1"),
    ],
)
def test_rings_elsewhere_are_named_with_the_better_place(image, change, said):
    (problem,) = problems(image, change(outline()))
    assert said in problem and "section.png: B01 section 3" in problem and "Way out" in problem


@pytest.mark.parametrize("kind", ["noise", "cropped", "faint"])
def test_images_that_say_nothing_are_left_alone(image, tmp_path, kind):
    """No tissue to compare with, or tissue up to the border: nothing is said of rings wherever they are."""
    rng = np.random.default_rng(1)
    pixels = np.asarray(Image.open(image)).astype(float)
    changed = {
        "noise": rng.integers(0, 256, pixels.shape),
        "cropped": pixels[230:370, 280:420],
        "faint": 239 + (pixels < 200),
    }[kind]
    Image.fromarray(changed.astype(np.uint8)).save(tmp_path / "section.png")
    there = translate(scale(outline(), 0.1, 0.1), -280, -230) if kind == "cropped" else translate(outline(), 150, 90)
    assert problems(tmp_path / "section.png", there) == []


@pytest.fixture(scope="module")
def block(image, tmp_path_factory) -> Path:
    """The right lower part of the section: its edge crosses the image, and tissue fills what is below."""
    path = tmp_path_factory.mktemp("block") / "section.png"
    Image.fromarray(np.asarray(Image.open(image))[250:450, 300:600]).save(path)
    return path


@pytest.mark.parametrize("inset", [0, 3])
def test_rings_along_the_border_of_a_block_are_no_edge_of_tissue(block, inset):
    frame = shapely.box(-0.5 + inset, -0.5 + inset, 299.5 - inset, 199.5 - inset)
    there = translate(outline(), -300, -250)
    assert there.boundary.intersection(frame).length < 0.4 * there.intersection(frame).length
    section = Section("B01", 3, block, 50.0, SectionPlane(np.array([[0.05, 0, 0], [0, 0, 0], [0, -0.05, 0]])))
    rings = HemisphereContours(MultiPolygon([there.intersection(frame)]), MultiPolygon())
    found, seen = ImageLook()(section, SectionContours({"L": rings}))
    assert found == [] and seen.offset.share > 0.9 and seen.offset.shift_px < 2


def test_rings_at_half_scale_and_sides_exchanged_throughout(cytomesh):
    code, out, _ = cytomesh("study", "check", CASES / "G0-all-rings-half-scale" / "study.yaml")
    assert code == 1
    assert [line for line in out.splitlines() if "(5 times)" in line and "2 times as large" in line]
    assert cytomesh("study", "check", "--quick", CASES / "G0-all-rings-half-scale" / "study.yaml")[0] == 0
    code, out, _ = cytomesh("study", "check", CASES / "G3-all-sections-side-swapped" / "study.yaml")
    assert code == 1 and out.count("the left hemisphere right of the right one, by 6.5 mm, in 5 of 5 sections") == 1


@pytest.mark.real
def test_real_rings_on_real_tissue(real_data, tmp_path):
    """BigBrain's section A, with the rings of a plane 0.05 mm away."""
    a = section_a(real_data / "bigbrain")
    study = write_study(real_data / "bigbrain", CoronalImage(a.path, 4.0, a.x0_mm, a.z0_mm), tmp_path)
    section = next(section for section in open_study(study).brains[0].sections if section.image)
    drawn = read_contours(section)
    for factor, said in ((1.0, []), (0.5, ["2 times as large"])):
        rings = {
            side: HemisphereContours(scale(of.pial, factor, factor, origin=(0, 0)), of.white)
            for side, of in drawn.items()
        }
        found = ImageLook()(section, SectionContours(rings))[0]
        assert [text in str(problem) for problem, text in zip(found, said, strict=True)] == [True] * len(said)
