import logging
from pathlib import Path

import pytest

from cytomesh.classify.config import ClassifyConfig
from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError

PRESETS = sorted((Path(__file__).parents[2] / "configs" / "classify").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_presets_load(preset):
    assert load_config(ClassifyConfig, preset).n_seeds >= 1


def test_the_issue_s_presets_exist():
    models = {"linear", "knn", "mlp", "label_propagation", "sgc", "gcn", "sage", "gat", "gatv2", "gat_deep", "gat_plus"}
    assert models <= {path.stem for path in PRESETS}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inputs.names=[featurs]", "unknown input 'featurs', did you mean 'features'"),
        ("inputs.names=['features:']", "unknown input"),
        ("inputs.names=[thickness, thickness]", "listed twice"),
        ("inputs.hops=[3, 1]", "ascending"),
        ("model={kind: gat, hidden: 30, heads: 4}", "multiple of heads"),
        ("model={kind: gatv2, edges: [length]}", "gatv2 has no edge attributes"),
        ("model={kind: gat, edges: [length, length]}", "listed twice"),
        ("training.loss={kind: focal, gamma: 0.5}", "greater than or equal to 1"),
        ("crf.hops=[0, 3]", "ascending, 1 or more"),
        ("training.epoch=3", "did you mean 'epochs'"),
        ("split={kind: hemisphere, train: []}", "split"),
    ],
)
def test_wrong_settings_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(ClassifyConfig, None, [override])


def test_areas_that_are_left_out_get_no_pseudo_labels():
    changes = ["areas.leave_out=[area 2]", "pseudo_labels.rounds=1"]
    with pytest.raises(ConfigError, match="areas.leave_out: pseudo_labels would name .* leave its rounds at 0"):
        load_config(ClassifyConfig, None, changes)
    for change in changes:
        load_config(ClassifyConfig, None, [change])


def test_former_names_are_read_with_a_word(caplog):
    caplog.set_level("WARNING", "cytomesh")
    logging.getLogger("cytomesh").propagate = True
    settings = ClassifyConfig.model_validate({"surroundings": {"hops": [3]}, "proportions": "training"})
    assert (settings.crf.hops, settings.label_shift) == ([3], "training")
    assert "'surroundings' is now called 'crf'" in caplog.text
    with pytest.raises(ValueError, match="both crf and surroundings"):
        ClassifyConfig.model_validate({"surroundings": {}, "crf": {}})
