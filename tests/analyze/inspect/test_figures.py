"""Figures for print, of tables written by hand: what they hold is drawn, and nothing of what is not there."""

import re

import numpy as np
import pytest

from cytomesh.analyze.inspect.figures import write_figures
from cytomesh.analyze.inspect.saliency import Saliency, write_saliency
from cytomesh.core.files import write_array
from cytomesh.core.tables import Table, write_table

pytest.importorskip("matplotlib")
AREAS = [f"A{i}" for i in range(9)]


@pytest.fixture
def folder(tmp_path):
    """A map in three colourings, a matrix of two hemispheres whose areas share no brain, maps of two layers."""
    random = np.random.default_rng(0)
    nodes = {"x": random.normal(size=30), "y": random.normal(size=30), "area": np.array([*AREAS, "none"] * 3)}
    nodes |= {"brain": np.array(["B01", "B02"] * 15), "cells:n": np.where(np.arange(30) % 3, np.arange(30.0), np.nan)}
    write_table(tmp_path / "map.parquet", Table(nodes, {"cells:n": "1/mm3"}))
    values = {"mean": [0.9, 0.1, 0.1, 0.8], "within_brains": [np.nan] * 4, "between_brains": [0.9, 0.1, 0.1, 0.8]}
    names = {"area_a": np.array(["L V1", "L V1", "R V1", "R V1"]), "area_b": np.array(["L V1", "R V1"] * 2)}
    write_table(tmp_path / "similarity.parquet", Table({**names, **{k: np.array(v) for k, v in values.items()}}))
    examples = {"area": np.array(["V1", "none"]), "graph": np.array(["B01_hemi-L"] * 2), "node": np.array([7, 8])}
    write_table(tmp_path / "examples.parquet", Table(examples))
    write_array(tmp_path / "patches.npy", random.integers(0, 256, (2, 1, 16, 16), dtype=np.uint8))
    panels = tuple(f"layer {layer} of 4, head {head}" for layer in (1, 4) for head in (1, 2, 3))
    maps = random.uniform(size=(2, 2, 3, 4, 4)).astype(np.float32)
    write_saliency(tmp_path / "saliency.parquet", Saliency(maps, "attention", panels, "class token"))
    return tmp_path


def metrics(**changes):
    areas = [{"name": f"{side} V1", "hemisphere": side, "lobe": ""} for side in "LR"]
    panels = [f"layer {layer} of 4, head {head}" for layer in (1, 4) for head in (1, 2, 3)]
    cloud = {"method": "tsne", "colour_by": ["area", "brain", "cells:n"], "colours": dict.fromkeys(AREAS, "#336699")}
    looks = {"panels": panels, "gamma": 0.5, "size_px": 16, "um_per_px": 250.0}
    return {"map": cloud, "similarity": {"areas": areas}, "saliency": looks} | changes


def words(path):
    return re.findall(r">([^<>\n]+)</text>", path.read_text())


def test_all_that_is_there_is_drawn_with_its_names_and_units(folder):
    write_figures(folder, metrics())
    cloud, matrix, looks = (words(folder / f"{name}.svg") for name in ("map", "similarity", "saliency"))
    assert {*AREAS, "B01", "B02", "cells:n (1/mm3)", "t-SNE 1"} < set(cloud)
    assert "none" not in cloud and "within brains" not in matrix
    assert matrix.count("L V1") == 3 and "mean cosine similarity" in matrix and "between brains" in matrix
    assert {"head 3", "layer 4 of 4", "B01_hemi-L: 8", "1 mm"} <= set(looks) and looks.count("layer 1 of 4") == 2


def test_what_is_not_there_is_not_drawn(folder):
    write_figures(folder, metrics(similarity=None, saliency=None))
    assert [path.name for path in folder.glob("*.svg")] == ["map.svg"]
