import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from cytomesh.cli.settings import PLACES
from cytomesh.core.config import load_config, models_of, presets

CONFIGS = Path(__file__).parents[2] / "configs"


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


def names_below(kind, above=()):
    """All names of settings, however deep; a model within itself once."""
    for name, field in kind.model_fields.items():
        models = [model for model in models_of(field) if model not in above]
        if not models_of(field) or any(model.model_fields for model in models):
            yield name
        for model in models:
            yield from names_below(model, (*above, kind))


@pytest.mark.parametrize("stage", ["classify", "evaluate", "pretrain"])
def test_settings_within_settings_are_listed_too(cytomesh, stage):
    lines = cytomesh("settings", stage)[1].splitlines()
    listed = {name for line in lines for name in re.findall(r"[{ ]'?(\w+)'?:", f" {line}")}
    names = set(names_below(kind_of(stage)))
    assert len(names) > 25 and names <= listed


def test_every_folder_of_presets_belongs_to_a_command():
    kinds = {kind.presets: kind for stage in PLACES if (kind := kind_of(stage)).presets}
    folders = {folder.name for folder in CONFIGS.iterdir() if any(folder.glob("*.yaml"))}
    assert kinds.keys() == folders
    for folder, kind in kinds.items():
        assert set(presets(folder)) == {file.stem for file in (CONFIGS / folder).glob("*.yaml")}
        for name in presets(folder):
            assert isinstance(load_config(kind, Path(name)), kind)


def test_a_preset_is_printed_with_all_that_it_leaves_at_the_default(cytomesh):
    code, text, _ = cytomesh("settings", "classify", "--config", "linear", "--set", "n_seeds=2")
    assert code == 0 and "gat_deep, " in text and "#   kind: gat" in text.splitlines()
    kind = kind_of("classify")
    assert kind.model_validate(yaml.safe_load(text)) == load_config(
        kind, CONFIGS / "classify/linear.yaml", ["n_seeds=2"]
    )


def test_an_unknown_preset_is_refused_with_the_nearest(cytomesh):
    code, _, errors = cytomesh("settings", "classify", "--config", "gatt")
    assert code == 1 and "did you mean 'gat" in errors


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
