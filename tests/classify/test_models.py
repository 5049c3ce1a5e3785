import os
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.models import load_classifier, load_state, make_classifier, save_state
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.run import fit_seed
from cytomesh.core.distributed import World
from cytomesh.core.errors import CheckpointError


@pytest.fixture
def blobs():
    """Five clusters along a path of nodes, every other node for training."""
    random = np.random.default_rng(0)
    targets = np.repeat(np.arange(5), 40)
    inputs = (6 * np.eye(5, 7)[targets] + random.normal(size=(200, 7))).astype(np.float32)
    sides = np.where(np.arange(200) % 2, "test", "train")
    adjacency = sp.diags([np.ones(199), np.ones(199)], [-1, 1], format="csr")
    return NodeData(
        inputs,
        targets,
        sides,
        adjacency,
        np.array([200]),
        np.arange(1, 6, dtype=np.int32),
        np.zeros((200, 3), np.float32),
    )


@pytest.mark.parametrize("kind", ["logistic", "lda", "knn", "label_propagation", "mlp", "gcn", "sage", "gat", "gatv2"])
def test_every_model_learns_and_comes_back(blobs, kind, tmp_path):
    settings = ClassifyConfig.model_validate({"model": {"kind": kind}, "training": {"epochs": 40}})
    model, again = (make_classifier(settings, 7, 5, torch.device("cpu")) for _ in range(2))
    model.fit(blobs, 0)
    probabilities = model.probabilities(blobs)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    on_test = blobs.evaluated("test")
    assert (probabilities.argmax(axis=1) == blobs.targets)[on_test].mean() > 0.8
    save_state(tmp_path / "model.safetensors", model.state())
    load_classifier(again, tmp_path / "model.safetensors")
    np.testing.assert_allclose(again.probabilities(blobs), probabilities, atol=1e-6)


@pytest.mark.parametrize("kind", ["logistic", "lda", "knn", "mlp"])
@pytest.mark.parametrize("calibration", ["none", "temperature"])
def test_what_a_stopped_run_trained_gives_the_same_bits(blobs, kind, calibration, tmp_path):
    settings = ClassifyConfig.model_validate(
        {"model": {"kind": kind}, "training": {"epochs": 5}, "calibration": calibration}
    )
    data = replace(blobs, sides=np.where(np.arange(200) % 4 == 2, "val", blobs.sides))
    here = World(0, 1, torch.device("cpu"))
    fitted, curve = fit_seed(tmp_path, data, settings, 0, here)
    loaded, again = fit_seed(tmp_path, data, settings, 0, here)
    assert loaded.tobytes() == fitted.tobytes()
    assert again == curve


def test_all_arrays_and_no_other(blobs, tmp_path):
    plain, calibrated = (
        make_classifier(ClassifyConfig.model_validate(settings), 7, 5, torch.device("cpu"))
        for settings in ({"model": {"kind": "lda"}}, {"model": {"kind": "lda"}, "calibration": "temperature"})
    )
    path = tmp_path / "model.safetensors"
    calibrated.fit(blobs, 0)
    save_state(path, calibrated.state())
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .*does not have: temperature, expected those"):
        load_classifier(plain, path)
    plain.fit(blobs, 0)
    save_state(path, plain.state())
    with pytest.raises(CheckpointError, match=r"model\.safetensors: found no array 'temperature'"):
        load_classifier(calibrated, path)


def test_weights_on_disk(tmp_path):
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.ones(2, np.float32)}
    save_state(tmp_path / "model.safetensors", state)
    loaded = load_state(tmp_path / "model.safetensors")
    for name, array in state.items():
        np.testing.assert_array_equal(loaded[name], array)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_others_may_read_weights_as_any_new_file(umask, tmp_path):
    before = os.umask(umask)
    try:
        save_state(tmp_path / "seed-0.safetensors", {"weight": np.zeros(3, np.float32)})
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask


def test_truncated_weights(tmp_path):
    path = tmp_path / "model.safetensors"
    save_state(path, {"a": np.ones(100, np.float32)})
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CheckpointError, match="found a file that cannot be read"):
        load_state(path)


def test_weights_that_are_not_finite(tmp_path):
    path = tmp_path / "model.safetensors"
    save_state(path, {"a": np.array([1, np.nan], np.float32)})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .*values of a that are not finite"):
        load_state(path)
