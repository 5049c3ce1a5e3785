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


def test_options_that_do_not_fit_are_named(tmp_path, cytomesh):
    assert (
        "expected a study"
        in cytomesh("images", "convert", tmp_path / "a.png", "--out", tmp_path / "b", "--update-study")[2]
    )
    words = ("images", "convert", tmp_path / "study.yaml", "--out", tmp_path / "b", "--um-per-px", 1)
    assert "expected one image" in cytomesh(*words)[2]
    code, _, said = cytomesh("images", "info", tmp_path / "nothing.png")
    assert code == 1 and "no such image" in said
