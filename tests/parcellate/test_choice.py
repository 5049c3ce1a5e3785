"""Which method is taken where none is named."""

from __future__ import annotations

import numpy as np
import pytest

from cytomesh.core.config import validate
from cytomesh.core.errors import ConfigError
from cytomesh.core.files import read_json
from cytomesh.parcellate import run as stage
from cytomesh.parcellate import stability
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run

ALONE = {"spins": 0, "tilings": 2, "baselines": [], "stability": {"splits": 1, "nulls": 1}}


def settings_of(**given: object) -> ParcellateConfig:
    return validate(ParcellateConfig, {"n_parcels": 8, "evaluation": ALONE, **given}, "test", ConfigError)


def test_the_method_whose_halves_agree_most_above_noise_is_taken(make_run) -> None:
    run = make_run(hemispheres="LR")
    methods = ("voronoi", "ward")
    parcellate_run(run, "parcels", settings_of(methods=methods))
    chosen = read_json(run / "parcellate" / "parcels" / "metrics.json")
    expected = {}
    for method in methods:
        parcellate_run(run, method, settings_of(method=method))
        graphs = read_json(run / "parcellate" / method / "metrics.json")["graphs"]
        scores = [of["stability"]["halves"]["ami"]["over_noise"] for of in graphs.values()]
        expected[method] = float(np.mean(scores))
    tried = {one["method"]: one["halves_ami_over_noise"] for one in chosen["methods"]}
    assert tried == pytest.approx(expected, abs=1e-12)
    assert expected["voronoi"] < 0.1 < expected["ward"], "what tiles the mesh alone gains nothing by it"
    assert chosen["method"] == max(expected, key=expected.__getitem__)
    named = read_json(run / "parcellate" / chosen["method"] / "metrics.json")
    assert named["graphs"] == chosen["graphs"]
    assert "methods" not in named


def test_a_stopped_run_chooses_once(make_run, monkeypatch) -> None:
    run = make_run(hemispheres="LR")
    made, group = [], stage.parcellate_group

    def stopped(*args: object) -> object:
        if made:
            raise KeyboardInterrupt
        made.append(1)
        return group(*args)

    monkeypatch.setattr(stage, "parcellate_group", stopped)
    with pytest.raises(KeyboardInterrupt):
        parcellate_run(run, "parcels", settings_of())
    monkeypatch.setattr(stage, "parcellate_group", group)
    monkeypatch.setattr(stage, "best_method", lambda *_: pytest.fail("chosen again"))
    parcellate_run(run, "parcels", settings_of())
    assert {one["method"] for one in read_json(run / "parcellate" / "parcels" / "metrics.json")["methods"]} == {
        "diffusion",
        "ward",
    }


def test_too_few_sections_take_the_first(make_run, monkeypatch) -> None:
    monkeypatch.setattr(stability, "MIN_SECTIONS", 1000)
    run = make_run()
    parcellate_run(run, "parcels", settings_of(methods=["ward", "diffusion"]))
    found = read_json(run / "parcellate" / "parcels" / "metrics.json")
    assert (found["method"], found["methods"]) == ("ward", [{"method": "ward"}, {"method": "diffusion"}])


@pytest.mark.parametrize(("given", "named"), [({"methods": []}, "methods"), ({"methods": ["wards"]}, "ward")])
def test_methods_that_cannot_be_compared(given, named) -> None:
    with pytest.raises(ConfigError, match=named):
        settings_of(**given)
