from dataclasses import replace

import numpy as np
import pytest

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.study.sections import check_order, parse_sections, positions, read_sections, write_sections


def test_round_trip(study_folder, tmp_path):
    sections = read_sections(study_folder.table, "B01")
    assert [section.index for section in sections] == [1, 2, 3, 4]
    assert [section.status for section in sections] == ["ok", "ok", "missing", "ok"]
    assert sections[2].image is None and sections[2].contours is None
    assert sections[0].image.is_file() and sections[0].name == "B01 section 1"
    again = tmp_path / "elsewhere" / "sections.tsv"
    write_sections(again, sections)
    for a, b in zip(sections, read_sections(again, "B01"), strict=True):
        np.testing.assert_array_equal(a.plane.to_world, b.plane.to_world)
        assert (a.image is None) == (b.image is None)
        assert a.image is None or a.image.resolve() == b.image.resolve()
        assert (a.role, a.status, a.um_per_px, a.notes) == (b.role, b.status, b.um_per_px, b.notes)


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


def test_section_listed_twice(study_folder):
    study_folder.change_table("\n2\t", "\n1\t")
    with pytest.raises(StudyError, match=r"section 1 listed twice \(lines 2 and 3\)"):
        read_sections(study_folder.table, "B01")


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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\ttrain\t", "\ttrian\t", r"line 3 \(section 2\), role: found unknown role 'trian'.*did you mean 'train'"),
        ("\tmissing\t", "\tlost\t", "unknown status 'lost'"),
        ("\t100.0\t", "\t-5\t", "um_per_px: found '-5', expected a positive number"),
        ("\t100.0\t", "\t0.1\t", "to_world is in mm per pixel, um_per_px in um"),
        ("0.1,0.0,-4.0", "0.1,0.0", "nine numbers"),
        ("0.1,0.0,-4.0", "nan,0.0,-4.0", "finite"),
        ("0.1,0.0,-4.0", "0.0,0.0,-4.0", "span no plane"),
        ("\n1\t", "\nx\t", "section: found 'x'"),
        ("\tmissing\t", "\tok\t", "neither image nor contours"),
        ("\tok\t", "\tmissing\t", "a missing section with image or contours"),
        (
            "um_per_px\t",
            "um_per_pixel\t",
            r"no column um_per_px; unknown column 'um_per_pixel' \(did you mean 'um_per_px'",
        ),
        ("\tok\t", "\tok\tx\ty\t", "line 2: found 14 cells, expected 12"),
    ],
)
def test_wrong_cells_are_named(study_folder, old, new, message):
    study_folder.change_table(old, new)
    with pytest.raises(CytomeshError, match=message):
        read_sections(study_folder.table, "B01")


def test_every_problem_is_found_and_good_rows_are_kept(study_folder):
    study_folder.change_table("\ttrain\t", "\ttrian\t")
    study_folder.change_table("\tmissing\t", "\tlost\t")
    sections, problems = parse_sections(study_folder.table, "B01")
    assert [section.index for section in sections] == [1, 4]
    assert len(problems) == 2


def test_missing_and_empty_tables(study_folder, tmp_path):
    with pytest.raises(StudyError, match="no such file"):
        read_sections(tmp_path / "none.tsv", "B01")
    study_folder.table.write_text(study_folder.table.read_text().splitlines()[0] + "\n")
    with pytest.raises(StudyError, match="no section"):
        read_sections(study_folder.table, "B01")
    assert check_order(study_folder.table, []) == []


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


def test_notes_with_quotes_come_back(study_folder, tmp_path):
    sections = [replace(section, notes='"torn", 3" wide') for section in read_sections(study_folder.table, "B01")]
    write_sections(tmp_path / "t.tsv", sections)
    assert {section.notes for section in read_sections(tmp_path / "t.tsv", "B01")} == {'"torn", 3" wide'}


def test_a_column_given_twice_is_refused(study_folder):
    lines = study_folder.table.read_text().splitlines()
    study_folder.table.write_text("\n".join(f"{line}\t{'role' if i == 0 else 'test'}" for i, line in enumerate(lines)))
    with pytest.raises(StudyError, match="column role given twice"):
        read_sections(study_folder.table, "B01")
