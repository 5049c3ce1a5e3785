"""Structural variation within the protocol gives the numbers of `cytomesh variation`."""

import shutil

import numpy as np
import pytest

from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.evaluate.run import encode
from cytomesh.analyze.evaluate.structure import Structure, StructureConfig
from cytomesh.analyze.variation import variation_run
from cytomesh.core.files import read_json


def test_r2_is_that_of_variation(bench, four_brains, tmp_path):
    run = shutil.copytree(four_brains, tmp_path / "run")
    given = {"targets": ["thickness_mm", "ref_y_mm"], "components": [2, 9]}
    variation_run(run, "same", VariationConfig.model_validate(given))
    record = read_json(run / "analyze" / "same" / "metrics.json")["features"]["good"]
    stage = bench()
    task = Structure(StructureConfig.model_validate(given))
    own, place = (task.score(stage, encode(stage, name)) for name in ("good", "coordinates"))

    def mean(outcome, target, measure, level=None):
        found = [s.value for s in outcome.scores if (s.target, s.measure, s.level) == (target, measure, level)]
        return np.mean(found)

    for target in given["targets"]:
        assert mean(own, target, "r2") == pytest.approx(record[target]["r2"][-1])
        assert mean(own, target, "r2_by_components", 2) == pytest.approx(record[target]["r2"][0])
        assert mean(place, target, "r2") == pytest.approx(record[target]["location"], abs=1e-6)
    assert mean(own, "thickness_mm", "beyond_location") == pytest.approx(record["thickness_mm"]["beyond_location"])
    assert not [s for s in own.scores if s.target == "ref_y_mm" and s.measure == "beyond_location"]
