"""What `study check` says of images whose pixels need a window or a channel."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from cytomesh.imaging.image_look import ImageLook
from cytomesh.study.check import check_study


def places(report):
    return [f"{problem.source.rsplit('/', 1)[-1]}|{problem.place}|{problem.found}" for problem in report.problems]


def test_images_of_16_bits_without_window_are_said_once_with_one_for_all(study_folder):
    for index, low in ((1, 400), (2, 500), (4, 600)):
        values = np.random.default_rng(index).integers(low, low + 3000, (60, 80), np.uint16)
        Image.fromarray(values).save(study_folder.image(index))
    expected = "study.yaml|brains.B01|3 images of type uint16 and no window in which their pixels are seen"
    for depth in ("quick", "usual", "thorough"):
        report = check_study(study_folder.manifest, depth, ImageLook())
        assert places(report) == [expected]
        assert report.problems[0].hint.startswith("image: {window: [400, 3600]}")
    study_folder.change(image={"window": [400, 3600]})
    assert check_study(study_folder.manifest).problems == ()


def test_channels_that_are_not_there_or_differ_are_named(study_folder):
    Image.new("RGB", (80, 60)).save(study_folder.image(2))
    assert places(check_study(study_folder.manifest)) == ["section2.png||3 channels"]
    study_folder.change(image={"channels": "luminance"})
    found = places(check_study(study_folder.manifest))
    assert found == [f"section{i}.png||no channel 'luminance' among 1" for i in (1, 4)]
    for index in (1, 4):
        Image.new("RGB", (80, 60)).save(study_folder.image(index))
    assert check_study(study_folder.manifest).problems == ()


def test_a_damaged_image_that_needs_a_window_is_said_once(study_folder):
    values = np.random.default_rng(0).integers(0, 60000, (60, 80), np.uint16)
    Image.fromarray(values).save(study_folder.image(1))
    study_folder.image(1).write_bytes(study_folder.image(1).read_bytes()[:5000])
    for depth in ("usual", "thorough"):
        found = places(check_study(study_folder.manifest, depth))
        assert len(found) == 1 and found[0].startswith("section1.png||an image that is damaged")


def test_pixel_sizes_that_contradict_each_other_are_both_said_whatever_the_type(study_folder):
    path = study_folder.image(1).with_suffix(".tif")
    values = np.random.default_rng(0).integers(0, 4096, (60, 80), np.uint16)
    tifffile.imwrite(path, values, resolution=(200, 200), resolutionunit="CENTIMETER")
    study_folder.change_table("section1.png", "section1.tif")
    study_folder.change(image={"window": [0, 255]})
    found = places(check_study(study_folder.manifest))
    assert found == ["section1.tif|B01 section 1|50 um/px in the image, 100 in the section table"]


def test_images_that_show_nothing_are_said(study_folder):
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(study_folder.image(1))
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(study_folder.image(4))
    study_folder.contours(4).unlink()
    study_folder.change_table("section4.geojson", "n/a")
    tiny = "section4.png|B01 section 4|1 x 1 px"
    assert places(check_study(study_folder.manifest, "quick", ImageLook())) == [tiny]
    blank = "section1.png|B01 section 1|nothing: all pixels are 0, as they are seen"
    assert places(check_study(study_folder.manifest, look=ImageLook())) == [blank, tiny]
    study_folder.change_table("\tok", "\tdamaged")
    assert places(check_study(study_folder.manifest, look=ImageLook())) == [tiny]


@pytest.mark.parametrize(("um", "size"), [("0.001", "8e-05"), ("10000.0", "8e+02")])
def test_pixel_sizes_that_no_section_has_are_warned_of_once(study_folder, um, size):
    text = study_folder.table.read_text()
    for old, new in (("100.0", um), ("0.1,", f"{float(um) / 1000!r},")):
        text = text.replace(old, new)
    study_folder.table.write_text(text)
    (warning, *_) = check_study(study_folder.manifest, "quick").warnings
    assert warning.found == f"an image {size} mm long in B01 section 1 (and 2 more)"
    assert warning.place == "B01: um_per_px" and warning.expected == "0.1 to 400 mm"
