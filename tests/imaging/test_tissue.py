import json

import numpy as np
import pytest
import shapely
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.surface.contour_extraction import CASES, drawn_outline, score
from cytomesh.core.errors import ImageError
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.pyramid import open_image
from cytomesh.imaging.tissue import TissueConfig, background, extract_all, extract_tissue, threshold, tissue_mask

HEIGHT, WIDTH = 300, 400


def section_image(channels=3, bright=True):
    """Faint tissue (an ellipse with a dark band and a ventricle) on a noisy ground, with dust and a scale bar."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside = ((columns - 200) / 150) ** 2 + ((rows - 140) / 110) ** 2
    stain = np.zeros((HEIGHT, WIDTH))
    stain[inside < 1] = 30
    stain[(inside < 1) & (inside > 0.8)] = 120
    stain[(columns - 200) ** 2 + (rows - 140) ** 2 < 8**2] = 0
    stain[270:274, 20:70] = 230
    stain[20:23, 20:23] = 200
    grey = (235 - stain if bright else 15 + stain) + rng.normal(0, 2, (HEIGHT, WIDTH))
    image = np.clip(grey, 0, 255).astype(np.uint8)
    return image[..., None].repeat(channels, axis=2) if channels > 1 else image


def truth():
    return shapely.affinity.scale(shapely.Point(200, 140).buffer(1, 64), 150, 110)


def dice(a, b):
    return 2 * a.intersection(b).area / (a.area + b.area)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bright", [True, False])
def test_tissue_without_dust_scale_bar_and_small_holes(tmp_path, channels, bright):
    path = tmp_path / "s.png"
    Image.fromarray(section_image(channels, bright)).save(path)
    with open_image(path) as image:
        region = extract_tissue(image, TissueConfig())
    (part,) = region.geoms
    assert not part.interiors and part.is_valid
    assert dice(region, truth()) > 0.995
    assert region.hausdorff_distance(truth()) < 2.5


def test_levels_are_mapped_to_full_resolution(tmp_path):
    path = tmp_path / "s.ome.zarr"
    fine = section_image(1).repeat(4, axis=0).repeat(4, axis=1)
    write_ome_zarr(path, fine, 10.0)
    with open_image(path) as image:
        region = extract_tissue(image, TissueConfig(max_px=420))
    expected = shapely.affinity.affine_transform(truth(), (4, 0, 0, 4, 1.5, 1.5))
    assert dice(region, expected) > 0.99


def test_holes_are_kept_by_size_and_parts_too(tmp_path):
    image = section_image(1)
    image[120:160, 180:220] = 235
    image[200:280, 330:395] = 100
    path = tmp_path / "s.png"
    Image.fromarray(image).save(path)
    with open_image(path) as pyramid:
        kept = extract_tissue(pyramid, TissueConfig(smallest_hole=0.02))
        filled = extract_tissue(pyramid, TissueConfig(smallest_hole=1))
        alone = extract_tissue(pyramid, TissueConfig(smallest_part=0.5))
    assert sum(len(part.interiors) for part in kept.geoms) == 1
    assert sum(len(part.interiors) for part in filled.geoms) == 0
    assert len(alone.geoms) <= len(kept.geoms)


def test_background_is_the_commonest_colour_of_the_frame():
    image = np.full((100, 100, 3), (250, 240, 230), np.float32)
    image[:, :30] = 90
    assert background(image).tolist() == [250, 240, 230]


def block_image(glass=(0, 0), bright=True):
    """A block cropped to tissue: pale white matter with structure, a band of cortex, and glass in the upper left."""
    rng = np.random.default_rng(2)
    texture = gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), 2)
    grey = 218 + 3 * texture / texture.std()
    grey[:, :120] -= 60
    grey[: glass[0], : glass[1]] = 242
    grey += rng.normal(0, 1.5, grey.shape)
    return np.clip(grey if bright else 255 - grey, 0, 255).round().astype(np.float32)[..., None]


@pytest.mark.parametrize("bright", [True, False])
def test_white_matter_along_the_border_of_a_block_is_no_glass(bright):
    image = block_image((90, 90), bright)
    frame = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    values, counts = np.unique(np.round(frame / 8), return_counts=True)
    assert abs(values[counts.argmax()] * 8 - (218 if bright else 37)) < 8  # the commonest colour is white matter's
    glass = background(image)
    assert abs(glass[0] - (242 if bright else 13)) < 3
    mask = tissue_mask(image, glass, TissueConfig())
    assert not mask[:85, :85].any() and mask[95:].mean() > 0.999 and mask[:, 95:].mean() > 0.999


@pytest.mark.parametrize("bright", [True, False])
def test_without_glass_nothing_is_called_glass(tmp_path, bright):
    image = block_image(bright=bright)
    assert background(image) is None
    path = tmp_path / "s.png"
    Image.fromarray(image[..., 0].astype(np.uint8)).save(path)
    with open_image(path) as pyramid, pytest.raises(ImageError, match="no glass along the border"):
        extract_tissue(pyramid, TissueConfig())


@pytest.mark.parametrize("bright", [True, False])
def test_noise_all_around_is_glass_for_outlines_only(tmp_path, bright):
    noise = np.random.default_rng(3).normal(0, 5, (HEIGHT, WIDTH))
    image = np.clip(section_image(1, bright) + noise, 0, 255).round().astype(np.uint8)
    assert background(image[..., None].astype(np.float32)) is None
    path = tmp_path / "s.png"
    Image.fromarray(image).save(path)
    with open_image(path) as pyramid:
        assert dice(extract_tissue(pyramid, TissueConfig()), truth()) > 0.98


@pytest.mark.parametrize("bright", [True, False])
def test_white_matter_that_fills_the_frame_of_a_crop_is_no_glass(tmp_path, bright):
    """Glass lies beyond it: lighter than white matter, or darker in fluorescence."""
    image = np.full((HEIGHT, WIDTH), 204.0)
    image[60:120, 60:300], image[80:100, 100:250] = 110, 244
    image = np.clip(image + np.random.default_rng(1).normal(0, 4.2, image.shape), 0, 255).round().astype(np.uint8)
    image = image if bright else 255 - image
    assert background(image[..., None].astype(np.float32)) is None
    path = tmp_path / "s.png"
    Image.fromarray(image).save(path)
    with open_image(path) as pyramid, pytest.raises(ImageError, match="no glass along the border"):
        extract_tissue(pyramid, TissueConfig())


@pytest.mark.real
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_blocks_cut_out_of_real_sections(real_data, case):
    """Of blocks that show no glass, no other colour is taken for it; of those with much of it, it is found in all."""
    image = np.asarray(Image.open(real_data / case.image)).astype(np.float32)
    image = image if image.ndim == 3 else image[..., None]
    glass = background(image)
    outside = np.abs(image - glass).max(axis=2) < 6
    rng, told = np.random.default_rng(0), {"none": [], "much": []}
    size = np.array(image.shape[:2])
    for _ in range(3000):
        shape = (size * rng.uniform(0.12, 0.4, 2)).astype(int)
        top, left = (rng.random(2) * (size - shape)).astype(int)
        block = np.s_[top : top + shape[0], left : left + shape[1]]
        share = float(outside[block].mean())
        kind = "none" if share < 0.005 else "much" if 0.4 < share < 0.7 else ""
        if kind and len(told[kind]) < 15:
            found = background(image[block])
            told[kind].append("nothing" if found is None else "glass" if np.abs(found - glass).max() < 6 else "tissue")
    assert len(told["none"]) >= 2 and "tissue" not in told["none"] and told["none"].count("glass") < 2
    assert told["much"] == ["glass"] * 15


def test_threshold_lies_between_noise_and_faint_tissue():
    rng = np.random.default_rng(0)
    distance = np.abs(np.concatenate([rng.normal(0, 1.5, 5000), rng.normal(25, 3, 4000), rng.normal(120, 20, 800)]))
    assert 6 < threshold(distance.astype(np.float32)[None]) < 20


def test_blank_images_are_refused(tmp_path):
    path = tmp_path / "s.png"
    Image.fromarray(np.full((90, 90), 240, np.uint8)).save(path)
    with open_image(path) as image, pytest.raises(ImageError, match="no tissue"):
        extract_tissue(image, TissueConfig())


def test_one_image_or_a_study(tmp_path, cytomesh):
    path, out = tmp_path / "s.png", tmp_path / "tissue.geojson"
    Image.fromarray(section_image()).save(path)
    (tmp_path / ".partial-99999999-tissue.geojson").touch()  # of a process that was killed
    assert extract_all(path, out, TissueConfig(), 1) == {"files": 1, "area_mm2": None}
    assert {item.name for item in tmp_path.iterdir()} == {path.name, out.name}
    features = json.loads(out.read_text())["features"]
    assert [feature["properties"]["classification"]["name"] for feature in features] == ["tissue"]


@pytest.mark.real
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_real_sections_against_hand_drawings(real_data, case):
    """Measured 0.975-0.993; the drawings follow sulci to the ground, where banks that touch leave nothing to see."""
    with open_image(real_data / case.image) as image:
        region = extract_tissue(image, TissueConfig())
        width = image.shape[1]
    result = score(region, drawn_outline(real_data / case.drawing))
    assert result.dice > 0.97
    assert result.to_drawing_px < 0.004 * width
    assert result.from_drawing_px < 0.03 * width
