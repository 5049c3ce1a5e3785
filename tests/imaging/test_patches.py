import math

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import map_coordinates

from cytomesh.core.errors import ImageError
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.halving import halve
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.patches import choose_level, read_patches
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.image_formats.tiff_chunks import TiffChunks

UM = 20.0


def patch_grid(angle_deg, size_px, step):
    """Return (size_px, size_px, 2) (column, row) offsets of a patch's pixels from its centre, in image pixels."""
    angle = math.radians(angle_deg)
    offset = (np.arange(size_px) - (size_px - 1) / 2) * step
    right, down = np.meshgrid(offset, offset)
    # "up" is (cos, -sin) in (column, row), "right" is a quarter turn clockwise from it.
    columns = right * math.sin(angle) - down * math.cos(angle)
    rows = right * math.cos(angle) + down * math.sin(angle)
    return np.stack([columns, rows], axis=-1)


@pytest.fixture(scope="module")
def image():
    """A smooth random image, so that interpolation is well behaved."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(30, 220, (14, 18))
    at = np.mgrid[:300, :400] / 25.0
    return map_coordinates(coarse, at, order=3).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pyramid(image, tmp_path_factory):
    path = tmp_path_factory.mktemp("patches") / "a.ome.zarr"
    write_ome_zarr(path, image, UM, n_levels=3)
    with open_image(path) as pyramid:
        yield pyramid


def test_pial_up_at_full_resolution_is_the_plain_window(pyramid, image):
    even = read_patches(pyramid, UM, np.array([[100.5, 80.5]]), np.array([90.0]), 64, UM)
    np.testing.assert_array_equal(even[0, 0], image[49:113, 69:133])
    odd = read_patches(pyramid, UM, np.array([[100.0, 80.0]]), np.array([90.0]), 33, UM)
    np.testing.assert_array_equal(odd[0, 0], image[64:97, 84:117])


@pytest.mark.parametrize(("angle", "turns"), [(0, 1), (90, 0), (180, -1), (270, 2), (-90, 2), (360, 1)])
def test_quarter_turns_are_rotations_of_the_array(pyramid, image, angle, turns):
    patch = read_patches(pyramid, UM, np.array([[100.5, 80.5]]), np.array([float(angle)]), 64, UM)
    np.testing.assert_array_equal(patch[0, 0], np.rot90(image[49:113, 69:133], turns))


@settings(max_examples=20)
@given(st.floats(-360, 360))
def test_pial_side_is_up(tmp_path_factory, angle):
    """The image is bright on the pial side of its centre: so is the upper half of the patch, whatever the angle."""
    rows, columns = np.mgrid[:101, :101] - 50.0
    towards_pial = columns * np.cos(np.deg2rad(angle)) - rows * np.sin(np.deg2rad(angle))
    path = tmp_path_factory.mktemp("pial") / "a.png"
    Image.fromarray(np.where(towards_pial > 0, 200, 40).astype(np.uint8)).save(path)
    with open_image(path) as pyramid:
        patch = read_patches(pyramid, UM, np.array([[50.0, 50.0]]), np.array([angle]), 40, UM)[0, 0]
    assert (patch[:18] == 200).all() and (patch[22:] == 40).all()


@pytest.mark.parametrize("angle", [0.0, 17.0, 90.0, 133.3, -71.0])
def test_rotation_equals_scipy(pyramid, image, angle):
    centres = np.array([[150.2, 140.9], [200.7, 99.1]])
    patches = read_patches(pyramid, UM, centres, np.full(2, angle), 48, UM)
    for patch, centre in zip(patches, centres, strict=True):
        columns, rows = np.moveaxis(centre + patch_grid(angle, 48, 1.0), -1, 0)
        expected = map_coordinates(image.astype(float), [rows, columns], order=1)
        assert np.abs(patch[0] - expected).max() < 0.51


def by_supersampling(image, centre, angle, size, step, k):
    """Mean of k x k bilinear samples a target pixel of the full-resolution image, the obvious way."""
    fine = patch_grid(angle, size * k, step / k) + centre
    samples = map_coordinates(image.astype(float), [fine[..., 1], fine[..., 0]], order=1, cval=255.0)
    return samples.reshape(size, k, size, k).mean(axis=(1, 3))


@pytest.mark.parametrize("um_per_px", [25.0, 40.0, 62.5, 80.0])
def test_coarser_patches_are_area_means_of_the_full_resolution(pyramid, image, um_per_px):
    """Whatever level was read: a half-pixel mistake between levels would show as several grey values."""
    centre, angle = np.array([200.3, 151.7]), 33.0
    patch = read_patches(pyramid, UM, centre[None], np.array([angle]), 40, um_per_px)[0, 0]
    expected = by_supersampling(image, centre, angle, 40, um_per_px / UM, 8)
    assert np.abs(patch - expected).mean() < 0.8
    assert np.abs(patch - expected).max() < 5


@pytest.mark.parametrize("angle", [90.0, 33.0])
@pytest.mark.parametrize("suffix", [".ome.zarr", ".png", ".jpg"])
def test_a_patch_lies_where_it_lies_at_full_resolution(tmp_path, suffix, angle):
    """A blob is at the same place of a patch, whatever level and whatever kind of file that was read from."""
    centre, blob_at = np.array([421.3, 305.6]), np.array([440.2, 290.7])
    rows, columns = np.mgrid[:601, :803]
    blob = 250 * np.exp(-((columns - blob_at[0]) ** 2 + (rows - blob_at[1]) ** 2) / (2 * 25**2))
    path = tmp_path / f"a{suffix}"
    if suffix == ".ome.zarr":
        write_ome_zarr(path, blob.astype(np.uint8), UM, n_levels=4)
    else:
        Image.fromarray(blob.astype(np.uint8)).save(path, **({"quality": 95} if suffix == ".jpg" else {}))
    levels = []
    with open_image(path) as pyramid:
        for step in (1.0, 2.0, 3.0, 4.0):
            size = int(320 / step)
            patch = read_patches(pyramid, UM, centre[None], np.array([angle]), size, step * UM, background=0)[0, 0]
            weights = np.maximum(patch - 10.0, 0.0)  # without what JPEG leaves around the blob
            at = [np.average(offset, weights=weights) for offset in np.moveaxis(patch_grid(angle, size, step), -1, 0)]
            np.testing.assert_allclose(at, blob_at - centre, atol=0.06)  # pixels of level 0
            levels.append(choose_level(pyramid.level_scales, step))
    assert levels == [0, 1, 1, 2]


def test_fine_detail_does_not_alias(tmp_path):
    stripes = np.where(np.arange(400) % 2, 255, 0).astype(np.uint8)[None].repeat(400, 0)
    write_ome_zarr(tmp_path / "a.ome.zarr", stripes, UM, n_levels=1)
    with open_image(tmp_path / "a.ome.zarr") as pyramid:
        patch = read_patches(pyramid, UM, np.array([[200.0, 200.0]]), np.array([90.0]), 32, 4 * UM)
    assert np.abs(patch.astype(int) - 128).max() <= 2


def test_outside_the_image_is_background(pyramid, image):
    centres = np.array([[0.0, 0.0], [-5000.0, 80.0], [399.0, 299.0]])
    patches = read_patches(pyramid, UM, centres, np.full(3, 90.0), 33, UM)
    np.testing.assert_array_equal(patches[0, 0, 16:, 16:], image[:17, :17])
    assert (patches[0, 0, :16] == 255).all() and (patches[0, 0, :, :16] == 255).all()
    assert (patches[1] == 255).all()
    np.testing.assert_array_equal(patches[2, 0, :17, :17], image[-17:, -17:])
    dark = read_patches(pyramid, UM, centres, np.full(3, 90.0), 33, UM, background=7)
    assert (dark[1] == 7).all()


def test_channels_and_order_are_kept(tmp_path, image):
    rgb = np.dstack([image, 255 - image, image // 2])
    write_ome_zarr(tmp_path / "a.ome.zarr", rgb, UM)
    rng = np.random.default_rng(0)
    centres, angles = rng.uniform(0, 300, (20, 2)), rng.uniform(0, 360, 20)
    with open_image(tmp_path / "a.ome.zarr", cache_bytes=0) as pyramid:
        together = read_patches(pyramid, UM, centres, angles, 16, 30.0)
        alone = [read_patches(pyramid, UM, centres[i : i + 1], angles[i : i + 1], 16, 30.0)[0] for i in range(20)]
    assert together.shape == (20, 3, 16, 16)
    np.testing.assert_array_equal(together, alone)


def test_patches_do_not_depend_on_how_they_are_grouped(pyramid, monkeypatch):
    rng = np.random.default_rng(0)
    centres, angles = rng.uniform(0, 300, (50, 2)), rng.uniform(0, 360, 50)
    expected = read_patches(pyramid, UM, centres, angles, 16, 45.0)
    monkeypatch.setattr("cytomesh.imaging.patches.CELL_PX", 37)
    np.testing.assert_array_equal(read_patches(pyramid, UM, centres, angles, 16, 45.0), expected)


FORMATS = ("a.png", "tiles.tif", "strips.tif", "pyramid.tif", "jpeg2000.tif", "a.ome.zarr", "sharded.ome.zarr")
LARGE = (700, 900)


def write_format(path, pixels):
    """Write RGB pixels, without loss."""
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    elif path.name == "a.ome.zarr":
        write_ome_zarr(path, pixels, UM)
    elif path.name == "sharded.ome.zarr":
        write_format(path.with_name("strips.tif"), pixels)
        convert_image(path.with_name("strips.tif"), path, UM)
    elif path.name == "pyramid.tif":
        coarse = halve(pixels)
        facts = {"tile": (128, 96), "compression": "zstd", "predictor": True, "photometric": "rgb"}
        with tifffile.TiffWriter(path, bigtiff=True) as tiff:
            tiff.write(pixels, subifds=2, **facts)
            tiff.write(coarse, subfiletype=1, **facts)
            tiff.write(halve(coarse), subfiletype=1, **facts)
    elif path.name == "jpeg2000.tif":
        options = {"compression": "jpeg2000", "compressionargs": {"level": 0, "reversible": True}}
        tifffile.imwrite(
            path, np.moveaxis(pixels, 2, 0), tile=(128, 96), photometric="rgb", planarconfig="separate", **options
        )
    else:
        kind = {"tile": (64, 64)} if path.name == "tiles.tif" else {"rowsperstrip": 5, "compression": "lzw"}
        tifffile.imwrite(path, pixels, photometric="rgb", **kind)


@pytest.fixture(scope="module")
def large():
    """Noise, in which a mistake of a fraction of a pixel is seen, halved as readers halve it."""
    levels = [np.random.default_rng(3).integers(0, 256, (*LARGE, 3), np.uint8)]
    while max(levels[-1].shape) >= 256:
        levels.append(halve(levels[-1]))
    return levels


def by_loops(levels, centre, angle, size, step, places, background):
    """Some pixels (row, column) of a patch: the formula, sample by sample."""
    level = max((i for i in range(len(levels)) if 2**i <= step), default=0)
    pixels, scale, found = levels[level].astype(float), 2**level, []
    k = int(np.ceil(step / scale))
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    for i, j in places:
        samples = []
        for a, b in np.ndindex(k, k):
            down, right = ((at - (size - 1) / 2) * step + ((s + 0.5) / k - 0.5) * step for at, s in ((i, a), (j, b)))
            column = centre[0] + right * sine - down * cosine
            row = centre[1] + right * cosine + down * sine
            row, column = ((at - (scale - 1) / 2) / scale for at in (row, column))
            height, width = pixels.shape[:2]
            if not (-0.5 <= row <= height - 0.5 and -0.5 <= column <= width - 0.5):
                samples.append(np.full(3, background))
                continue
            row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
            top, left = int(row), int(column)
            bottom, right_one = min(top + 1, height - 1), min(left + 1, width - 1)
            y, x = row - top, column - left
            above = (1 - x) * pixels[top, left] + x * pixels[top, right_one]
            below = (1 - x) * pixels[bottom, left] + x * pixels[bottom, right_one]
            samples.append((1 - y) * above + y * below)
        found.append(np.mean(samples, axis=0))
    return np.array(found)


@pytest.mark.parametrize(("size", "step"), [(32, 1.0), (32, 2.0), (32, 3.0), (301, 1.3), (4096, 0.25), (4096, 1.0)])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_size_is_the_slow_reference_to_one_grey_level(tmp_path, large, name, size, step):
    write_format(tmp_path / name, large[0])
    random = np.random.default_rng(size)
    n = 3 if size < 4096 else 1
    centres, angles = random.uniform((50, 50), (850, 650), (n, 2)), random.uniform(-180, 180, n)
    with open_image(tmp_path / name, cache_bytes=2**19) as pyramid:
        patches = read_patches(pyramid, UM, centres, angles, size, step * UM, background=9)
    places = [*random.integers(0, size, (200, 2)).tolist(), [0, 0], [size - 1, size - 1], [0, size - 1]]
    if size == 4096 and step == 1.0:  # most of it lies outside
        places += (size // 2 + random.integers(-300, 300, (200, 2))).tolist()
    for patch, centre, angle in zip(patches, centres, angles, strict=True):
        expected = by_loops(large, centre, angle, size, step, places, 9.0)
        found = np.array([patch[:, i, j] for i, j in places])
        assert np.abs(found - expected).max() <= 0.51
        assert (found != 9).any()


def tiles_under(centres, angle, size, tile, shape):
    """(row, column) of tiles that hold pixels beside the samples of patches."""
    at = centres[:, None, None] + patch_grid(angle, size, 1.0)
    columns, rows = np.floor(at).astype(int).reshape(-1, 2).T
    found = set()
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        is_inside = (
            (rows + down >= 0) & (rows + down < shape[0]) & (columns + right >= 0) & (columns + right < shape[1])
        )
        numbers = (rows + down)[is_inside] // tile * 1000 + (columns + right)[is_inside] // tile
        found |= {divmod(int(number), 1000) for number in np.unique(numbers)}
    return found


def test_tiles_that_patches_touch_are_decoded_once_and_no_others(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (550, 600), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(64, 64), compression="zstd")
    monkeypatch.setattr("cytomesh.imaging.pyramid.BLOCK_PX", 1)  # no tile is too small to be read alone
    decoded, decode = [], TiffChunks.decode
    monkeypatch.setattr(TiffChunks, "decode", lambda self, place: decoded.append(place) or decode(self, place))
    random, n_saved = np.random.default_rng(1), 0
    for angle in (0.0, 90.0, 45.0, *random.uniform(-180, 180, 4)):
        # four patches at one place, and one elsewhere, at the image's border
        centres = np.concatenate([random.uniform(120, 380, (1, 2)) + random.uniform(-9, 9, (4, 2)), [[550.0, 450.0]]])
        decoded.clear()
        with open_image(tmp_path / "a.tif") as image:
            read_patches(image, 1.0, centres, np.full(5, angle), 150, 1.0)
        assert len(decoded) == len(set(decoded))
        assert tiles_under(centres, angle, 150, 64, pixels.shape) <= set(decoded)
        # two pixels more on each side
        assert set(decoded) <= tiles_under(centres, angle, 155, 64, pixels.shape)
        reach = 75 * (abs(math.sin(math.radians(angle))) + abs(math.cos(math.radians(angle))))
        n_saved += len(tiles_under(centres, 90.0, 2 * int(reach), 64, pixels.shape) - set(decoded))
    assert n_saved > 10  # corners of windows around turned patches


def test_level_is_the_coarsest_that_is_fine_enough():
    scales = (1.0, 2.0, 4.0)
    assert [choose_level(scales, step) for step in (0.5, 1.0, 1.9, 1.99, 2.0, 3.9, 4.0, 50.0)] == [
        0,
        0,
        0,
        1,
        1,
        1,
        2,
        2,
    ]


def test_no_patch_and_wrong_input(pyramid):
    assert read_patches(pyramid, UM, np.empty((0, 2)), np.empty(0), 16, UM).shape == (0, 1, 16, 16)
    with pytest.raises(ImageError, match="finite"):
        read_patches(pyramid, UM, np.array([[np.nan, 1.0]]), np.zeros(1), 16, UM)
    for pixels, angles in (
        (np.zeros((2, 2)), np.zeros(1)),
        (np.zeros((2, 3)), np.zeros(3)),
        (np.zeros(2), np.zeros(1)),
    ):
        with pytest.raises(ImageError, match=r"columns and rows, \(n,\) angles"):
            read_patches(pyramid, UM, pixels, angles, 16, UM)
    for size_px, um_per_px in ((0, UM), (16, 0.0), (16, -UM), (16, np.nan)):
        with pytest.raises(ImageError, match="positive sizes"):
            read_patches(pyramid, UM, np.zeros((1, 2)), np.zeros(1), size_px, um_per_px)


@pytest.mark.real
def test_profiles_of_a_real_section_run_from_pial_to_white(real_data):
    """Down the middle column of a patch, the cortex of a real section has the profile that the reference gives."""
    folder = real_data / "bigbrain" / "sections"
    links = np.load(folder / "coronal_A_node_links.npz", allow_pickle=False)
    pial, white = links["L_pial_colrow"].astype(float), links["L_white_colrow"].astype(float)
    step = pial - white
    length = np.hypot(*step.T)
    angles = np.rad2deg(np.arctan2(-step[:, 1], step[:, 0]))
    is_short = (length > 20) & (length < 120)
    with open_image(folder / "bigbrain_coronal_A.png") as pyramid:
        patches = read_patches(pyramid, 42.3333, (pial + white)[is_short] / 2, angles[is_short], 129, 42.3333)
    depths = ((np.arange(18) + 0.5) / 18 - 0.5) * length[is_short, None] + 64
    profiles = np.array(
        [np.interp(d, np.arange(129), p[0, :, 63:66].mean(axis=1)) for d, p in zip(depths, patches, strict=True)]
    )
    expected = links["L_image_profile18"][is_short]
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(profiles, expected, strict=True)]
    upside_down = [np.corrcoef(a[::-1], b)[0, 1] for a, b in zip(profiles, expected, strict=True)]
    # The reference was smoothed: not exactly the same numbers.
    assert np.median(agreement) > 0.93 and np.median(upside_down) < 0
