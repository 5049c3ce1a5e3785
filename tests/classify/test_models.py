import numpy as np
import pytest
import torch

from cytomesh.classify.config import ClassifyConfig, LdaModel, MlpModel
from cytomesh.classify.linear import LinearClassifier
from cytomesh.classify.models import load_state, make_classifier, save_state
from cytomesh.classify.training import NeuralClassifier
from cytomesh.core.errors import CheckpointError


def test_one_interface():
    kinds = {"lda": (LdaModel(kind="lda"), LinearClassifier), "mlp": (MlpModel(kind="mlp"), NeuralClassifier)}
    for model, kind in kinds.values():
        assert isinstance(make_classifier(ClassifyConfig(model=model), 4, 3, torch.device("cpu")), kind)


def test_weights_on_disk(tmp_path):
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.ones(2, np.float32)}
    save_state(tmp_path / "model.safetensors", state)
    loaded = load_state(tmp_path / "model.safetensors")
    for name, array in state.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_truncated_weights(tmp_path):
    path = tmp_path / "model.safetensors"
    save_state(path, {"a": np.ones(100, np.float32)})
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CheckpointError, match="unreadable"):
        load_state(path)
