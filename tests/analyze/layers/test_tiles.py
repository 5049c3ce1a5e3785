"""Tiles onto the map: against one pixel after the other, and against the patches that they are."""

import math

import numpy as np
import pytest

from cytomesh.analyze.layers.ribbon import Grid, section_ribbon
from cytomesh.analyze.layers.tiles import add_tiles, segment_ribbon, tile_centres
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.pyramid import open_image
from cytomesh.pretrain.config import PatchConfig
from tests.analyze.layers.test_ribbon import CENTRE, UM, rings


def by_loops(tiles, window, centres, angles, step, shape):
    """Each pixel of the map asks each tile. Slow on purpose."""
    total, weight = np.zeros((*shape, tiles.shape[3])), np.zeros(shape)
    size = tiles.shape[1]
    middle = (size - 1) / 2
    for y in range(shape[0]):
        for x in range(shape[1]):
            for tile, (row, column), angle in zip(tiles, centres, angles, strict=True):
                right = ((y - row) * math.cos(angle) + (x - column) * math.sin(angle)) / step + middle
                down = ((y - row) * math.sin(angle) - (x - column) * math.cos(angle)) / step + middle
                if not (0 <= right <= size - 1 and 0 <= down <= size - 1):
                    continue
                i, j = min(int(down), size - 2), min(int(right), size - 2)
                a, b = down - i, right - j
                value = (1 - a) * ((1 - b) * tile[i, j] + b * tile[i, j + 1])
                value = value + a * ((1 - b) * tile[i + 1, j] + b * tile[i + 1, j + 1])
                own = window[int(down + 0.5), int(right + 0.5)]
                total[y, x] += own * value
                weight[y, x] += own
    return total, weight


def test_tiles_are_added_as_pixel_by_pixel():
    random = np.random.default_rng(0)
    tiles = random.random((3, 6, 6, 2)).astype(np.float32)
    window = random.random((6, 6)).astype(np.float32)
    centres, angles = random.uniform(3, 17, (3, 2)), random.uniform(0, 6, 3)
    total, weight = np.zeros((20, 20, 2), np.float32), np.zeros((20, 20), np.float32)
    add_tiles(tiles, window, centres, angles, 1.3, total, weight)
    expected, expected_weight = by_loops(tiles, window, centres, angles, 1.3, (20, 20))
    np.testing.assert_allclose(total, expected, atol=1e-5)
    np.testing.assert_allclose(weight, expected_weight, atol=1e-5)


@pytest.mark.parametrize("grid_um", [UM, 2 * UM])
def test_what_is_seen_comes_back_to_its_place(tmp_path, grid_um):
    """A network that names grey levels paints the image itself, whatever way the tiles are turned."""
    rows, columns = np.mgrid[:200, :200]
    grey = (60 + 0.6 * rows + 0.3 * columns).astype(np.uint8)
    write_ome_zarr(tmp_path / "a.ome.zarr", grey, UM)
    grid = Grid.of((200, 200), UM, grid_um)
    ribbon = section_ribbon(rings(), grid, UM, 24)
    patches = PatchConfig(size_px=40, um_per_px=UM)
    seen = []

    def segment(pixels, depths):
        seen.append(depths)
        factor = round(grid_um / UM)
        small = pixels[:, 0].reshape(len(pixels), 40 // factor, factor, 40 // factor, factor).mean(axis=(2, 4)) / 255
        return np.stack([small, 1 - small, *[np.zeros_like(small)] * 6], axis=1).astype(np.float32)

    with open_image(tmp_path / "a.ome.zarr") as image:
        found = segment_ribbon(segment, image, UM, ribbon, patches, round(40 * UM / grid_um), 0.5, 8)
    covered = np.isfinite(ribbon.depth)
    y, x = np.nonzero(covered)
    at = grid.image_pixels(np.stack([x, y], axis=1))
    expected = (60 + 0.6 * at[:, 1] + 0.3 * at[:, 0]) / 255
    np.testing.assert_allclose(found[0][covered], expected, atol=0.012)
    np.testing.assert_allclose(found.sum(axis=0)[covered], 1.0, atol=1e-5)
    assert max(map(len, seen)) <= 8
    # pial side up: depth grows downwards through the middle of each tile, and is a half there
    middle = np.concatenate(seen)[:, :, round(20 * UM / grid_um)]
    np.testing.assert_allclose(middle[:, len(middle[0]) // 2 - 1 :][:, :2].mean(axis=1), 0.5, atol=0.05)
    assert (np.diff(middle, axis=1) > -1e-6).all() and middle[:, 0].max() < 0.25 < 0.75 < middle[:, -1].min()
    far = np.hypot(*(grid.image_pixels(np.mgrid[: grid.shape[0], : grid.shape[1]]) - CENTRE)) < 20
    assert (found[:, far] == 0).all()


def test_a_section_smaller_than_a_tile_is_covered(tmp_path):
    write_ome_zarr(tmp_path / "a.ome.zarr", np.full((200, 200), 90, np.uint8), UM)
    ribbon = section_ribbon(rings(), Grid.of((200, 200), UM, UM), UM, 24)

    def segment(pixels, depths):
        assert pixels.shape[1:] == (1, 256, 256) and depths.shape[1:] == (64, 64)
        return np.full((len(pixels), 8, 64, 64), 0.125, np.float32)

    with open_image(tmp_path / "a.ome.zarr") as image:
        found = segment_ribbon(segment, image, UM, ribbon, PatchConfig(size_px=256, um_per_px=UM), 64, 0.5, 8)
    np.testing.assert_allclose(found[:, np.isfinite(ribbon.depth)], 0.125, rtol=1e-4)


def test_tiles_stand_no_further_apart_than_said():
    columns = section_ribbon(rings(), Grid.of((200, 200), UM, UM), UM, 24).columns
    at = tile_centres(columns, 10.0)
    feet = columns.feet[at]
    steps = np.linalg.norm(np.diff(feet, axis=0), axis=1)
    assert steps.max() < 13 and len(at) == pytest.approx(np.pi * 130 / 10, rel=0.1)
