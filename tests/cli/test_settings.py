from importlib import import_module

import pytest
import yaml

from cytomesh.cli.settings import PLACES
from cytomesh.core.config import models_of


def kind_of(stage):
    module, _, name = PLACES[stage].partition(":")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("stage", PLACES)
def test_all_settings_of_a_stage_are_printed_and_load_as_the_defaults(cytomesh, stage):
    code, text, _ = cytomesh("settings", stage.value)
    kind = kind_of(stage)
    assert code == 0 and max(map(len, text.splitlines())) <= 200
    assert kind.model_validate(yaml.safe_load(text)) == kind()
    for name, field in kind.model_fields.items():
        if not (models := models_of(field)) or any(model.model_fields for model in models):
            assert f"{name}:" in text or f"'{name}':" in text
            assert " ".join(field.description.split())[:30] in text


def test_what_is_not_chosen_by_default_is_commented_out(cytomesh):
    text = cytomesh("settings", "classify")[1]
    for line in (
        "- {model: {kind: lda, shrinkage: 0.05}, hops: [0, 1, 3, 6, 10, 20, 40]}",
        "#   kind: logistic",
        "#   kind: hemisphere",
        "#   # train: (to be given)",
    ):
        assert line in text.splitlines()


def test_an_alternative_loads_once_its_marks_are_taken_away(cytomesh):
    lines = cytomesh("settings", "classify")[1].splitlines()
    start = lines.index("#   kind: hemisphere")
    while lines[start] != "# split:":
        start -= 1
    end = next(i for i in range(start + 1, len(lines)) if lines[i] in ("# split:", ""))
    split = yaml.safe_load("\n".join(line[2:] for line in lines[start:end]))
    assert kind_of("classify").model_validate(split).split.kind == "hemisphere"
