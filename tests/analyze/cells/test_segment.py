"""The built-in segmenter on discs whose number and size are known."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.draw import disk

from cytomesh.analyze.cells.config import SegmentConfig
from cytomesh.analyze.cells.formats.registry import read_cells
from cytomesh.analyze.cells.segment import segment, segment_image
from cytomesh.core.errors import ConfigError, ImageError
from cytomesh.core.tables import read_table


def draw(discs, shape, um=1.0, seed=0):
    """A bright ground with a slow gradient, dark discs (column, row, diameter in um), blur and noise."""
    grey = np.full(shape, 200.0)
    for column, row, diameter in discs:
        grey[disk((row, column), diameter / 2 / um, shape=shape)] = 100.0
    grey = gaussian_filter(grey, 1.0 / um) + 10 * np.sin(np.arange(shape[1]) / 200)
    return np.clip(grey + np.random.default_rng(seed).normal(size=shape) * 4, 0, 255).astype(np.uint8)


def scattered(n, side, seed, closeness=1.3):
    rng = np.random.default_rng(seed)
    discs = []
    while len(discs) < n:
        disc = (*rng.uniform(15, side - 15, 2), rng.uniform(8, 24))
        if all(np.hypot(disc[0] - o[0], disc[1] - o[1]) > closeness * (disc[2] + o[2]) / 2 for o in discs):
            discs.append(disc)
    return np.array(discs)


@pytest.mark.parametrize("um", [1.0, 2.0])
def test_every_disc_is_found_once_with_its_size(um):
    discs = scattered(60, 400 / um, 1, closeness=1.3 / um)
    labels = segment(draw(discs, (int(400 / um),) * 2, um).astype(np.float32), um, SegmentConfig())
    numbers = labels[discs[:, 1].round().astype(int), discs[:, 0].round().astype(int)]
    assert (numbers > 0).all() and len(np.unique(numbers)) == 60 == len(np.unique(labels)) - 1
    diameter = np.sqrt(4 / np.pi * np.bincount(labels.ravel())[numbers]) * um
    np.testing.assert_allclose(diameter.mean(), discs[:, 2].mean(), rtol=0.05)
    np.testing.assert_allclose(diameter, discs[:, 2], atol=2.5)


def test_discs_that_touch_are_two_and_dust_and_large_stains_are_none():
    pairs = [(40, 40, 16), (55, 40, 16), (40, 100, 20), (52, 114, 20)]
    none = [(120, 30, 3), (160, 120, 70)]
    labels = segment(draw([*pairs, *none], (200, 220)).astype(np.float32), 1.0, SegmentConfig())
    numbers = [labels[row, column] for column, row, _ in pairs]
    assert min(numbers) > 0 and len(set(numbers)) == 4 == len(np.unique(labels)) - 1


def test_tiles_change_nothing_and_no_cell_of_a_border_is_found_twice(tmp_path):
    discs = np.concatenate([scattered(250, 900, 2), [(300.0, 300.0, 14.0)]])  # on the corner of four tiles
    discs = discs[np.hypot(*(discs[:, :2] - 300).T) >= np.where(np.arange(251) == 250, 0, 25)]
    Image.fromarray(draw(discs, (900, 900))).save(tmp_path / "tissue.png")
    found = {}
    for tile in (2048, 300):
        out = tmp_path / f"{tile}.parquet"
        summary = segment_image(tmp_path / "tissue.png", out, SegmentConfig(um_per_px=1.0, tile_px=tile))
        table = read_table(out)
        found[tile] = np.sort(table.stack(["column_px", "row_px", "area_um2", "circularity"]), axis=0)
        assert summary["cells"] == len(discs) == len(table)
        away, nearest = cKDTree(table.stack(["column_px", "row_px"])).query(discs[:, :2])
        assert away.max() < 1.5 and len(np.unique(nearest)) == len(discs)
    np.testing.assert_allclose(found[300], found[2048], rtol=1e-5)
    assert np.median(found[300][:, 3]) > 0.85
    read = read_cells(tmp_path / "300.parquet")
    assert read.um_per_px == 1.0 and not read.is_corner and read.size_unit == "um"


def test_the_command_needs_a_pixel_size_that_shows_cells(tmp_path, cytomesh):
    grey = draw([(60, 60, 14)], (128, 128))
    Image.fromarray(grey).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="states no pixel size"):
        segment_image(tmp_path / "a.png", tmp_path / "a.parquet", SegmentConfig())
    with pytest.raises(ImageError, match="pixels of 20 um, expected at most 2.5"):
        segment_image(tmp_path / "a.png", tmp_path / "a.parquet", SegmentConfig(um_per_px=20.0))
    with pytest.raises(ConfigError, match="ends with .parquet"):
        segment_image(tmp_path / "a.png", tmp_path / "a.csv", SegmentConfig(um_per_px=1.0))
    tifffile.imwrite(tmp_path / "b.tif", grey, resolution=(1e4, 1e4), resolutionunit="CENTIMETER")
    code, out, err = cytomesh("cells-segment", tmp_path / "b.tif", "--out", tmp_path / "b.parquet")
    assert code == 0 and out.splitlines()[0].split() == ["cells", "1"], err


def test_an_image_without_cells_gives_an_empty_table(tmp_path):
    Image.fromarray(np.full((99, 99), 200, np.uint8)).save(tmp_path / "a.png")
    found = segment_image(tmp_path / "a.png", tmp_path / "a.parquet", SegmentConfig(um_per_px=1.0))
    assert found["cells"] == 0 and found["median_diameter_um"] is None
    assert len(read_cells(tmp_path / "a.parquet")) == 0


def test_an_image_without_cells_is_said(tmp_path, capsys):
    Image.fromarray(np.full((60, 60), 200, np.uint8)).save(tmp_path / "blank.png")
    found = segment_image(tmp_path / "blank.png", tmp_path / "cells.parquet", SegmentConfig(um_per_px=1.0))
    assert found["cells"] == 0 and found["median_diameter_um"] is None
    assert "blank.png: no cell was found; looked for dark bodies 5 to 40 um wide" in capsys.readouterr().err


def test_16_bits_in_a_window_and_one_channel_of_several_show_the_same_cells(tmp_path, cytomesh):
    grey = draw(scattered(12, 200, 3), (200, 200))
    deep = (300 + 10 * grey.astype(np.uint16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", grey)
    metadata = {"axes": "CYX", "Channel": {"Name": ["other", "cells"]}}
    tifffile.imwrite(tmp_path / "b.ome.tif", np.stack([deep[::-1], deep]), metadata=metadata)
    told = ("--set", "um_per_px=1.0")
    assert cytomesh("cells-segment", tmp_path / "a.tif", "--out", tmp_path / "a.parquet", *told)[0] == 0
    words = ("--set", "image={window: [300, 2850], channels: cells}")
    code, _, said = cytomesh("cells-segment", tmp_path / "b.ome.tif", "--out", tmp_path / "b.parquet", *told, *words)
    assert code == 0, said
    one, two = (read_table(tmp_path / f"{name}.parquet").columns for name in "ab")
    assert len(one["column_px"]) == 12
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
