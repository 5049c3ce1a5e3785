"""Patches of the sections are those of their nodes, in the order asked for."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pretrain_study import write_run

from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import ImageError, StudyError
from cytomesh.core.run import read_study_path
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_image, open_section
from cytomesh.pretrain import patches
from cytomesh.pretrain.bank import bank_folder, open_bank
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.export_bank import export_bank
from cytomesh.pretrain.patches import SectionReader, count_channels, images_of
from cytomesh.pretrain.pool import build_pool
from cytomesh.study.pixels import ImageSettings
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.study import open_study

CONFIG = PatchConfig(size_px=12, um_per_px=500.0, border_px=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("patches"))


@pytest.fixture(scope="module")
def pool(run):
    return build_pool(open_study(read_study_path(run)), load_graphs(run), ("train", "transfer"))


def images(run):
    """What the patches of the training brains are cut from, as it is now."""
    graphs = [graph for graph in load_graphs(run) if graph.brain_role != "unseen"]
    digests = FileDigests()
    return images_of(run, open_study(read_study_path(run)), graphs, digests), Freshness(run, digests)


def test_sixteen_bits_in_the_window_of_their_brain_give_the_patches_of_eight(tmp_path, run, pool):
    run = shutil.copytree(run.parent, tmp_path / "moved") / "run"
    for image in (run.parent / "study").glob("*/*.png"):
        Image.fromarray(np.asarray(Image.open(image)).astype(np.uint16) * 16 + 70).save(image)
    manifest = run.parent / "study" / "study.yaml"
    before = images(run)[0]
    manifest.write_text(manifest.read_text() + "image: {window: [70, 4150]}\n")
    deep = build_pool(open_study(manifest), load_graphs(run), ("train", "transfer"))
    data, freshness = images(run)
    assert all(line.startswith("image.window of") for line in before.changes(data)) and before.changes(data)
    rows = np.random.default_rng(0).integers(0, len(pool), 50)
    expected = SectionReader(pool, CONFIG).read(rows)
    assert np.array_equal(SectionReader(deep, CONFIG).read(rows), expected)
    export_bank(run, deep, CONFIG, data, "vit", freshness)
    assert np.array_equal(open_bank(bank_folder(run, CONFIG, data), deep).read(rows), expected)


def test_a_row_is_the_patch_of_its_node(run, pool):
    graphs = [graph for graph in load_graphs(run) if graph.brain_role != "unseen"]
    second = np.flatnonzero(graphs[1].is_linked)
    row = int(graphs[0].is_linked.sum()) + 7
    node = second[7]
    part = pool.sections[pool.section[row]]
    assert part.section.brain == graphs[1].brain
    assert part.section.index == graphs[1].section[node]
    pixel = graphs[1].nodes.stack(["column_px", "row_px"])[[node]]
    with open_image(part.image) as image:
        expected = read_patches(image, 500.0, pixel, graphs[1].nodes["angle_deg"][[node]], 16, 500.0)
    assert np.array_equal(SectionReader(pool, CONFIG).read(np.array([row])), expected)
    assert np.allclose(pool.position[row], graphs[1].reference[node])


def test_grey_and_colour_mixed_is_an_error(tmp_path):
    run = write_run(tmp_path)
    pool = build_pool(open_study(read_study_path(run)), load_graphs(run), ("train",))
    assert count_channels(pool.sections) == 1
    Image.new("RGB", (96, 96)).save(pool.sections[1].image)
    with pytest.raises(StudyError, match="channel"):
        count_channels(pool.sections)


def test_an_image_is_opened_once_and_those_used_last_stay_open(tmp_path, monkeypatch):
    for name in "abc":
        Image.fromarray(np.full((8, 8), ord(name), np.uint8)).save(tmp_path / f"{name}.png")
    opened = []

    def open_slowly(section):
        opened.append(section.image.stem)
        time.sleep(0.05)
        return open_section(section)

    def section(name):
        return Section("B01", 0, tmp_path / f"{name}.png", 20.0, plane)

    plane = SectionPlane(np.array([[0.02, 0, 0], [0, 0.02, 0], [0, 0, 0]]))
    monkeypatch.setattr(patches, "open_section", open_slowly)
    images = patches.OpenImages(2)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda name: images[section(name)], "aaabbb"))
    assert sorted(opened) == ["a", "b"]
    assert [int(image.read(0, 0, 1, 0, 1).item()) for image in found] == [97, 97, 97, 98, 98, 98]
    for name in "acab":  # b was used before a, and is the one closed for c
        assert images[section(name)].path.stem == name
    assert opened[2:] == ["c", "b"]
    with pytest.raises(ImageError, match=r"d\.png"):
        images[section("d")]
    Image.fromarray(np.full((8, 8), 160, np.uint8)).save(tmp_path / "b.png")
    seen = replace(section("b"), image_settings=ImageSettings(window=(0, 200)))
    assert images[seen].read(0, 0, 1, 0, 1).item() == 204  # an image of another window is another one
