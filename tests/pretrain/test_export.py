"""Encoders on disk: the settings that belong to the weights travel with them, and nothing else is needed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cytomesh.core.errors import CheckpointError, ConfigError
from cytomesh.core.progress import speak
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.export import WEIGHTS, build_encoder, load_encoder, save_encoder

SETTINGS = PretrainConfig.model_validate(
    {
        "encoder": {
            "name": "test_resnet",
            "in_chans": 1,
            "options": {"stem_width": 4, "channels": [4, 6, 6, 8]},
            "drop_path_rate": 0.1,
        },
        "patches": {"size_px": 32, "um_per_px": 40.0, "border_px": 3},
        "augment": {"mean": 0.4, "std": 0.3, "noise": 0.1},
    }
)
PATCHES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32), np.uint8))


@pytest.fixture
def encoder():
    """Not as it begins: its running statistics are those of data."""
    torch.manual_seed(0)
    encoder = build_encoder(SETTINGS)
    for _ in range(3):
        encoder(encoder.normalise(PATCHES))
    return encoder.eval()


@pytest.fixture
def folder(encoder, tmp_path):
    save_encoder(tmp_path / "small", "small", encoder, SETTINGS, {})
    return tmp_path / "small"


@pytest.fixture
def old_folder(folder):
    """As it was written before there were versions."""
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, {"format": "pt", "timm": "test_resnet"})
    return folder


def change_config(folder, **sections):
    """Change settings in `config.yaml`; None takes a section out."""
    path = folder / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    for name, values in sections.items():
        settings[name] = {**settings[name], **values} if values is not None else None
    path.write_text(yaml.safe_dump(settings))


def change_record(folder, change):
    with safe_open(folder / WEIGHTS, "pt") as file:
        metadata = file.metadata()
    record = json.loads(metadata["cytomesh"])
    change(record)
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, {**metadata, "cytomesh": json.dumps(record)})


def assert_same_features(folder, encoder):
    loaded = load_encoder(folder)
    torch.testing.assert_close(loaded.embed(PATCHES), encoder.embed(PATCHES))
    assert (loaded.patches.size_px, loaded.patches.um_per_px) == (32, 40.0)
    return loaded


def test_weights_alone_are_an_encoder(folder, encoder):
    (folder / "config.yaml").unlink()
    assert_same_features(folder, encoder)


def test_the_record_holds_what_belongs_to_the_weights(folder):
    with safe_open(folder / WEIGHTS, "pt") as file:
        record = json.loads(file.metadata()["cytomesh"])
    assert record["patches"] == {"size_px": 32, "um_per_px": 40.0}
    assert record["augment"] == {"mean": 0.4, "std": 0.3}
    assert record["encoder"]["options"] == {"stem_width": 4, "channels": [4, 6, 6, 8]}
    assert not {"weights", "drop_path_rate"} & record["encoder"].keys()


def test_settings_of_training_are_not_looked_at(old_folder, encoder):
    change_config(old_folder, objectives={"of_another_version": {}}, schedule={"steps": "many"}, sampling=None)
    change_config(old_folder, encoder={"weights": "/on/another/machine"}, patches={"border_px": "wide"})
    assert_same_features(old_folder, encoder)


@pytest.mark.parametrize("is_old", [False, True])
def test_unknown_keys_of_stored_settings_are_left_out_and_logged(folder, encoder, is_old, capsys, request):
    speak()
    if is_old:
        request.getfixturevalue("old_folder")
        change_config(folder, encoder={"of_another_version": 1})
    else:
        change_record(folder, lambda record: record["encoder"].update(of_another_version=1))
        (folder / "config.yaml").unlink()
    assert_same_features(folder, encoder)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("unknown keys, left out: encoder.of_another_version")
    assert ("config.yaml" if is_old else WEIGHTS) in line


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("patches", {"size_px": 64}, "patches.size_px 64 instead of 32"),
        ("patches", {"um_per_px": 20.0}, "patches.um_per_px 20.0 instead of 40.0"),
        ("augment", {"mean": 0.5, "std": 0.25}, "augment.mean 0.5 instead of 0.4; augment.std 0.25 instead of 0.3"),
        ("encoder", {"name": "test_vit"}, "encoder.name 'test_vit' instead of 'test_resnet'"),
        ("patches", None, "patches.size_px None instead of 32; patches.um_per_px None instead of 40.0"),
    ],
)
def test_changed_settings_of_finished_weights_are_refused(folder, section, change, message):
    change_config(folder, **{section: change})
    with pytest.raises(CheckpointError, match=rf"config\.yaml: found {message}, expected the settings .* trained with"):
        load_encoder(folder)


def test_settings_that_change_no_feature_may_be_changed(folder, encoder):
    change_config(folder, encoder={"activation_checkpointing": True}, patches={"border_px": 9}, augment={"noise": 0.0})
    assert_same_features(folder, encoder)


@pytest.mark.parametrize("section", ["encoder", "patches", "augment"])
def test_an_incomplete_record_is_one_clear_error(folder, section):
    change_record(folder, lambda record: record.pop(section))
    expected = r"model\.safetensors: found no complete record.*expected the encoder, and patches\.size_px"
    with pytest.raises(CheckpointError, match=expected):
        load_encoder(folder)


def test_old_weights_need_their_config(old_folder):
    change_config(old_folder, patches=None)
    with pytest.raises(CheckpointError, match=r"config\.yaml: found no complete record"):
        load_encoder(old_folder)
    (old_folder / "config.yaml").unlink()
    with pytest.raises(ConfigError, match=r"config\.yaml: found no such file"):
        load_encoder(old_folder)


@pytest.mark.parametrize("name", ["bn1.running_mean", "bn1.num_batches_tracked", "layer1.0.conv1.weight"])
def test_every_tensor_comes_from_the_file(folder, name):
    with safe_open(folder / WEIGHTS, "pt") as file:
        metadata = file.metadata()
    state = load_file(folder / WEIGHTS)
    del state[name]
    save_file(state, folder / WEIGHTS, metadata)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: found no {name}, expected all \d+ tensors"):
        load_encoder(folder)


def test_every_tensor_of_the_file_is_used(folder):
    with safe_open(folder / WEIGHTS, "pt") as file:
        metadata = file.metadata()
    state = load_file(folder / WEIGHTS)
    state["fc.weight"] = torch.zeros(2, 8)
    state["bn1.weight"] = state["bn1.weight"][:2].clone()
    save_file(state, folder / WEIGHTS, metadata)
    expected = r"fc\.weight, which the network does not have; bn1\.weight of shape \(2,\) instead of \(8,\)"
    with pytest.raises(CheckpointError, match=expected):
        load_encoder(folder)


def test_weights_that_are_not_as_they_were_written_are_refused(folder):
    path = folder / WEIGHTS
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    name = max(state, key=lambda name: state[name].numel())
    state[name] = state[name].flip(0).contiguous()
    save_file(state, path, metadata)
    with pytest.raises(CheckpointError, match="weights that are not as they were written"):
        load_encoder(folder)


def test_an_encoder_of_layers_comes_back_as_it_was(tmp_path):
    given = {"encoder": {"name": "test_vit", "in_chans": 1, "patch_size": 8, "layers": [1, 2]}}
    settings = PretrainConfig.model_validate(SETTINGS.model_dump(exclude={"encoder"}) | given)
    encoder = build_encoder(settings).eval()
    save_encoder(tmp_path / "fused", "fused", encoder, settings, {})
    assert assert_same_features(tmp_path / "fused", encoder).config.layers == [1, 2]
