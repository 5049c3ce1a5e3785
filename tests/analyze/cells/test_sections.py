"""Tables brought to a section's pixels, and those that do not fit it."""

from dataclasses import replace

import numpy as np
import pytest

from cytomesh.analyze.cells.config import TablesConfig
from cytomesh.analyze.cells.sections import cells_of_sections, rows_of, section_cells, section_files
from cytomesh.analyze.cells.table import CellTable
from cytomesh.core.errors import CellError
from cytomesh.study.study import open_study
from tests.analyze.cells.conftest import SIDE_PX, UM_PER_PX, write_ball
from tests.analyze.cells.tables import write_csv, write_parquet


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sections") / "study"
    write_ball(folder)
    return open_study(folder / "study.yaml")


def tables(**given):
    return TablesConfig.model_validate({"files": "cells/{brain}_{section:04d}.parquet"} | given)


def brought(study, table, **given):
    brain = study.brains[0]
    return section_cells(table, study.path, brain.sections[0], tables(**given))


def test_places_of_every_convention_come_to_the_same_pixel(study):
    # the centre of pixel (100, 40) of the section's 100 um/px is 10,050 and 4,050 um from its corner
    same = [
        (CellTable(np.array([(100.0, 40.0)]), "px", False), {"um_per_px": 100.0}),
        (CellTable(np.array([(100.5, 40.5)]), "px", True), {"um_per_px": 100.0}),
        (CellTable(np.array([(10050.0, 4050.0)]), "um", True), {}),
        (CellTable(np.array([(10049.5, 4049.5)]), "px", False), {"um_per_px": 1.0}),
        (CellTable(np.array([(9.5, 7.5)]), "px", False), {"um_per_px": 100.0, "offset_px": (90.5, 32.5)}),
        (CellTable(np.array([(10000.0, 4000.0)]), "um", False), {"um_per_px": 100.0}),
    ]
    for table, given in same:
        np.testing.assert_allclose(brought(study, table, **given).pixels, [(100, 40)])


def test_sizes_are_in_um_and_neighbours_are_found(study, capsys):
    rng = np.random.default_rng(0)
    places = rng.uniform(10, 60, (300, 2))
    measures = {"area": np.full(300, 20.0), "perimeter": np.full(300, 16.0), "eccentricity": np.zeros(300)}
    measures["area"][3], measures["area"][7] = -1.0, np.inf
    found = brought(study, CellTable(places, "px", False, measures), um_per_px=50.0)
    pixels = (places + 0.5) * 0.5 - 0.5
    np.testing.assert_allclose(found.pixels, pixels)
    np.testing.assert_allclose(found.measures["area_um2"][:3], 20 * 2500)
    assert np.isnan(found.measures["area_um2"][[3, 7]]).all() and np.isnan(found.measures["circularity"][[3, 7]]).all()
    assert "2 of 300 cells without an area above 0" in capsys.readouterr().err
    np.testing.assert_allclose(found.measures["circularity"][0], 4 * np.pi * 20 / 256)
    apart = np.linalg.norm(pixels[:, None] - pixels[None], axis=2) + 1e9 * np.eye(300)
    np.testing.assert_allclose(found.measures["nearest_um"], apart.min(axis=1) * UM_PER_PX)


def test_cells_given_twice_and_outside_the_image_are_left_out_and_counted(study):
    places = np.array([(5, 5), (9, 9), (5, 5), (SIDE_PX + 3, 5), (5, 5.001)], float)
    found = brought(study, CellTable(places, "px", False), um_per_px=UM_PER_PX)
    np.testing.assert_allclose(found.pixels, [(5, 5), (9, 9), (5, 5.001)])
    assert (found.n_read, found.n_twice, found.n_outside) == (5, 1, 1)


def test_what_cannot_be_brought_is_named(study):
    places = np.array([(5.0, 5.0), (6.0, np.nan)])
    with pytest.raises(CellError, match="row 2: found 1 centroids that are not finite"):
        brought(study, CellTable(places, "px", False), um_per_px=1.0)
    table = CellTable(places[:1], "px", False)
    with pytest.raises(CellError, match=r"pixels of unknown size, expected the um/px. Way out: set tables.um_per_px"):
        brought(study, table)
    with pytest.raises(CellError, match="pixels of unknown size"):  # um, but areas in pixels
        brought(study, CellTable(places[:1], "um", True, {"area": np.ones(1)}))
    with pytest.raises(CellError, match=r"found 2 um/px, expected 1"):
        brought(study, replace(table, um_per_px=2.0), um_per_px=1.0)
    with pytest.raises(CellError, match=r"section 3: found cells at columns .* is it of another section than 3\?"):
        brought(study, CellTable(np.array([(5e3, 5.0), (6e3, 7.0)]), "px", False), um_per_px=UM_PER_PX)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_sizes_in_another_unit_are_refused(study, scale):
    table = CellTable(np.ones((3, 2)), "px", False, {"area": np.full(3, 80.0 * scale)}, "um")
    with pytest.raises(CellError, match=r"areas: found cells of .* um \(median diameter\), expected 0.5 to 300 um"):
        brought(study, table, um_per_px=1.0)


def test_rows_of_other_sections_are_refused_or_passed_over(study, tmp_path):
    brain = study.brains[0]
    first = brain.sections[0]
    of_four = CellTable(np.ones((2, 2)), "px", False, section=np.array([3, 4]))
    with pytest.raises(CellError, match="found cells of section 4, expected those of B01 section 3"):
        rows_of(of_four, tmp_path, first, brain, is_shared=False)
    assert len(rows_of(of_four, tmp_path, first, brain, is_shared=True)) == 1
    named = CellTable(np.ones((1, 2)), "px", False, image=np.array(["section_5.png"]))
    with pytest.raises(CellError, match=r"cells of section_5.png, the image of section 5"):
        rows_of(named, tmp_path, first, brain, is_shared=False)
    assert len(rows_of(replace(named, image=np.array(["scan 7"])), tmp_path, first, brain, is_shared=False)) == 1
    of_both = replace(named, places=np.ones((2, 2)), image=np.array(["section_3.png", "section_5.png"]))
    with pytest.raises(CellError, match=r"cells of section_5.png"):
        rows_of(of_both, tmp_path, first, brain, is_shared=False)
    for own in ("section_3.png", "section_3", "section_3.png - Series 1"):
        table = replace(of_both, image=np.array([own, "section_4.png"]))
        assert len(rows_of(table, tmp_path, first, brain, is_shared=True)) == 1
    # the name of a file of several scenes does not say which
    with pytest.raises(CellError, match="cells of no section, expected a column section"):
        rows_of(table, tmp_path, replace(first, scene=0), brain, is_shared=True)
    with pytest.raises(CellError, match="cells of no section, expected a column section"):
        rows_of(replace(named, image=None), tmp_path, first, brain, is_shared=True)


def test_one_table_of_all_sections_is_told_apart_by_its_columns(study, capsys):
    brain = study.brains[0]
    path = study.path.parent / "all.csv"
    write_csv(path, "x,y,section", np.array([(5, 5, 3), (6, 6, 5), (7, 8, 5), (9, 9, 77)]))
    found = {
        section.index: cells
        for section, cells in cells_of_sections(study, brain, tables(files="all.csv", um_per_px=100.0))
    }
    assert {index: len(cells) for index, cells in found.items()} == {3: 1, 5: 2}
    assert "all.csv: 1 of 4 cells belong to no section of B01" in capsys.readouterr().err
    two = replace(study, brains=(brain, replace(brain, id="B02")))
    with pytest.raises(CellError, match="cells of sections of no brain, expected a column brain"):
        next(cells_of_sections(two, brain, tables(files="all.csv", um_per_px=100.0)))


def test_sections_without_a_file_are_left_out(study):
    write_parquet(study.path.parent / "some" / "4.parquet", 1.0, x=[1.0], y=[2.0])
    assert list(section_files(study, study.brains[0], tables(files="some/{section}.parquet"))) == [4]
