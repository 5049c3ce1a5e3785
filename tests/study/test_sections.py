from dataclasses import replace

import numpy as np
import pytest

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.study.sections import parse_sections, read_sections, write_sections


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


def test_section_listed_twice(study_folder):
    study_folder.change_table("\n2\t", "\n1\t")
    with pytest.raises(StudyError, match=r"section 1 listed twice \(lines 2 and 3\)"):
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


def test_notes_with_quotes_come_back(study_folder, tmp_path):
    sections = [replace(section, notes='"torn", 3" wide') for section in read_sections(study_folder.table, "B01")]
    write_sections(tmp_path / "t.tsv", sections)
    assert {section.notes for section in read_sections(tmp_path / "t.tsv", "B01")} == {'"torn", 3" wide'}


def test_a_column_given_twice_is_refused(study_folder):
    lines = study_folder.table.read_text().splitlines()
    study_folder.table.write_text("\n".join(f"{line}\t{'role' if i == 0 else 'test'}" for i, line in enumerate(lines)))
    with pytest.raises(StudyError, match="column role given twice"):
        read_sections(study_folder.table, "B01")
