import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from cytomesh.imaging.augment import BLUR_REACH, Augmentation, AugmentConfig, blur, to_unit

PLAIN = {"mean": 0.0, "std": 1.0}
EVERYTHING = {
    "rotation_deg": 30, "scale": 0.2, "shear_deg": 10, "shift": 0.1, "flip_probability": 0.5, "blur_px": 1.5,
    "intensity_scale": 0.2, "intensity_offset": 0.1, "gamma": 0.3, "noise": 0.05, "erase": 0.5,
}  # fmt: skip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.uniform(0, 255, (16, 2, 32, 32)), (0, 0, 2, 2))
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
    return torch.from_numpy(smooth.astype(np.uint8))


def run(batch, seed=0, **settings):
    return Augmentation(AugmentConfig(**PLAIN, **settings))(batch, generator(seed))


def test_off_is_off(batch):
    """With every range 0 only the scale of intensities changes."""
    torch.testing.assert_close(run(batch), batch.float() / 255)


def test_normalisation(batch):
    augmentation = Augmentation(AugmentConfig(mean=0.6, std=0.2))
    expected = (batch.float() / 255 - 0.6) / 0.2
    torch.testing.assert_close(augmentation(batch, generator()), expected)
    torch.testing.assert_close(augmentation.normalise(batch), expected)
    torch.testing.assert_close(augmentation(batch.float() / 255, generator()), expected)


def test_same_seed_same_patches_and_each_patch_its_own(batch):
    same = batch[:1].expand(16, -1, -1, -1)
    first, again, other = run(same, **EVERYTHING), run(same, **EVERYTHING), run(same, seed=1, **EVERYTHING)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
    assert all(not torch.equal(first[0], patch) for patch in first[1:])
    assert first.min() >= 0 and first.max() <= 1 and first.dtype == torch.float32


@pytest.mark.parametrize("name", ["rotation_deg", "scale", "shear_deg", "shift", "blur_px", "gamma", "noise"])
def test_each_range_changes_something_by_itself(batch, name):
    changed = run(batch, **{name: EVERYTHING[name]})
    difference = (changed - to_unit(batch)).abs().mean()
    assert 0.002 < difference < 0.25


def test_flip_mirrors_along_the_cortex(batch):
    flipped = run(batch, flip_probability=1.0)
    torch.testing.assert_close(flipped, to_unit(batch).flip(3), atol=1e-5, rtol=0)
    half = run(batch, flip_probability=0.5)
    is_flipped = [bool((half[i] - to_unit(batch)[i]).abs().max() > 0.01) for i in range(16)]
    assert 0 < sum(is_flipped) < 16


def test_rotation_keeps_the_middle_and_fills_with_background(batch):
    disc = torch.ones(64, 1, 33, 33)
    disc[:, :, 8:25, 8:25] = 0.2
    turned = run(disc, rotation_deg=180.0)
    assert torch.allclose(turned[:, :, 16, 16], torch.tensor(0.2))
    corner = run(torch.zeros(64, 1, 32, 32), rotation_deg=180.0)[:, 0, 0, 0]
    assert corner.max() > 0.9  # white came into view


def test_rotation_is_within_its_range():
    bar = torch.ones(32, 1, 65, 65)
    bar[:, :, :32, 32] = 0  # from the centre to the top
    turned = 1 - run(bar, rotation_deg=20.0)
    rows, columns = torch.meshgrid(torch.arange(65.0) - 32, torch.arange(65.0) - 32, indexing="ij")
    weight = turned[:, 0].sum(dim=(1, 2))
    angles = torch.rad2deg(
        torch.atan2((turned[:, 0] * columns).sum((1, 2)) / weight, -(turned[:, 0] * rows).sum((1, 2)) / weight)
    )
    assert angles.abs().max() <= 20.5 and angles.min() < -5 and angles.max() > 5


def test_scale_is_within_its_range():
    square = torch.ones(64, 1, 64, 64)
    square[:, :, 16:48, 16:48] = 0
    area = (1 - run(square, scale=0.25)).sum(dim=(1, 2, 3)) / 32**2
    assert area.max() <= 1.25**2 + 0.02 and area.min() >= 0.8**2 - 0.02
    assert area.max() > 1.3 and area.min() < 0.75


def test_intensities(batch):
    unit = to_unit(batch)
    scaled = run(batch, intensity_scale=0.3)
    factor = (1 - scaled) / (1 - unit)
    for patch, source in zip(factor, unit, strict=True):
        inside = patch[(source < 0.9) & (patch * (1 - source) < 0.99)]
        assert inside.std() < 1e-4 and 0.7 <= inside.mean() <= 1.3
    white = torch.ones(4, 1, 8, 8)
    torch.testing.assert_close(run(white, intensity_scale=0.3, gamma=0.5), white)  # background stays background
    shift = run(torch.full((64, 1, 8, 8), 0.5), intensity_offset=0.2) - 0.5
    assert 0.15 < shift.max() <= 0.2 and -0.2 <= shift.min() < -0.15


def test_erase(batch):
    dark = torch.zeros(200, 1, 32, 32)
    erased = run(dark, erase=0.5)
    share = (erased.amax(dim=(1, 2, 3)) == 1).float().mean()
    assert 0.35 < share < 0.65
    area = erased.mean(dim=(1, 2, 3))[erased.amax(dim=(1, 2, 3)) == 1]
    assert area.min() >= 0.04 and area.max() <= 0.3


def test_blur_equals_scipy(batch):
    sigma = torch.linspace(0, 2, 16, dtype=torch.float64)
    images = to_unit(batch).double()
    blurred = blur(images, sigma, math.ceil(BLUR_REACH * float(sigma.max())))
    torch.testing.assert_close(blurred[0], images[0])
    for i in (4, 10, 15):
        width = sigma[i].item()
        expected = gaussian_filter(images[i].numpy(), (0, width, width), mode="nearest", radius=(0, 6, 6))
        np.testing.assert_allclose(blurred[i].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 1)])
def test_blur_reaches_further_than_a_small_image(shape):
    images = torch.from_numpy(np.random.default_rng(3).random((1, 2, *shape)))
    expected = gaussian_filter(images.numpy(), (0, 0, 2.0, 2.0), mode="nearest", radius=(0, 0, 6, 6))
    np.testing.assert_allclose(blur(images, torch.tensor([2.0]), 6).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("changes", [{"rotation_deg": 30, "scale": 0.2, "shift": 0.1}, {}])
def test_what_lies_in_the_border_comes_into_view_and_the_border_is_cut_off(batch, changes):
    augment = Augmentation(AugmentConfig(**changes, blur_px=1.5, gamma=0.3, intensity_scale=0.2))
    draws = augment.draw(len(batch), generator())
    whole = augment.apply(batch, draws)
    for border in (1, 9):  # less than the blur reaches, and more
        torch.testing.assert_close(
            augment.apply(batch, draws, border)[..., 5:-5, 5:-5],
            whole[..., border + 5 : -border - 5, border + 5 : -border - 5],
            atol=2e-4,
            rtol=0,
        )
    torch.testing.assert_close(augment.apply(batch, draws, 9), whole[..., 9:-9, 9:-9], atol=2e-4, rtol=0)


def test_empty_batches_and_wrong_settings():
    assert run(torch.zeros(0, 1, 8, 8), **EVERYTHING).shape == (0, 1, 8, 8)
    with pytest.raises(ValidationError):
        AugmentConfig(rotation=10)
    with pytest.raises(ValidationError):
        AugmentConfig(noise=-1)
