import json

import numpy as np
import tifffile


def test_info_says_what_is_read(tmp_path, cytomesh):
    array = np.zeros((300, 500), np.uint8)
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        facts = {"axes": "YX", "PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0}
        tiff.write(array, tile=(64, 64), subifds=1, metadata=facts)
        tiff.write(array[::2, ::2], tile=(64, 64), subfiletype=1)
    code, out, _ = cytomesh("images", "info", path)
    assert code == 0
    assert "level 1    250 x 150 px, each of 2 x 2 px" in out and "TiffReader" in out
    facts = json.loads(cytomesh("images", "info", path, "--json")[1])
    assert (facts["width_px"], facts["height_px"], facts["um_per_px"], facts["channels"]) == (500, 300, 2.0, "grey")
    assert (facts["width_mm"], facts["height_mm"]) == (1.0, 0.6)


def test_info_says_what_values_there_are_and_proposes_a_window(tmp_path, cytomesh):
    values = np.random.default_rng(0).integers(110, 3890, (2, 90, 120), np.uint16)
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "NeuN"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", values, metadata=metadata)
    code, out, _ = cytomesh("images", "info", tmp_path / "a.ome.tif")
    assert code == 0
    facts = dict(line.split("  ", 1) for line in out.splitlines())
    facts = {name: value.strip() for name, value in facts.items()}
    assert (facts["dtype"], facts["channels"], facts["alpha"]) == ("uint16", "0 (DAPI), 1 (NeuN)", "none")
    for i, name in enumerate(("0 (DAPI)", "1 (NeuN)")):
        assert facts[f"values of channel {name}"] == f"{values[i].min()} to {values[i].max()}"
        assert facts[f"image.window of channel {name}"] == "[100, 3900], proposed"


def test_info_of_an_image_whose_pixels_are_damaged_still_says_what_its_header_does(tmp_path, cytomesh):
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 256, (90, 120), np.uint8)
    tifffile.imwrite(path, noise, compression="zlib")
    content = bytearray(path.read_bytes())
    content[5000:5200] = bytes(200)
    path.write_bytes(content)
    code, out, _ = cytomesh("images", "info", path)
    assert code == 0 and "width_px" in out and "cannot be read: pixels that cannot be decoded" in out


def test_info_of_no_image_points_elsewhere(tmp_path, cytomesh):
    code, _, said = cytomesh("images", "info", tmp_path / "study.yaml")
    assert code == 1 and f"cytomesh study check {tmp_path / 'study.yaml'}" in said
    for command in (("info",), ("convert", "--out", tmp_path / "a.ome.zarr")):
        code, _, said = cytomesh("images", *command, tmp_path / "nothere.png")
        assert code == 1 and "no such image" in said and "table" not in said


def test_options_that_do_not_fit_are_named(tmp_path, cytomesh):
    assert (
        "expected a study"
        in cytomesh("images", "convert", tmp_path / "a.png", "--out", tmp_path / "b", "--update-study")[2]
    )
    words = ("images", "convert", tmp_path / "study.yaml", "--out", tmp_path / "b", "--um-per-px", 1)
    assert "expected one image" in cytomesh(*words)[2]
    code, _, said = cytomesh("images", "info", tmp_path / "nothing.png")
    assert code == 1 and "no such image" in said
