"""Cut-outs: pixels beside a slow reference, and the scale in the header, by every way to name a place."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.graph.cut_outs import cut_point
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.cut import cut_box, cut_stored, write_cut
from cytomesh.imaging.normalise import open_run_study
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_section, open_stored
from cytomesh.study.image_formats.registry import read_header


def mean_over(pixels, row, column, rows, columns, step):
    """Each wanted pixel as the mean over what it covers, cell by cell."""
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            total = weight = 0.0
            low, left = row + i * step, column + j * step
            for r in range(int(low), min(int(np.ceil(low + step)), pixels.shape[0])):
                for c in range(int(left), min(int(np.ceil(left + step)), pixels.shape[1])):
                    share = (min(low + step, r + 1) - max(low, r)) * (min(left + step, c + 1) - max(left, c))
                    total, weight = total + share * pixels[r, c], weight + share
            out[i, j] = total / weight
    return out


@pytest.fixture
def grey(tmp_path):
    """A PNG of 60 x 81 px, and its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 81), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    return tmp_path / "grey.png", pixels


@pytest.mark.parametrize("um", [2.0, 3.0, 3.7])
def test_coarser_pixels_are_means_over_their_area(grey, um):
    path, pixels = grey
    with open_stored(path) as pyramid:
        pyramid.levels, pyramid._whole = pyramid.levels[:1], pyramid._whole[:1]  # halves would be rounded already
        found = cut_box(pyramid, 1.0, (11, 7, 40, 30), um)
    rows, columns = round(30 / um), round(40 / um)
    assert found.shape == (rows, columns, 1)
    expected = mean_over(pixels.astype(float), 7, 11, rows, columns, um)
    np.testing.assert_allclose(found[:, :, 0], expected, atol=0.5 + 1e-9)


def test_levels_of_a_pyramid_give_the_same_within_rounding(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (256, 320), np.uint8)
    write_ome_zarr(tmp_path / "image.ome.zarr", pixels, 2.0, n_levels=3)
    found, facts = cut_stored(tmp_path / "image.ome.zarr", (33, 18, 200, 150), 9.0)
    assert facts["um_per_px"] == 9.0
    expected = mean_over(pixels.astype(float), 18, 33, *found.shape[:2], 4.5)
    # pixels of the level (8 um) at the border of a wanted one are shared out, not cut up
    assert np.abs(found[:, :, 0] - expected).mean() < 12
    assert np.abs(found[1:-1, 1:-1, 0].mean() - expected[1:-1, 1:-1].mean()) < 0.5


def test_pixels_as_they_are_stored(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 65536, (50, 70, 4)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "many.ome.tif",
        np.moveaxis(pixels, -1, 0),
        metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
    )
    found, facts = cut_stored(tmp_path / "many.ome.tif", (5, 6, 20, 10))
    np.testing.assert_array_equal(found, pixels[6:16, 5:25])
    write_cut(tmp_path / "cut.tif", found, facts["um_per_px"])
    again, facts = cut_stored(tmp_path / "cut.tif", (0, 0, 20, 10))
    np.testing.assert_array_equal(again, found)
    assert facts["um_per_px"] == 0.5


LEFT_BEHIND = ".partial-99999999"
"""By a process that was killed: there is none of this number."""


@pytest.mark.parametrize("name", ["cut.tif", "cut.png"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_header_states_the_scale(tmp_path, name, channels):
    pixels = np.random.default_rng(3).integers(0, 256, (600, 40, channels), np.uint8)
    (tmp_path / f"{LEFT_BEHIND}-{name}").touch()
    write_cut(tmp_path / name, pixels, 1.85)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name.endswith("png"):  # dots an inch: no reader of sections believes a PNG that
        with Image.open(tmp_path / name) as image:
            stated = 25400 / image.info["dpi"][0]
    else:
        stated = read_header(tmp_path / name).um_per_px
    assert stated == pytest.approx(1.85, rel=1e-5)
    with open_stored(tmp_path / name) as pyramid:
        np.testing.assert_array_equal(pyramid.read(0, 0, 600, 0, 40), pixels)


def test_what_cannot_be_cut_is_said(grey, tmp_path):
    path, _ = grey
    with open_stored(path) as pyramid:
        for box in ((-1, 0, 5, 5), (0, 0, 82, 5), (0, 58, 5, 3), (3, 3, 0, 3)):
            with pytest.raises(ImageError, match="a box within 81 columns and 60 rows"):
                cut_box(pyramid, 1.0, box)
        with pytest.raises(ImageError, match="the image's own, or more"):
            cut_box(pyramid, 1.0, (0, 0, 5, 5), 0.5)
        with pytest.raises(ImageError, match="half a pixel at least"):  # it would be the mean of much else
            cut_box(pyramid, 1.0, (0, 0, 5, 30), 11.0)
        assert cut_box(pyramid, 1.0, (0, 0, 5, 30), 10.0).shape == (3, 1, 1)
    with pytest.raises(ImageError, match="no pixel size in the file"):
        cut_stored(path, (0, 0, 5, 5))
    with pytest.raises(ImageError, match=r"one of \.tif"):
        write_cut(tmp_path / "cut.jpg", np.zeros((2, 2, 1), np.uint8), 1.0)
    with pytest.raises(ImageError, match=r"write a \.tif"):
        write_cut(tmp_path / "cut.png", np.zeros((2, 2, 3), np.uint16), 1.0)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["grey.png"]


def test_a_node_a_point_and_a_box_from_the_command_line(small_chain, tmp_path, cytomesh):
    run = small_chain.run
    graph = load_graphs(run)[0]
    node = int(np.flatnonzero(graph.is_linked)[20])
    study = open_run_study(run)
    section = study.brain(graph.brain).section(int(graph.section[node]))
    pixel = np.array([[graph.nodes["column_px"][node], graph.nodes["row_px"][node]]])
    um = section.um_per_px
    code, said, errors = cytomesh(
        "images",
        "cut",
        run,
        "--node",
        f"{graph.name}:{node}",
        "--size-px",
        "48",
        "--out",
        tmp_path / "node.tif",
        "--json",
    )
    assert code == 0, errors
    with open_section(section) as pyramid:
        expected = read_patches(pyramid, um, pixel, graph.nodes["angle_deg"][[node]], 48, um)[0]
    written = tifffile.imread(tmp_path / "node.tif")
    np.testing.assert_array_equal(written, expected[0] if len(expected) == 1 else np.moveaxis(expected, 0, -1))
    assert json.loads(said)["section"] == section.name

    world = section.plane.world(pixel)[0] + 0.01 * section.plane.normal
    code, said, errors = cytomesh(
        "images",
        "cut",
        study.path,
        "--brain",
        graph.brain,
        "--at",
        *world,
        "--size-px",
        "32",
        "--out",
        tmp_path / "at.png",
        "--json",
    )
    assert code == 0, errors
    facts = json.loads(said)
    assert (facts["section"], facts["distance_mm"]) == (section.name, 0.01)
    assert [facts["column_px"], facts["row_px"]] == pytest.approx(pixel[0], abs=0.01)

    words = ("--section", f"{graph.brain}:{section.index}", "--box", "4", "5", "30", "20", "--um-per-px", str(2 * um))
    code, said, errors = cytomesh("images", "cut", study.path, *words, "--out", tmp_path / "box.png", "--json")
    assert code == 0, errors
    with Image.open(tmp_path / "box.png") as image:
        assert image.size == (15, 10)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one of --box, --node and --at"),
        (("--box", 0, 0, 5, 5, "--node", "x:1"), "one of --box, --node and --at"),
        (("--node", "B01"), "GRAPH:NUMBER"),
        (("--node", "{graph}:99999999"), "no such node"),
        (("--node", "B99_hemi-L:1"), "B99_hemi-L"),
        (("--node", "{graph}:{node}", "--size-px", 200_000), "2 GB at most"),
        (("--node", "{graph}:{node}", "--um-per-px", 0.5), "the image's own, or more"),
        (("--node", "{graph}:{node}", "--um-per-px", 1e9), "up to its side"),
        (("--node", "{graph}:{node}", "--section", "B01:12"), "--box beside it"),
        (("--node", "{graph}:{node}", "--brain", "B01"), "--at beside it"),
    ],
)
def test_places_that_are_none(small_chain, tmp_path, cytomesh, words, said):
    graph = load_graphs(small_chain.run)[0]
    known = {"graph": graph.name, "node": np.flatnonzero(graph.is_linked)[20]}
    words = [str(word).format(**known) for word in words]
    code, _, errors = cytomesh("images", "cut", small_chain.run, *words, "--out", tmp_path / "cut.tif")
    assert code == 1
    assert said in errors
    assert not list(tmp_path.iterdir())


def test_channels_keep_their_names_and_three_of_them_are_no_rgb(tmp_path, cytomesh):
    pixels = np.random.default_rng(4).integers(0, 65536, (2, 3, 40, 50), np.uint16)
    source, cut = tmp_path / "stack.ome.tif", tmp_path / "cut.tif"
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(source, pixels, metadata={"axes": "ZCYX", **size, "Channel": {"Name": ["DAPI", "NeuN", "GFP"]}})
    words = ("images", "cut", source, "--box", 3, 4, 20, 10, "--out", cut)
    code, _, errors = cytomesh(*words)
    assert code == 1
    assert "--z 0" in errors
    code, _, errors = cytomesh(*words, "--z", 1)
    assert code == 0, errors
    header = read_header(cut)
    assert (header.channel_names, header.axes) == (("DAPI", "NeuN", "GFP"), "cyx")
    np.testing.assert_array_equal(tifffile.imread(cut), pixels[1, :, 4:14, 3:23])


def test_the_image_that_is_cut_is_not_written_over(tmp_path, cytomesh):
    source = tmp_path / "image.tif"
    write_cut(source, np.zeros((20, 30, 1), np.uint8), 2.0)
    before = source.read_bytes()
    (tmp_path / "link.tif").symlink_to(source)
    for out in (source, tmp_path / "link.tif"):
        code, _, errors = cytomesh("images", "cut", source, "--box", 0, 0, 5, 5, "--out", out)
        assert code == 1
        assert "another name" in errors
    assert source.read_bytes() == before


def test_what_is_no_run_and_a_point_beyond_the_stack(small_chain, tmp_path, cytomesh):
    study = open_run_study(small_chain.run)
    brain = study.brains[0]
    first = next(section for section in brain.sections if section.image is not None)
    last = next(section for section in reversed(brain.sections) if section.image is not None)
    towards = np.sign(first.plane.distance(last.plane.world(np.zeros((1, 2))))[0])
    beyond = first.plane.world(np.full((1, 2), 5.0))[0] - 100 * towards * first.plane.normal
    for words, said in (
        (("--node", "x:1"), "the folder that build-graph wrote"),
        (("--brain", brain.id, "--at", *beyond), "100.0 mm from the nearest section"),
    ):
        code, _, errors = cytomesh("images", "cut", study.path, *words, "--out", tmp_path / "cut.tif")
        assert code == 1
        assert said in errors
        assert "Way out" in errors


@pytest.mark.parametrize(("share", "is_warned"), [(0.7, False), (0.8, True)])
def test_a_point_beside_all_sections_is_warned_of(small_chain, caplog, share, is_warned):
    brain = open_run_study(small_chain.run).brains[0]
    sections = [section for section in brain.sections if section.image is not None]
    first = sections[0]
    heights = np.sort([first.plane.distance(section.plane.world(np.zeros((1, 2))))[0] for section in sections])
    usual, outwards = np.median(np.diff(heights)), 1 if heights[0] < -1 else -1
    beyond = first.plane.world(np.full((1, 2), 5.0))[0] + share * usual * outwards * first.plane.normal
    _, facts = cut_point(brain, beyond, 8)
    assert facts["section"] == first.name and facts["distance_mm"] == pytest.approx(share * usual, abs=1e-3)
    assert (f"{first.name}, lies {share * usual:.3g} mm from the point" in caplog.text) == is_warned


def test_planes_are_named_for_one_image_only(small_chain, tmp_path, cytomesh):
    for words in ((small_chain.run, "--node", "x:1"), (open_run_study(small_chain.run).path, "--at", 0, 0, 0)):
        code, _, errors = cytomesh("images", "cut", *words, "--z", 1, "--out", tmp_path / "cut.tif")
        assert code == 1
        assert "--z" in errors
        assert "leave it out" in errors
