"""Protocols that ship, and settings that cannot be meant."""

from pathlib import Path

import pytest

from cytomesh.analyze.evaluate.config import EvaluateConfig
from cytomesh.analyze.evaluate.kinds import TASKS
from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError

PRESETS = sorted((Path(__file__).parents[3] / "configs" / "evaluate").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_load(path):
    assert load_config(EvaluateConfig, path).tasks.named()


def test_every_task_but_that_which_needs_files_is_asked_by_default():
    assert EvaluateConfig().tasks.named().keys() == TASKS.keys() - {"labels"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tasks.few_shots={}", "did you mean 'few_shot'"),
        ("tasks={}", "none given, choose of areas"),
        ("tasks.few_shot.sections=[4, 2]", "ascending"),
        ("head={kind: label_propagation}", "looks at neighbours"),
        ("baselines=[pmap]", "coordinates"),
        ("tasks.rejection.share=1", "less than 1"),
    ],
)
def test_what_cannot_be_meant_is_named(setting, message):
    with pytest.raises(ConfigError, match=message):
        load_config(EvaluateConfig, None, [setting])
