"""Patches from the bank and from the sections are the same, in the order asked for."""

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
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.patches import PatchBank, SectionReader, build_bank, count_channels, images_of, open_patches
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


def test_bank_and_sections_give_the_same_patches(run, pool):
    data, freshness = images(run)
    assert isinstance(open_patches(run, pool, CONFIG, data), SectionReader)
    build_bank(run, pool, CONFIG, data, "vit", freshness)
    bank = open_patches(run, pool, CONFIG, data)
    assert isinstance(bank, PatchBank)
    rows = np.random.default_rng(0).integers(0, len(pool), 50)
    found = bank.read(rows)
    assert found.shape == (50, 1, 16, 16)
    assert np.array_equal(found, SectionReader(pool, CONFIG).read(rows))
    changed = (run / "patches").stat().st_mtime_ns
    build_bank(run, pool, CONFIG, data, "vit", freshness)
    assert (run / "patches").stat().st_mtime_ns == changed
    build_bank(run, pool, CONFIG, data, "vit", freshness, resume=False)
    assert (run / "patches").stat().st_mtime_ns != changed


@pytest.mark.parametrize("by_bank", [False, True])
def test_sixteen_bits_in_the_window_of_their_brain_give_the_patches_of_eight(tmp_path, run, pool, by_bank):
    run = shutil.copytree(run.parent, tmp_path / "moved") / "run"
    for image in (run.parent / "study").glob("*/*.png"):
        Image.fromarray(np.asarray(Image.open(image)).astype(np.uint16) * 16 + 70).save(image)
    manifest = run.parent / "study" / "study.yaml"
    before = images(run)[0]
    manifest.write_text(manifest.read_text() + "image: {window: [70, 4150]}\n")
    deep = build_pool(open_study(manifest), load_graphs(run), ("train", "transfer"))
    data, freshness = images(run)
    assert all(line.startswith("image.window of") for line in before.changes(data)) and before.changes(data)
    if by_bank:
        build_bank(run, deep, CONFIG, data, "vit", freshness)
    source = open_patches(run, deep, CONFIG, data)
    assert isinstance(source, PatchBank if by_bank else SectionReader)
    rows = np.random.default_rng(0).integers(0, len(pool), 50)
    assert np.array_equal(source.read(rows), SectionReader(pool, CONFIG).read(rows))


def test_a_bank_of_other_images_is_removed(tmp_path):
    run = write_run(tmp_path)
    pool = build_pool(open_study(read_study_path(run)), load_graphs(run), ("train", "transfer"))
    data, freshness = images(run)
    build_bank(run, pool, CONFIG, data, "vit", freshness)
    image = pool.sections[0].image
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    (run / "patches" / ".partial-1-x.npy").touch()
    now, freshness = images(run)
    assert isinstance(open_patches(run, pool, CONFIG, now), SectionReader)
    build_bank(run, pool, CONFIG, now, "vit", freshness)
    bank = open_patches(run, pool, CONFIG, now)
    rows = np.arange(len(pool))
    assert np.array_equal(bank.read(rows), SectionReader(pool, CONFIG).read(rows))
    assert len(list((run / "patches").iterdir())) == 2  # the bank and its record


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


def test_bank_too_large_is_not_built(run, pool):
    config = CONFIG.model_copy(update={"size_px": 20, "bank_gib": 1e-6})
    data, freshness = images(run)
    build_bank(run, pool, config, data, "vit", freshness)
    assert isinstance(open_patches(run, pool, config, data), SectionReader)


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
