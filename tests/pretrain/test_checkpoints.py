"""Checkpoints: the last few are kept, damage is recognised, other settings are another run."""

from __future__ import annotations

import pytest
import torch

from cytomesh.core.errors import CheckpointError, FormatError
from cytomesh.pretrain.checkpoints import (
    Checkpoint,
    list_checkpoints,
    load_best,
    load_last,
    save_best,
    save_checkpoint,
)


def checkpoint(step: int, key: str = "a") -> Checkpoint:
    return Checkpoint(
        key, step, {"weight": torch.full((50,), float(step))}, {"state": {0: torch.ones(2)}}, {}, {}, {"best": 0.5}
    )


def test_last_ones_are_kept(tmp_path):
    for step in (5, 10, 100, 15):
        save_checkpoint(tmp_path, checkpoint(step), keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000015.pt", "step-00000100.pt"]
    found = load_last(tmp_path, "a")
    assert found.step == 100
    assert torch.equal(found.model["weight"], torch.full((50,), 100.0))


def test_other_settings_are_another_run(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1), keep=2)
    assert load_last(tmp_path, "b") is None
    assert load_last(tmp_path / "nothing", "a") is None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_checkpoint_is_one_clear_error(tmp_path, share):
    save_checkpoint(tmp_path, checkpoint(1), keep=2)
    path = save_checkpoint(tmp_path, checkpoint(2), keep=2)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r"step-00000002\.pt.*truncated.*step-00000001\.pt") as caught:
        load_last(tmp_path, "a")
    assert "delete this file" in caught.value.hint
    path.unlink()
    assert load_last(tmp_path, "a").step == 1


def test_file_of_something_else(tmp_path):
    torch.save({"step": 1}, tmp_path / "step-00000001.pt")
    with pytest.raises(CheckpointError, match="--no-resume"):
        load_last(tmp_path, "a")


def test_best_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"best\.pt"):
        load_best(tmp_path, "a")
    save_best(tmp_path, "a", 7, {"weight": torch.ones(3)})
    assert torch.equal(load_best(tmp_path, "a")["weight"], torch.ones(3))
    with pytest.raises(CheckpointError, match="other settings"):
        load_best(tmp_path, "b")
    assert list_checkpoints(tmp_path) == []  # nothing to go on from


def test_checkpoints_of_a_newer_version_are_not_taken_for_damaged(tmp_path):
    save_best(tmp_path, "a", 7, {})
    save_checkpoint(tmp_path, checkpoint(7), keep=2)
    for path in tmp_path.iterdir():
        torch.save({**torch.load(path, weights_only=True), "format": 9}, path)
    for load in (load_best, load_last):
        with pytest.raises(FormatError, match="checkpoint format 9"):
            load(tmp_path, "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"weight": torch.tensor([1.0, float("nan")])}}, "weight has values that are not finite"),
        ({"model": {"weight": "x"}}, "weight is no tensor"),
        ({"step": 10**9}, "step 1000000000 in a file of this name"),
        ({"score": {"best": float("inf")}}, "score"),
        ({"optimizer": []}, "states that are no dictionaries"),
    ],
)
def test_states_that_no_training_leaves_are_refused(tmp_path, change, message):
    path = save_checkpoint(tmp_path, checkpoint(3), keep=2)
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(CheckpointError, match=rf"step-00000003\.pt: .*{message}.*--no-resume"):
        load_last(tmp_path, "a")
    save_best(tmp_path, "a", 3, {"weight": torch.tensor([float("inf")])})
    with pytest.raises(CheckpointError, match=r"best\.pt: found no weights .*not finite"):
        load_best(tmp_path, "a")


def test_a_flipped_bit_of_the_weights_is_found(tmp_path):
    path = save_checkpoint(tmp_path, checkpoint(3), keep=2)
    content, weights = path.read_bytes(), torch.full((50,), 3.0).numpy().tobytes()
    at = content.index(weights) + 80
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(CheckpointError, match=r"step-00000003\.pt: .*is damaged|Bad CRC"):
        load_last(tmp_path, "a")
