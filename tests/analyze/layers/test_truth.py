"""Label images and contours of layers, and what is wrong with some."""

import json

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from shapely.geometry import MultiPolygon, Point, box, mapping

from cytomesh.analyze.layers.config import TruthConfig
from cytomesh.analyze.layers.order import boundary_depths, layer_shares, order_layers
from cytomesh.analyze.layers.ribbon import Grid, section_ribbon
from cytomesh.analyze.layers.truth import column_truth, filled_in, on_grid, read_truth, truth_files
from cytomesh.core.errors import ConfigError, ContourError, ImageError, MissingStageError
from cytomesh.study.annotation import AnnotationImage
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.study import open_study
from tests.analyze.layers.test_ribbon import CENTRE, PIAL_PX, UM, WHITE_PX, rings

PLANE = SectionPlane(np.array([[UM / 1000, 0, 0], [0, 0, 0], [0, -UM / 1000, 0]]))
SECTION = Section("B01", 7, None, UM, PLANE)
SHAPE = (200, 200)


def true_labels(um=UM):
    """Six layers of equal depth between two circles."""
    grid = Grid.of(SHAPE, UM, um)
    rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]]
    at = np.linalg.norm(grid.image_pixels(np.stack([columns, rows], axis=-1)) - CENTRE, axis=-1)
    depth = (PIAL_PX - at) / (PIAL_PX - WHITE_PX)
    return np.where(depth <= 0, 0, np.where(depth >= 1, 7, 1 + np.floor(6 * depth))).astype(np.uint8)


@pytest.fixture
def mask(tmp_path):
    Image.fromarray(true_labels()).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def columns():
    return section_ribbon(rings(), Grid.of(SHAPE, UM, UM), UM, 48).columns


def test_a_label_image_gives_layers_along_columns(mask):
    truth = read_truth(mask, SECTION, SHAPE, TruthConfig())
    found = column_truth(mask, SECTION, truth, columns())
    expected = np.repeat(np.arange(6), 8)
    assert (found == expected).mean() > 0.85 and (found != -1).mean() > 0.97
    probabilities, is_known = filled_in(found)
    assert is_known.all()
    np.testing.assert_allclose(probabilities.sum(axis=2), 1.0, rtol=1e-5)


def test_pixels_of_another_size_are_declared(tmp_path):
    Image.fromarray(true_labels(2 * UM)).save(tmp_path / "half.png")
    with pytest.raises(ImageError, match=r"100 x 100 px of 50 um.*200 x 200 px.*truth.um_per_px"):
        read_truth(tmp_path / "half.png", SECTION, SHAPE, TruthConfig())
    truth = read_truth(tmp_path / "half.png", SECTION, SHAPE, TruthConfig(um_per_px=2 * UM))
    found = column_truth(tmp_path / "half.png", SECTION, truth, columns())
    assert (found == np.repeat(np.arange(6), 8)).mean() > 0.75


def test_codes_say_what_values_mean(tmp_path):
    labels = true_labels().astype(int)
    other = np.where((labels > 0) & (labels < 7), 10 * labels, np.where(labels == 7, 99, 0)).astype(np.uint8)
    other[:3] = 255
    Image.fromarray(other).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match=r"values \[10, 20, 30, 40, 50, 60, 99, 255\] that no layer takes"):
        read_truth(tmp_path / "b.png", SECTION, SHAPE, TruthConfig())
    codes = {name: [10 * (i + 1)] for i, name in enumerate(("I", "II", "III", "IV", "V", "VI"))}
    codes |= {"white": [99], "ignore": [255]}
    truth = read_truth(tmp_path / "b.png", SECTION, SHAPE, TruthConfig(codes=codes))
    labels[:3] = -1
    np.testing.assert_array_equal(truth.labels, labels)


def test_contours_are_those_of_the_label_image(tmp_path, mask):
    """Bands as QuPath exports them, which counts from the pixel's corner."""
    radii = np.linspace(PIAL_PX, WHITE_PX, 7)
    circles = [Point(CENTRE + 0.5, CENTRE + 0.5).buffer(r, quad_segs=90) for r in radii]
    shapes = {
        f"layer {name}": a - b
        for name, a, b in zip(("I", "II", "III", "IV", "V", "VI"), circles, circles[1:], strict=False)
    }
    upper = box(0, 0, 200, CENTRE)  # a layer in two parts, as one drawing
    shapes["layer III"] = MultiPolygon([shapes["layer III"] & upper, shapes["layer III"] - upper])
    shapes["white matter"] = circles[-1]

    def write(named):
        features = [
            {"type": "Feature", "geometry": mapping(shape), "properties": {"classification": {"name": name}}}
            for name, shape in named.items()
        ]
        (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))

    write(shapes)
    truth = read_truth(tmp_path / "a.geojson", SECTION, SHAPE, TruthConfig())
    expected = read_truth(mask, SECTION, SHAPE, TruthConfig())
    assert (truth.labels == expected.labels).mean() > 0.995
    write(shapes | {"layer VII": shapes["layer VI"]})
    with pytest.raises(ContourError, match="unknown class 'layer VII'"):
        read_truth(tmp_path / "a.geojson", SECTION, SHAPE, TruthConfig())


@pytest.mark.parametrize("um", [UM, 35.0, 120.0])
def test_truth_on_a_grid_is_that_of_each_pixel(tmp_path, um):
    """A label image that ends before the image does; what is beyond is background."""
    truth = AnnotationImage(true_labels()[:150, :170].astype(np.int32), UM, UM)
    grid = Grid.of(SHAPE, UM, um)
    rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]]
    expected = truth.sample(grid.image_pixels(np.stack([columns, rows], axis=-1)).reshape(-1, 2))
    np.testing.assert_array_equal(on_grid(truth, grid), expected.reshape(grid.shape))


def test_a_section_of_three_layers_gives_columns_of_three(tmp_path):
    labels = true_labels()
    three = np.where((labels > 0) & (labels < 7), 2 * ((labels + 1) // 2) - 1, labels).astype(np.uint8)  # I, III and V
    Image.fromarray(three).save(tmp_path / "three.png")
    truth = read_truth(tmp_path / "three.png", SECTION, SHAPE, TruthConfig())
    probabilities, is_known = filled_in(column_truth(tmp_path / "three.png", SECTION, truth, columns()))
    assert is_known.all()
    shares = layer_shares(boundary_depths(order_layers(probabilities), 6))
    np.testing.assert_allclose(shares.mean(axis=0), [1 / 3, 0, 1 / 3, 0, 1 / 3, 0], atol=0.02)


def test_layers_that_do_not_cover_the_cortex_are_refused(tmp_path):
    labels = true_labels()
    labels[:, :120] = 0
    Image.fromarray(labels).save(tmp_path / "part.png")
    truth = read_truth(tmp_path / "part.png", SECTION, SHAPE, TruthConfig())
    with pytest.raises(ImageError, match=r"layers in \d+% of the middle of the cortex.*ignore"):
        column_truth(tmp_path / "part.png", SECTION, truth, columns())
    labels[:, :120] = 200
    Image.fromarray(labels).save(tmp_path / "part.png")
    said = TruthConfig(codes=TruthConfig().codes | {"ignore": [200]})
    truth = read_truth(tmp_path / "part.png", SECTION, SHAPE, said)
    found = column_truth(tmp_path / "part.png", SECTION, truth, columns())
    assert 0.3 < (found != -1).mean() < 0.5


@pytest.mark.parametrize("names", [(6, 5, 4, 3, 2, 1), (1, 5, 3, 4, 2, 6)], ids=["inside out", "II and V exchanged"])
def test_layers_by_the_names_of_others_are_refused(tmp_path, names):
    Image.fromarray(np.array([0, *names, 7], np.uint8)[true_labels()]).save(tmp_path / "named.png")
    truth = read_truth(tmp_path / "named.png", SECTION, SHAPE, TruthConfig())
    with pytest.raises(ImageError, match=r"layers that go back along depth in \d+% .*I at the pial side.*truth.codes"):
        column_truth(tmp_path / "named.png", SECTION, truth, columns())


def test_a_value_means_one_thing():
    with pytest.raises(ValidationError, match="value 2 means I and III"):
        TruthConfig(codes={"I": [1, 2], "III": [3, 2]})


def test_files_by_pattern_and_by_table(small_study, tmp_path):
    study = open_study(small_study / "study.yaml")
    sections = study.brains[0].sections
    pattern = "truth/sub-{brain}/sections/sub-{brain}_sample-{section:04d}_layers.png"
    by_pattern = truth_files(study, sections, TruthConfig(files=pattern))
    assert len(by_pattern) == len([section for section in sections if section.image])
    (brain, index), path = next(iter(by_pattern.items()))
    table = tmp_path / "layers.tsv"
    table.write_text(f"brain\tsection\tfile\n{brain}\t{index}\t{path}\nelsewhere\t1\tnone.png\n")
    assert truth_files(study, sections, TruthConfig(files=str(table))) == {(brain, index): path}
    table.write_text(f"brain\tsection\tfile\n{brain}\t{index}\tnone.png\n")
    with pytest.raises(MissingStageError, match=r"none\.png"):
        truth_files(study, sections, TruthConfig(files=str(table)))
    twice = f"{brain}\t{index}\t{path}\n"
    for text, words in (
        ("brain\tfile\na\tb\n", "no column section, expected a table with columns brain, section and file"),
        ("brain\tsection\tfile\nB01\tthree\ta.png\n", "B01: found section 'three', expected a whole number"),
        (f"brain\tsection\tfile\n{twice}\n{twice}", f"{brain}: found section {index} once more"),
        ("brain\tsection\tfile\nelsewhere\t1\ta.png\n", "found only elsewhere 1, expected sections of the run"),
    ):
        table.write_text(text)
        with pytest.raises(ConfigError, match=words):
            truth_files(study, sections, TruthConfig(files=str(table)))
    table.write_text("brain\tsection\tfile\n")
    with pytest.raises(MissingStageError, match="no file of layers for any section"):
        truth_files(study, sections, TruthConfig(files=str(table)))
    with pytest.raises(MissingStageError, match="no file of layers for any section"):
        truth_files(study, sections, TruthConfig())
    with pytest.raises(MissingStageError, match=r"absent\.tsv: found no such table, expected .*truth\.files"):
        truth_files(study, sections, TruthConfig(files="absent.tsv"))
    with pytest.raises(ConfigError, match="a pattern with"):
        truth_files(study, sections, TruthConfig(files="{index}.png"))
