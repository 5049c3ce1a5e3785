"""Feature maps, decoder and training: shapes, geometry, what is learnt and what stays as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cytomesh.analyze.layers.classes import N_CLASSES
from cytomesh.analyze.layers.config import DecoderConfig, TrainingConfig
from cytomesh.analyze.layers.dense import DenseEncoder
from cytomesh.analyze.layers.ribbon import Grid, depth_field, section_ribbon
from cytomesh.analyze.layers.training import DrawnPatches, Segmenter, read_truth_patches, train_segmenter
from cytomesh.core.errors import FeatureError
from cytomesh.imaging.augment import AugmentConfig
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_image
from cytomesh.pretrain.config import EncoderConfig, PatchConfig
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.pool import SectionPatches
from cytomesh.study.annotation import AnnotationImage
from tests.analyze.layers.test_ribbon import UM, rings
from tests.analyze.layers.test_truth import SECTION, SHAPE, true_labels


def encoder(name="test_resnet", size_px=48, **options):
    torch.manual_seed(0)
    config = EncoderConfig(**{"name": name, "in_chans": 1, **options})
    return PatchEncoder(config, PatchConfig(size_px=size_px, um_per_px=UM), AugmentConfig()).eval()


@pytest.fixture
def drawn(tmp_path):
    """A section whose grey is that of its layers."""
    labels = true_labels()
    image = (240 - 25 * labels.astype(int)).astype(np.uint8)
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, image, UM)
    grid = Grid.of(SHAPE, UM, UM)
    columns = section_ribbon(rings(), grid, UM, 24).columns
    field, _, _ = depth_field(rings(), grid, UM)
    truth = AnnotationImage(labels.astype(np.int32), UM, UM)

    def part(rows, is_validation):
        patches = SectionPatches(replace(SECTION, image=path), path, columns.feet[rows], columns.angles_deg[rows], rows)
        return DrawnPatches(patches, truth, field, grid, is_validation)

    rows = np.arange(len(columns))
    return [part(rows[:150], False), part(rows[150:], True)]


@pytest.mark.parametrize(
    ("name", "size_px", "options", "channels"),
    [
        ("test_resnet", 64, {}, (32, 32, 48, 192)),
        ("test_resnet", 128, {"stem": "strided"}, (32, 32, 48, 192)),
        ("test_vit", 64, {}, (64, 64, 64, 64)),
        ("test_vit", 224, {"in_chans": 3}, (64, 64, 64, 64)),
    ],
)
def test_encoders_give_maps_for_the_decoder(name, size_px, options, channels):
    model = Segmenter("own", encoder(name, size_px, **options), DecoderConfig(width=8), size_px * UM / 20)
    assert model.dense.channels == channels
    shape = (2, options.get("in_chans", 1), size_px, size_px)
    patches = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    model.eval()
    found = model.probabilities(patches, np.zeros((2, 20, 20), np.float32))
    assert found.shape == (2, N_CLASSES, 20, 20)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)


def test_encoders_without_a_grid_are_named():
    own = encoder()
    own.backbone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4))
    with pytest.raises(FeatureError, match=r"encoder 'flat'.*test_resnet without a grid of features"):
        DenseEncoder("flat", own, 4)


def test_classes_have_the_geometry_of_patches(tmp_path):
    """Labels drawn as grey levels are read by both."""
    random = np.random.default_rng(0)
    labels = np.kron(random.integers(0, 8, (12, 12)), np.ones((12, 12), int))
    write_ome_zarr(tmp_path / "l.ome.zarr", (30 * labels).astype(np.uint8), UM)
    pixels, angles = random.uniform(40, 100, (5, 2)), random.uniform(0, 360, 5)
    found = read_truth_patches(AnnotationImage(labels.astype(np.int32), UM, UM), pixels, angles, 24, UM)
    with open_image(tmp_path / "l.ome.zarr") as image:
        grey = read_patches(image, UM, pixels, angles, 24, UM)[:, 0]
    is_whole = np.abs(grey - 30.0 * np.rint(grey / 30)) == 0  # not between two labels
    assert is_whole.mean() > 0.6
    # a mixture of two labels may by chance look like one of them
    assert ((grey / 30).round()[is_whole] == found[is_whole]).mean() > 0.998


def test_a_decoder_learns_and_the_frozen_encoder_stays(drawn):
    model = Segmenter("own", encoder(), DecoderConfig(width=16), UM)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    settings = TrainingConfig(steps=60, batch_size=8, validate_every=20, gamma=0, intensity_offset=0, intensity_scale=0)
    curve = train_segmenter(model, drawn, settings, 0)
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.state_dict().items())
    scores = [record["validation_macro_f1"] for record in curve if "validation_macro_f1" in record]
    assert len(scores) == 3 and max(scores) > 0.7
    assert curve[-1]["loss"] < 0.6 * curve[0]["loss"]


def test_the_same_seed_gives_the_same_decoder_and_tuning_moves_the_encoder(drawn):
    found = []
    for fine_tune in (False, False, True):
        torch.manual_seed(1)
        model = Segmenter("own", encoder(), DecoderConfig(width=8), UM)
        before = model.encoder.backbone.state_dict()["conv1.0.weight"].clone() if fine_tune else None
        settings = TrainingConfig(steps=3, batch_size=4, fine_tune=fine_tune, validation_patches=8)
        train_segmenter(model, drawn, settings, 0)
        found.append(torch.cat([value.flatten() for value in model.decoder.parameters()]))
    assert torch.equal(found[0], found[1])
    assert before is not None and not torch.equal(before, model.encoder.backbone.state_dict()["conv1.0.weight"])
