"""Features of batches: cut by pixels, read ahead, the same whatever the number of threads."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from cytomesh.core.distributed import world
from cytomesh.core.errors import ImageError
from cytomesh.imaging.augment import AugmentConfig
from cytomesh.pretrain.config import EncoderConfig, PatchConfig
from cytomesh.pretrain.encode import batch_slices, computing_threads, encode_patches
from cytomesh.pretrain.encoder import PatchEncoder

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("size_px", "device", "rows"),
    [
        *[(64, CPU, 256), (128, CPU, 256), (129, CPU, 252), (1024, CPU, 4), (2048, CPU, 1), (3000, CPU, 1)],
        *[(224, GPU, 256), (2048, GPU, 4), (8192, GPU, 1)],
    ],
)
def test_batches_are_cut_by_pixels(size_px, device, rows):
    batches = batch_slices(600, size_px, device)
    assert {batch.stop - batch.start for batch in batches[:-1]} == {rows}
    assert np.concatenate([np.arange(600)[batch] for batch in batches]).tolist() == list(range(600))
    assert batch_slices(600, size_px, device, at_most=10)[0].stop == min(10, rows)
    assert batch_slices(0, size_px, device) == []


def test_pixels_at_work_stay_within_a_batch_a_processor():
    assert [computing_threads(size, CPU, 8) for size in (64, 2048, 4096, 8192)] == [8, 8, 2, 1]
    assert computing_threads(64, GPU, 8) == 1


def noise(seed: int, n: int = 3, size_px: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 1, size_px, size_px), np.uint8)


def test_features_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(0)
    encoder = PatchEncoder(EncoderConfig(name="test_resnet", in_chans=1), PatchConfig(size_px=64), AugmentConfig())
    encoder.eval()
    with world("cpu", threads=1):
        expected = [encoder.embed(torch.from_numpy(noise(seed))) for seed in range(9)]
        for readers, computers in ((1, 1), (2, 1), (1, 3), (3, 2)):
            found = list(encode_patches(encoder.embed, noise, range(9), readers=readers, computers=computers))
            assert len(found) == 9
            for feature, reference in zip(found, expected, strict=True):
                assert torch.equal(feature, reference)


@pytest.mark.parametrize("computers", [1, 2])
def test_others_read_while_some_encode(computers):
    encoding, at_once, readers, events = [], [], set(), []

    def read(seed):
        readers.add(threading.get_ident())
        events.append(seed)
        return noise(seed, 1, 4)

    def encode(patches):
        encoding.append(threading.get_ident())
        at_once.append(len(encoding))
        time.sleep(0.02)
        encoding.pop()
        events.append("encoded")
        return patches.float().mean(dim=(1, 2, 3))

    features = list(encode_patches(encode, read, range(12), readers=2, computers=computers))
    assert [float(feature) for feature in features] == pytest.approx([noise(i, 1, 4).mean() for i in range(12)])
    assert max(at_once) == computers
    assert threading.get_ident() not in readers
    first = events.index("encoded")
    assert 2 in events[:first]
    assert 11 in events[first:]  # ahead, but not everything at once


@pytest.mark.parametrize("computers", [1, 2])
def test_errors_of_readers_and_encoders_come_back(computers):
    def fail(what):
        raise ImageError("slide.tif", found="nothing")

    for encode, read in ((fail, noise), (torch.clone, fail)):
        with pytest.raises(ImageError, match=r"slide\.tif"):
            list(encode_patches(encode, read, range(5), readers=2, computers=computers))
