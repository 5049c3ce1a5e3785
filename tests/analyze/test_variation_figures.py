"""Figures of structural variation."""

import numpy as np

from cytomesh.analyze.variation_figures import write_figures


def record(*r2):
    return {"r2": list(r2), "r2_sd": [0.05] * len(r2), "location": 0.2}


def test_every_target_and_features_are_drawn(tmp_path):
    features = {"cnn": {"cells:area_um2": record(0.1, 0.4)}, "profiles": {"cells:area_um2": record(0.0, -9.0)}}
    features["cnn"]["thickness_mm"] = record(0.2, 0.5)
    importance = {"cnn": {"cells:area_um2": [0.3, 0.1], "thickness_mm": [0.2]}, "profiles": {"cells:area_um2": [0.3]}}
    write_figures(tmp_path, {"features": features, "components": [1, 4]}, importance)
    drawn = {path.stem: path.read_text() for path in tmp_path.glob("*.svg")}
    assert drawn.keys() == {"r2", "components", "importance_cnn", "importance_profiles"}
    for name in ("r2", "components"):
        words = ("cnn", "profiles", "cells:area_um2", "thickness_mm") + (("location",) if name == "r2" else ())
        assert all(f">{word}<" in drawn[name] for word in words), name
    assert "SD of the target per SD" in drawn["importance_cnn"]
    assert all((tmp_path / f"{name}.{kind}").stat().st_size > 1000 for name in drawn for kind in ("svg", "pdf"))


def test_no_score_is_drawn_as_none(tmp_path):
    features = {"cnn": {"ref_x_mm": record(np.nan, 0.3) | {"location": 1.0}}}
    write_figures(tmp_path, {"features": features, "components": [1, 4]}, {"cnn": {"ref_x_mm": [0.1, 0.2]}})
    assert (tmp_path / "components.svg").is_file()
