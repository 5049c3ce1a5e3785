"""Label pyramids: labels stay labels, and other programs find names and colours."""

from collections import Counter

import numpy as np
import pytest
import zarr

from cytomesh.core.errors import ImageError
from cytomesh.core.labels import LabelTable
from cytomesh.imaging.label_pyramid import halve_labels, write_ome_labels
from cytomesh.imaging.pyramid import open_image

TABLE = LabelTable.from_names(["one", "two", "three"])


def most_frequent(labels):
    """Block by block; of equal ones the largest."""
    h, w = labels.shape[0] // 2, labels.shape[1] // 2
    found = np.empty((h, w), np.uint8)
    for i in range(h):
        for j in range(w):
            counts = Counter(labels[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].ravel().tolist())
            found[i, j] = max(counts, key=lambda value: (counts[value], value))
    return found


def test_halving_takes_the_most_frequent_label():
    labels = np.random.default_rng(0).integers(0, 4, (60, 80)).astype(np.uint8)
    np.testing.assert_array_equal(halve_labels(labels), most_frequent(labels))
    assert halve_labels(labels[:59, :79]).shape == (30, 40)


def test_a_pyramid_is_read_back_with_its_place_and_names(tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, (300, 520)).astype(np.uint8)
    path = tmp_path / "s.ome.zarr"
    write_ome_labels(path, {"layers": labels, "truth": labels[::-1].copy()}, 62.5, TABLE)
    with open_image(path / "labels" / "layers") as image:
        assert image.um_per_px == 62.5 and image.shape == (300, 520)
        assert image.level_scales == (1.0, 2.0, 4.0)
        assert image.levels[1].offset == (0.5, 0.5)
        np.testing.assert_array_equal(image.read(0, 0, 300, 0, 520)[..., 0], labels)
        np.testing.assert_array_equal(image.read(1, 0, 150, 0, 260)[..., 0], most_frequent(labels))
    group = zarr.open_group(str(path / "labels"), mode="r")
    assert group.attrs["ome"]["labels"] == ["layers", "truth"]
    facts = group["layers"].attrs["ome"]
    assert facts["version"] == "0.5"
    assert [colour["label-value"] for colour in facts["image-label"]["colors"]] == [1, 2, 3]
    assert facts["image-label"]["properties"][1] == {"label-value": 2, "name": "two"}
    with pytest.raises(ImageError, match="uint8"):
        write_ome_labels(path, {"layers": labels.astype(int)}, 62.5, TABLE)
