"""Statistics of glass and tissue, and what a section becomes that is to look like its brain's others."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cytomesh.study.stain import (
    Normalisation,
    StainStatistics,
    looked_up,
    median_statistics,
    stain_statistics,
)

GLASS = (236.0, 230.0, 240.0)


def section(n_channels: int, glass: float = 1.0, stain: float = 1.0, seed: int = 0):
    """Tissue of mixed density in the middle of glass, (h, w, c), and its mask; otherwise lit and stained."""
    rng = np.random.default_rng(seed)
    density = np.zeros((120, 160, n_channels))
    mask = np.zeros(density.shape[:2], bool)
    mask[30:90, 40:120] = True
    density[mask] = rng.gamma(9, 0.03, (mask.sum(), 1)) * np.array([1.0, 1.3, 0.6])[:n_channels]
    light = glass * np.array(GLASS)[:n_channels] * 10 ** -(stain * density)
    return np.rint(np.clip(light, 0, 255)).astype(np.uint8), mask


def measured(pixels, mask) -> StainStatistics:
    found = stain_statistics(pixels, np.median(pixels[~mask], axis=0), mask)
    assert found is not None
    return found


def test_statistics_are_those_of_the_formula_pixel_by_pixel():
    pixels, mask = section(3)
    found = measured(pixels, mask)
    for channel in range(3):
        glass = sorted(int(v) for v in pixels[~mask][:, channel])[(~mask).sum() // 2]
        values = sorted(math.log10(glass / max(int(v), 0.25)) for v in pixels[mask][:, channel])
        darker = sum(value > found.density[channel] + 1e-4 for value in values) / len(values)
        paler = sum(value < found.palest[channel] - 1e-4 for value in values) / len(values)
        assert 0.05 < paler <= 0.1
        assert found.background[channel] == glass
        assert 0.02 < darker <= 0.05 and min(abs(value - found.density[channel]) for value in values) < 1e-3
    assert StainStatistics.from_facts(found.facts) == found


def test_dark_backgrounds_and_sections_without_tissue_have_no_statistics():
    pixels, mask = section(1)
    assert stain_statistics(255 - pixels, np.array([19.0]), mask) is None
    assert stain_statistics(pixels, np.array([236.0]), np.zeros_like(mask)) is None


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize(
    ("change", "kind", "most"),
    [
        ({"glass": 0.8}, "background", 1.0),
        ({"glass": 0.8}, "stain", 1.0),
        ({"stain": 1.5}, "stain", 1.0),
        ({"stain": 0.7}, "stain", 1.5),
        ({"glass": 0.85, "stain": 1.4}, "stain", 1.0),
    ],
)
def test_a_planted_change_is_taken_back(n_channels, change, kind, most):
    """Grey levels that the same tissue is apart, in the mean: 10 to 46 before."""
    plain, mask = section(n_channels)
    changed, _ = section(n_channels, **change)
    reference = measured(plain, mask)
    tables = Normalisation(kind, measured(changed, mask), reference).tables()
    back = looked_up(changed, tables)
    before = np.abs(changed.astype(float) - plain)[mask].mean()
    after = np.abs(back.astype(float) - plain)[mask].mean()
    assert before > 8 and after < most
    assert np.abs(back.astype(float) - plain)[~mask].max() <= 1
    assert back.dtype == np.uint8 and back.shape == changed.shape


def test_background_alone_leaves_the_stain_as_it_is():
    plain, mask = section(1)
    changed, _ = section(1, stain=1.5)
    tables = Normalisation("background", measured(changed, mask), measured(plain, mask)).tables()
    assert (looked_up(changed, tables) == changed).all()


@pytest.mark.parametrize("kind", ["background", "stain"])
def test_the_median_section_stays_as_it_is_and_order_is_kept(kind):
    pixels, mask = section(3)
    own = measured(pixels, mask)
    same = Normalisation(kind, own, own).tables()
    assert (same == np.arange(256)).all()
    other = Normalisation(kind, own, measured(*section(3, 0.9, 1.6))).tables().astype(int)
    assert (np.diff(other, axis=1) >= 0).all()


def test_a_channel_without_stain_is_scaled_only():
    own = StainStatistics((240.0, 200.0), (0.3, 0.01), (0.1, 0.01))
    reference = StainStatistics((240.0, 220.0), (0.4, 0.01), (0.1, 0.01))
    tables = Normalisation("stain", own, reference).tables()
    assert np.abs(tables[1] - np.clip(np.arange(256) * 1.1, 0, 255)).max() < 0.51
    assert tables[0][120] < 120


def test_tables_are_looked_up_channel_by_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    tables = np.random.default_rng(1).integers(0, 256, (3, 256), dtype=np.uint8)
    found = looked_up(pixels, tables)
    for row in range(7):
        for column in range(5):
            assert found[row, column].tolist() == [tables[c][pixels[row, column, c]] for c in range(3)]


def test_the_reference_is_the_median_of_each_number():
    items = [StainStatistics((float(b),), (d,), (d / 4,)) for b, d in ((230, 0.2), (240, 0.3), (10, 0.9))]
    assert median_statistics(items) == StainStatistics((230.0,), (0.3,), (0.075,))
