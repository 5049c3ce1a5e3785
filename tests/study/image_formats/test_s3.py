"""Images in a real S3 server on the loopback: moto's. Skipped where it, or s3fs, is not installed."""

from __future__ import annotations

import numpy as np
import pytest

from cytomesh.core.digests import content_digest
from cytomesh.core.errors import AddressError, ImageError
from cytomesh.core.remote import as_path
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.image_formats.registry import check_pixels, read_header
from tests.imaging.test_bad_images import NOISE, write
from tests.s3_server import BUCKET

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages behind it


@pytest.mark.parametrize("name", ["a.png", "a.tif", "sharded.ome.zarr"])
def test_pixels_are_those_of_the_disk(s3, tmp_path, name):
    s3.upload(write(tmp_path / name))
    path = as_path(f"s3://{BUCKET}/{name}")
    check_pixels(read_header(path))
    with open_image(path, cache_bytes=0) as image:
        np.testing.assert_array_equal(image.read(0, 100, 300, 500, 900)[..., 0], NOISE[100:300, 500:900])
    before = content_digest(path)
    s3.upload(write(tmp_path / name, NOISE[::-1]))
    assert content_digest(path) != before
    with open_image(path, cache_bytes=0) as image:
        np.testing.assert_array_equal(image.read(0, 100, 300, 500, 900)[..., 0], NOISE[::-1][100:300, 500:900])


def test_chunks_that_are_not_stored_are_found_by_listing(s3, tmp_path):
    s3.upload(write(tmp_path / "lacking.ome.zarr"))
    path = as_path(f"s3://{BUCKET}/lacking.ome.zarr")
    before = content_digest(path)
    s3.client.delete_object(Bucket=BUCKET, Key="lacking.ome.zarr/1/c/0/0")
    with pytest.raises(ImageError, match=r"1 of 1 chunks not stored at level 1 \(c/0/0\)"):
        check_pixels(read_header(path))
    assert content_digest(path) != before


def test_what_is_not_there(s3):
    for address in (f"s3://{BUCKET}/none.tif", "s3://no-bucket/a.tif"):
        with pytest.raises(ImageError, match=f"{address}: found no such image"):
            read_header(as_path(address))


@pytest.fixture
def no_s3(s3, web, monkeypatch):
    """A bucket of a web server that is no S3 server, and answers as it is told to."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    (web.folder / BUCKET).mkdir()
    yield web
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(("fault", "message"), [(403, r"403: it may not be read.*FSSPEC_S3_ANON"), ("cut", "cut off")])
def test_an_answer_of_403_and_one_that_is_cut_off(no_s3, fault, message):
    write(no_s3.folder / BUCKET / "a.tif")
    path = as_path(f"s3://{BUCKET}/a.tif")
    no_s3.faults = {"a.tif": fault}
    with pytest.raises(AddressError, match=message):
        read_header(path)
    no_s3.faults = {}
    assert read_header(path).shape == NOISE.shape
