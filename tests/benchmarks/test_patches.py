import numpy as np
import pytest

from benchmarks.imaging.libraries import (
    Patches,
    by_scipy,
    by_torch,
    difference,
    own_patches,
    plain_patches,
    ribbon,
    write_images,
    zarr_window,
)
from cytomesh.imaging.pyramid import open_image

SHAPE = (1100, 1200)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"), SHAPE)


@pytest.mark.parametrize("kind", ["TIFF", "OME-Zarr"])
@pytest.mark.parametrize("step", [1.0, 3.0])
def test_libraries_make_the_same_patches(images, kind, step):
    wanted = Patches(images[kind], *ribbon(5, SHAPE), 32, step, 0)
    with open_image(wanted.path) as pyramid:
        own = own_patches(pyramid, wanted)
    assert np.ptp(own) > 100
    for sampling in (by_scipy, by_torch):
        assert difference(plain_patches(wanted, zarr_window, sampling), own) <= 1
