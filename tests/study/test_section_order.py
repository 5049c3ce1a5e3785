import numpy as np
import pytest

from cytomesh.core.errors import StudyError
from cytomesh.study.section_order import check_order, positions
from cytomesh.study.sections import parse_sections, read_sections


def test_sections_are_sorted_by_position_not_by_line(study_folder):
    lines = study_folder.table.read_text().splitlines()
    study_folder.table.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    sections = read_sections(study_folder.table, "B01")
    assert (np.diff(positions(sections)) > 0).all()


def test_series_cut_from_front_to_back_is_in_order(study_folder):
    sections = read_sections(study_folder.table, "B01")
    text = study_folder.table.read_text()
    for section in sections:
        y_mm = float(section.plane.to_world[1, 2])
        text = text.replace(f",{y_mm!r},", f",{-y_mm!r},")
    study_folder.table.write_text(text)
    assert [section.index for section in read_sections(study_folder.table, "B01")] == [4, 3, 2, 1]


def test_plane_positions_out_of_order(study_folder):
    study_folder.change_table("0.0,0.0,2.0,", "0.0,0.0,0.75,")
    with pytest.raises(
        StudyError, match="sections 3 and 4, to_world: found plane positions out of order: 1.5000 mm, then"
    ):
        read_sections(study_folder.table, "B01")


def test_two_sections_in_one_plane(study_folder):
    study_folder.change_table("0.0,0.0,2.0,", "0.0,0.0,1.5,")
    with pytest.raises(StudyError, match="one plane twice"):
        read_sections(study_folder.table, "B01")


def test_a_plane_across_the_others_is_named(study_folder):
    """Its rows and columns exchanged: a sagittal plane in a coronal series."""
    study_folder.change_table("0.1,0.0,-4.0,0.0,0.0,1.0,0.0,-0.1,3.0", "0.0,0.0,-4.0,0.1,0.0,1.0,0.0,-0.1,3.0")
    sections, problems = parse_sections(study_folder.table, "B01")
    assert len(sections) == 4
    (problem,) = problems
    assert (
        problem.place == "section 2, to_world"
        and problem.found == "a plane at 90 degrees to those of the other sections"
    )


def test_tilted_planes_are_one_series(study_folder):
    tilt = "0.1,0.0,-4.0,0.0,0.02,1.0,0.0,-0.098,3.0"
    study_folder.change_table("0.1,0.0,-4.0,0.0,0.0,1.0,0.0,-0.1,3.0", tilt)
    assert parse_sections(study_folder.table, "B01")[1] == []


def test_no_section_is_in_order(tmp_path):
    assert check_order(tmp_path, []) == [] and positions([]).shape == (0,)
