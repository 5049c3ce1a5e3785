"""Figures of measures of cells."""

import pytest

from cytomesh.analyze.cells.figures import write_figures


def metrics(measure, has_layers):
    rows = [{"layer": name, measure: 9.0 + i, "area_um2": None} for i, name in enumerate(("all", *"123456"))]
    profile = [{"depth": 0.25, measure: 5.0}, {"depth": 0.75, measure: None}]
    graphs = {
        name: {"layers": rows if has_layers else rows[:1], "profile": profile} for name in ("B01_hemi-L", "B02_hemi-R")
    }
    return {"graphs": graphs, "depth": "linear"}


@pytest.mark.parametrize(
    ("measure", "said"),
    [("density_per_mm3", "cells per mm³"), ("density_per_mm2", "cells per mm² of section"), ("nearest_um", "nearest")],
)
def test_what_was_measured_is_drawn_with_its_unit(tmp_path, measure, said):
    write_figures(tmp_path, metrics(measure, has_layers=True))
    for name in ("profile", "layers"):
        text = (tmp_path / f"{name}.svg").read_text()
        assert said in text and ">B02_hemi-R<" in text and "mean area" not in text
    assert ">VI<" in text and "linear depth" in (tmp_path / "profile.svg").read_text()


def test_without_layers_there_is_no_figure_of_them(tmp_path):
    write_figures(tmp_path, metrics("density_per_mm3", has_layers=False))
    assert {path.stem for path in tmp_path.iterdir()} == {"profile"}
