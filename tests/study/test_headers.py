import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.imaging.pyramid import open_image, write_ome_zarr
from cytomesh.study.annotation import read_label_image
from cytomesh.study.headers import pyramid_level, read_header


def test_plain_images(tmp_path):
    for mode, n_channels in (("L", 1), ("RGB", 3), ("P", 3), ("1", 1)):
        Image.new(mode, (30, 20)).save(tmp_path / "a.png")
        header = read_header(tmp_path / "a.png")
        assert (header.kind, header.shape, header.n_channels, header.um_per_px) == ("plain", (20, 30), n_channels, None)


def test_tiff_pyramid_without_scales_shares_corners(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", bigtiff=True) as tiff:
        full = np.zeros((201, 302), np.uint8)
        tiff.write(full, subifds=2, metadata={"axes": "YX", "PhysicalSizeX": 2.0, "PhysicalSizeXUnit": "µm"})
        tiff.write(full[:200:2, ::2], subfiletype=1)
        tiff.write(full[:200:4, :300:4], subfiletype=1)
    header = read_header(tmp_path / "a.ome.tif")
    assert [level.shape for level in header.levels] == [(201, 302), (100, 151), (50, 75)]
    assert [level.scale for level in header.levels] == [(1, 1), (2, 2), (4, 4)]
    assert header.levels[2].offset == (1.5, 1.5)
    assert header.um_per_px == 2.0 and header.kind == "tiff"


def test_zarr_04_and_05(tmp_path):
    write_ome_zarr(tmp_path / "five.ome.zarr", np.zeros((300, 401, 3), np.uint8), 2.5, n_levels=3)
    header = read_header(tmp_path / "five.ome.zarr")
    assert (header.axes, header.n_channels, header.um_per_px) == ("cyx", 3, 2.5)
    assert [(level.shape, level.offset) for level in header.levels] == [
        ((300, 401), (0, 0)),
        ((150, 201), (0.5, 0.5)),
        ((75, 101), (1.5, 1.5)),
    ]
    write_zarr_04(tmp_path / "four.ome.zarr", np.zeros((1, 1, 1, 64, 80), np.uint8))
    header = read_header(tmp_path / "four.ome.zarr")
    assert (header.axes, header.n_channels, header.shape) == ("tczyx", 1, (64, 80))
    assert header.um_per_px == pytest.approx(1.0)
    assert header.levels[1].offset == (0.5, 0.5)


def write_zarr_04(path, array):
    group = zarr.create_group(store=str(path), zarr_format=2)
    datasets = []
    for level in range(2):
        step = 2**level
        group.create_array(str(level), data=array[..., ::step, ::step])
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, step, step]}]}
        )
    kinds = {"t": "time", "c": "channel"}
    axes = [
        {"name": a, "type": kinds.get(a, "space"), **({} if a in kinds else {"unit": "micrometer"})} for a in "tczyx"
    ]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


@pytest.mark.parametrize(
    ("full", "coarse", "factor"),
    [(2857, 1428, 2), (2857, 1429, 2), (100, 25, 4), (100, 34, 3), (1000, 400, 2.5)],
)
def test_levels_that_state_no_scale(full, coarse, factor):
    level = pyramid_level("1", (coarse, coarse), (full, full))
    assert level.scale == (factor, factor)
    assert level.offset == ((factor - 1) / 2, (factor - 1) / 2)


def test_images_that_cannot_be_used(tmp_path):
    def refuse(path, message):
        with pytest.raises(ImageError, match=message) as caught:
            read_header(path)
        assert caught.value.hint

    refuse(tmp_path / "none.png", "no such image")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG nothing")
    refuse(tmp_path / "bad.png", "cannot be read")
    (tmp_path / "bad.tif").write_bytes(b"II*\x00")
    refuse(tmp_path / "bad.tif", "cannot be read")
    (tmp_path / "a.czi").write_bytes(b"x")
    refuse(tmp_path / "a.czi", "unknown image format '.czi'")
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    refuse(tmp_path / "deep.png", "expected uint8")
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((8, 8), np.uint16))
    refuse(tmp_path / "deep.tif", "pixels of type uint16, expected uint8.*one fixed intensity window")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 8, 8), np.uint8), metadata={"axes": "ZYX"})
    refuse(tmp_path / "stack.tif", "expected one plane, grey or RGB")
    (tmp_path / "empty.zarr").mkdir()
    refuse(tmp_path / "empty.zarr", "without zarr.json")
    write_ome_zarr(tmp_path / "a.zarr", np.zeros((8, 8), np.uint8), 1.0)
    (tmp_path / "a.zarr" / "0" / "zarr.json").unlink()
    refuse(tmp_path / "a.zarr", "no array")
    (tmp_path / "a.zarr" / "zarr.json").write_text(json.dumps({"attributes": {}}))
    refuse(tmp_path / "a.zarr", "no 'multiscales' metadata")
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    refuse(tmp_path / "a.zarr", "cannot be read")


def test_large_plain_images_need_no_setting_of_the_whole_process(tmp_path, monkeypatch):
    """Pillow refuses images of more than twice its limit, which is here lower than any section's size."""
    Image.new("L", (30, 20), 7).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    paths = [tmp_path / "a.png"] * 200
    with ThreadPoolExecutor(8) as threads:
        assert {header.shape for header in threads.map(read_header, paths)} == {(20, 30)}
    assert (read_label_image(tmp_path / "a.png") == 7).all()
    with open_image(tmp_path / "a.png") as image:
        assert (image.read(0, 0, 20, 0, 30) == 7).all()
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.png")


def test_importing_leaves_pillow_alone():
    code = "from PIL import Image; n = Image.MAX_IMAGE_PIXELS; import cytomesh.imaging.pyramid; "
    code += "assert Image.MAX_IMAGE_PIXELS == n"
    subprocess.run([sys.executable, "-c", code], check=True)
