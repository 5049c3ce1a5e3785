"""INM-1's areas of layers, and the densities that follow from them."""

import json
import shutil

import numpy as np
import pytest

from cytomesh.analyze.cells.drawn import drawn_path, read_drawn
from cytomesh.analyze.cells.run import cells_run
from cytomesh.core.errors import CellError
from cytomesh.core.tables import read_table
from cytomesh.report.cells import cells_part
from cytomesh.report.status import run_status
from tests.analyze.cells.conftest import PLANES_MM, UM_PER_PX, draw_cells, settings

HEADER = "# Number Name Area(micron**2) AvgThickness(micron)\n"
AREAS_UM2 = (4e6, 3e6, 9e6, 2e6, 6e6, 8e6)


def write_info(path, header=HEADER):
    names = ("I", "II", "III", "IV", "V", "VI")
    rows = (
        f"{i + 1} {name} {area:.1f} {100 + i}\n" for i, (name, area) in enumerate(zip(names, AREAS_UM2, strict=True))
    )
    path.write_text(header + "".join(rows))
    return path


def test_densities_are_those_that_are_published(ball, tmp_path):
    shutil.copytree(ball.run.parent, tmp_path / "own")
    study, run = tmp_path / "own" / "study", tmp_path / "own" / "run"
    for index in PLANES_MM:
        (study / f"p{index}").mkdir()
        cells = draw_cells(index)
        columns = np.column_stack([cells[name] for name in ("column_px", "row_px", "area_um2", "layer")])
        lines = [" ".join(f"{value:g}" for value in (*row, i)) for i, row in enumerate(columns)]
        text = "# x y area(micron**2) layer label\n" + "\n".join(lines) + "\n"
        (study / f"p{index}" / "segments.txt").write_text(text)
        write_info(study / f"p{index}" / "layerinfo.txt")
    given = {"files": "p{section}/segments.txt", "um_per_px": UM_PER_PX}
    wanted = settings(tables=given, layers={"source": "table"}, volume={"section_um": 20.0})
    cells_run(run, "inm", wanted)
    table = read_table(run / "analyze" / "inm" / "drawn.parquet")
    for index in PLANES_MM:
        cells = draw_cells(index)
        for k, area in enumerate(AREAS_UM2):
            of = (table["section"] == f"B01 section {index}") & (
                table["layer"] == ("I", "II", "III", "IV", "V", "VI")[k]
            )
            published = (cells["layer"] == k + 1).sum() / area * 100**2 * 5  # siibra: per 0.1 mm cubed
            np.testing.assert_allclose(table["density_per_mm3"][of] / 1000, published)
            np.testing.assert_allclose(
                table["area_um2"][of], cells["area_um2"][cells["layer"] == k + 1].mean(), rtol=1e-4
            )
    page = str(cells_part(run).body)
    assert "as it was drawn (layerinfo.txt)" in page and "B01 section 4" in page
    write_info(study / "p4" / "layerinfo.txt", HEADER + "\n")
    assert {status.product: status.state for status in run_status(run)}["analyze/inm"] == "stale"


def test_only_beside_segments_and_as_documented(tmp_path):
    path = write_info(tmp_path / "layerinfo.txt")
    assert drawn_path(tmp_path / "segments.txt") == path and drawn_path(tmp_path / "cells.csv") is None
    np.testing.assert_allclose(read_drawn(path).mm2, np.array(AREAS_UM2) * 1e-6)
    np.testing.assert_allclose(read_drawn(path).thickness_mm, np.arange(0.1, 0.106, 0.001))
    path.write_text(HEADER + "3 III 100 20\n")
    assert json.dumps(np.isfinite(read_drawn(path).mm2).tolist()) == "[false, false, true, false, false, false]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# Number Name Size\n1 I 3\n", r"line 1: found no column area\(micron\*\*2\)"),
        (HEADER + "1 I 3 4\n1 I 3 4\n", "column number: found layers 1, 1, expected 1 to 6, each once"),
        (HEADER + "7 WM 3 4\n", "column number: found layers 7"),
        (HEADER + "1 I many 4\n", "found 'many', expected a number"),
        ("", "found an empty file"),
    ],
)
def test_what_is_no_table_of_layers_is_named(tmp_path, text, said):
    (tmp_path / "layerinfo.txt").write_text(text)
    with pytest.raises(CellError, match=said):
        read_drawn(tmp_path / "layerinfo.txt")
