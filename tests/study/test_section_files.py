from pathlib import Path

import pytest

from cytomesh.core.errors import StudyError
from cytomesh.study.contour_formats.registry import CONTOUR_READERS
from cytomesh.study.image_formats.registry import IMAGE_READERS
from cytomesh.study.section_files import absent_numbers, files_by_stem, of_sections, section_numbers


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["s0001", "s0010"], [1, 10]),
        (["B01_s3_10x", "B01_s4_10x"], [3, 4]),  # 10 is the magnification of both
        (["12_B01", "13_B01"], [12, 13]),
        (["a1b7", "a2b7", "a3b8"], [1, 2, 3]),  # the last one is not of a section
        (["B01_5"], [5]),
    ],
)
def test_the_last_number_that_differs_between_all_is_that_of_the_section(names, numbers):
    assert list(section_numbers(names, Path("images")).values()) == numbers


@pytest.mark.parametrize(
    ("numbers", "absent"),
    [
        ([3, 1, 2, 5, 6], [4]),
        ([1, 2, 3], []),
        ([1, 3], []),
        ([7], []),
        ([10, 20, 30, 45, 55, 65], []),  # not even
        ([1, 2, 4, 6, 8], []),  # mostly by 2
        ([1, 2, 3, 100], []),  # no row of a hundred
        ([0, 10, 30, 40, 50], [20]),
    ],
)
def test_numbers_left_out_of_an_even_row(numbers, absent):
    assert absent_numbers(numbers) == absent


@pytest.mark.parametrize(
    ("names", "message"),
    [(["a1b1", "a1b2", "a2b1"], "no number that differs"), (["s1", "first"], "no number in first")],
)
def test_names_without_numbers_are_refused(names, message):
    with pytest.raises(StudyError, match=f"images: found {message}.*rename"):
        section_numbers(names, Path("images"))


def test_what_can_be_read_is_found_by_its_stem(tmp_path):
    for name in ("s1.ome.tif", "s2.PNG", "s3.json", ".s4.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    for name, file in (("s5.ome.zarr", "zarr.json"), ("s6.zarr", ".zattrs"), ("previews", "s7.png")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(b"")
    found = files_by_stem(tmp_path, IMAGE_READERS)
    assert {stem: path.name for stem, path in found.items()} == {
        "s1": "s1.ome.tif",
        "s2": "s2.PNG",
        "s5": "s5.ome.zarr",
        "s6": "s6.zarr",
    }
    (tmp_path / "s2.tif").write_bytes(b"")
    with pytest.raises(StudyError, match=r"found s2.PNG and s2.tif, expected one of them"):
        files_by_stem(tmp_path, IMAGE_READERS)
    with pytest.raises(StudyError, match="no such folder"):
        files_by_stem(tmp_path / "none", IMAGE_READERS)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(StudyError, match="no file of a section, expected files that end in .*geojson"):
        files_by_stem(tmp_path / "empty.zarr", CONTOUR_READERS)


def test_files_belong_to_images_of_their_name_else_to_those_of_their_number():
    numbers = {"B01_s0007_x20": 7, "B01_s0008_x20": 8}
    named = {"B01_s0007_x20": Path("a"), "B01_s0008_x20": Path("b")}
    assert of_sections(named, numbers, Path("c")) == {7: Path("a"), 8: Path("b")}
    numbered = {"rings 8": Path("b"), "rings 7": Path("a")}
    assert of_sections(numbered, numbers, Path("c")) == {7: Path("a"), 8: Path("b")}
