"""Patches from a bank and from the sections are the same; a bank that was cut off goes on; a damaged one is named."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from functools import partial
from threading import Timer

import numpy as np
import pytest
from bank_cases import ALONE, CONFIG, SETTINGS, images, is_same, made, pool_of
from PIL import Image
from pretrain_study import write_run

from cytomesh.core.config import load_config
from cytomesh.core.distributed import world
from cytomesh.core.errors import CytomeshError, DamagedError, ImageError, StorageError, StudyError
from cytomesh.core.run import lock
from cytomesh.core.section_log import NAME
from cytomesh.pretrain.bank import PatchBank, bank_folder
from cytomesh.pretrain.bank_index import INDEX
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.export_bank import export_bank, export_run
from cytomesh.pretrain.find_bank import POLL_S, find_patches
from cytomesh.pretrain.patches import SectionReader
from tests.processes import run_apart, start_program


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_bank_and_sections_give_the_same_patches(run):
    pool, folder, bank = made(run)
    assert isinstance(bank, PatchBank)
    assert bank.read(np.array([7, 3])).shape == (2, 1, 16, 16)
    assert is_same(bank, pool)
    files = {f"{i:06d}.npy" for i in range(len(pool.sections))}
    assert {path.name for path in folder.iterdir()} == {INDEX, NAME, *files}
    written = times(folder)
    made(run)
    assert times(folder) == written
    data, freshness = images(run)
    find_patches(run, pool, CONFIG, data, "vit", freshness, ALONE, resume=False)
    assert all(times(folder)[name] != time_ns for name, time_ns in written.items())


def test_what_is_too_large_is_read_from_the_sections_unless_it_was_exported(run):
    _, folder, source = made(run, bank_gib=1e-6)
    assert isinstance(source, SectionReader) and not folder.exists()
    settings = load_config(PretrainConfig, None, [*SETTINGS, "patches.bank_gib=0"])
    done = export_run(run, settings, workers=1)
    pool, folder, bank = made(run, bank_gib=0.0)
    assert done == {"bank": str(folder), "patches": len(pool), "sections": len(pool.sections), "gib": 0.0}
    assert isinstance(bank, PatchBank) and is_same(bank, pool)
    written = times(folder)
    data, freshness = images(run)
    config = CONFIG.model_copy(update={"bank_gib": 0.0})
    assert isinstance(find_patches(run, pool, config, data, "vit", freshness, ALONE, resume=False), PatchBank)
    assert times(folder) == written  # a training does not make anew what it would not make


def test_banks_of_other_images_and_of_earlier_settings_are_removed(run):
    _, first, _ = made(run)
    _, second, _ = made(run, size_px=10)
    data, freshness = images(run)
    exported = export_bank(run, pool_of(run), CONFIG.model_copy(update={"size_px": 8}), data, "", freshness)
    assert not first.exists() and second.exists() and exported.exists()
    image = pool_of(run).sections[0].image
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    (run / "patches" / ".partial-1-x.npy").touch()
    (run / "patches" / "0123456789abcdef.npy").touch()  # of an earlier version
    pool, folder, bank = made(run)
    assert is_same(bank, pool)
    assert {path.name.partition(".")[0] for path in (run / "patches").iterdir()} == {folder.name}


def test_an_export_that_was_killed_goes_on(run, tmp_path):
    pool, (data, _) = pool_of(run), images(run)
    folder = bank_folder(run, CONFIG, data)
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    process = start_program(tmp_path / "errors.txt", "patches", "export", "--out", run, *words, "--workers", 1)
    while len(list(folder.glob("0*.npy"))) < 3:
        assert process.is_alive(), (tmp_path / "errors.txt").read_text()
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (folder / INDEX).exists()
    before = times(folder)
    states = [json.loads(line) for line in (folder / NAME).read_text().split("\n")[1:-1]]
    finished = {state["result"]["file"] for state in states}
    # another training goes by; it does not take what was begun away
    made(run, size_px=10)
    pool, folder, bank = made(run)
    after = times(folder)
    assert finished and all(before[name] == after[name] for name in finished)
    assert is_same(bank, pool)
    went_on = {path.name: path.read_bytes() for path in folder.glob("*.npy")}
    data, freshness = images(run)
    find_patches(run, pool, CONFIG, data, "vit", freshness, ALONE, resume=False)
    assert {path.name: path.read_bytes() for path in folder.glob("*.npy")} == went_on


def test_only_what_has_changed_is_extracted_again(run):
    _, first, _ = made(run)
    files = {path.name: path.stat().st_ino for path in first.glob("*.npy")}
    image = pool_of(run).sections[1].image
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    pool, second, bank = made(run)
    assert second != first and not first.exists() and is_same(bank, pool)
    again = {path.name for path in second.glob("*.npy") if path.stat().st_ino != files[path.name]}
    assert again == {"000001.npy"}


def test_all_that_cannot_be_read_is_named_and_the_rest_is_kept(run, cytomesh):
    bad = [pool_of(run).sections[number] for number in (1, 4)]
    whole = [part.image.read_bytes() for part in bad]
    for part in bad:
        part.image.write_bytes(part.image.read_bytes()[:300])
    words = ["patches", "export", "--out", run, "--workers", 1]
    words += [word for setting in SETTINGS for word in ("--set", setting)]
    code, _, err = cytomesh(*words)
    assert code == 1 and str(bad[0].image) in err and str(bad[1].image) not in err
    code, _, err = cytomesh(*words, "--on-bad-section", "skip")
    assert code == 1 and all(str(part.image) in err for part in bad) and "2 of" in err
    (folder,) = (path for path in (run / "patches").iterdir() if path.is_dir())
    files = {path.name: path.stat().st_ino for path in folder.glob("*.npy")}
    assert not (folder / INDEX).exists()
    for part, content in zip(bad, whole, strict=True):
        part.image.write_bytes(content)
    assert cytomesh(*words)[0] == 0
    pool, folder, bank = made(run, bank_gib=0.0)
    assert is_same(bank, pool)
    again = {path.name for path in folder.glob("*.npy") if files.get(path.name) != path.stat().st_ino}
    assert again == {"000001.npy", "000004.npy"}


def test_grey_and_colour_mixed_stop_the_export(run):
    image = pool_of(run).sections[1].image
    Image.open(image).convert("RGB").save(image)
    with pytest.raises(StudyError, match=r"1 channel\(s\) in .* and 3 in"):
        export_run(run, load_config(PretrainConfig, None, SETTINGS), workers=1)


def test_banks_of_the_first_format_are_read(run):
    """Without key, and without digests of the files."""
    pool, folder, _ = made(run)
    index = json.loads((folder / INDEX).read_text())
    assert index.pop("key") == folder.name and all(section.pop("sha256") for section in index["sections"])
    (folder / INDEX).write_text(json.dumps(index | {"format": 1}))
    written = times(folder)
    assert is_same(made(run)[2], pool) and times(folder) == written


@pytest.mark.parametrize("harm", ["cut", "other", "index", "pool", "gone"])
def test_a_damaged_bank_is_named(run, harm):
    pool, folder, _ = made(run)
    shard = folder / "000001.npy"
    if harm == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif harm == "other":
        size = shard.stat().st_size
        np.save(shard, np.zeros((size - 128) // 2, np.uint16))
        assert shard.stat().st_size == size
    elif harm == "gone":
        shard.unlink()
    elif harm == "index":
        (folder / INDEX).write_text("{}")
    else:
        index = json.loads((folder / INDEX).read_text())
        index["sections"][0]["patches"] += 1
        (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(DamagedError, match=rf"(?s){folder.name}.*remove {folder}"):
        made(run)[2].read(np.arange(len(pool)))


def test_sections_are_copied_once_to_a_disk_of_the_machine(run, tmp_path):
    cache = tmp_path / "ssd"
    pool, folder, bank = made(run, cache_dir=cache)
    first = np.flatnonzero(pool.section == 0)
    bank.read(first)
    (copy,) = cache.rglob("*.npy")
    assert copy.read_bytes() == (folder / "000000.npy").read_bytes()
    written = copy.stat().st_mtime_ns
    made(run, cache_dir=cache)[2].read(first)
    assert copy.stat().st_mtime_ns == written
    copy.write_bytes(b"cut off")
    assert is_same(made(run, cache_dir=cache)[2], pool)
    assert len(list(cache.rglob("*.npy"))) == len(pool.sections)
    shutil.rmtree(folder)
    made(run, size_px=10, cache_dir=cache)
    assert not list(cache.rglob("*.npy"))  # of a bank that is no more


def _read_without_room(run, cache):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with pytest.raises(StorageError, match=r"(?s)patches\.cache_dir: found file too large.*another folder"):
        made(run, cache_dir=cache)[2].read(np.arange(40))


def test_a_cache_without_room_is_named(run, tmp_path):
    made(run)
    run_apart(partial(_read_without_room, run, tmp_path / "ssd"))
    assert not list((tmp_path / "ssd").rglob("*.npy"))


def test_where_the_cache_is_does_not_change_what_is_trained():
    here = load_config(PretrainConfig, None, [])
    there = load_config(PretrainConfig, None, ["patches.cache_dir=/scratch"])
    assert here.model_dump() == there.model_dump() and str(there.patches.cache_dir) == "/scratch"


def _read(folder, run, broken):
    with world("cpu") as here:
        pool, (data, freshness) = pool_of(run), images(run)
        source = find_patches(run, pool, CONFIG, data, "vit", freshness if here.is_main else None, here)
        assert isinstance(source, PatchBank)
        np.save(folder / f"rank{here.rank}.npy", source.read(np.arange(0, len(pool), 7)))


def test_ranks_read_what_the_first_extracts(run, tmp_path, gloo):
    gloo(_read, 2, tmp_path, run, False)
    expected = SectionReader(pool_of(run), CONFIG).read(np.arange(0, len(pool_of(run)), 7))
    for rank in range(2):
        assert np.array_equal(np.load(tmp_path / f"rank{rank}.npy"), expected)


def test_ranks_wait_for_another_process_that_extracts(run, tmp_path, gloo):
    held = lock(run, "patches")
    held.__enter__()
    released = []

    def release():
        released.append(time.time_ns())
        held.__exit__(None, None, None)

    timer = Timer(4 * POLL_S, release)
    timer.start()
    gloo(_read, 2, tmp_path, run, False)
    assert all((tmp_path / f"rank{rank}.npy").stat().st_mtime_ns > released[0] for rank in range(2))


def _fail(run, said):
    try:
        _read(said, run, True)
    except CytomeshError as error:
        (said / f"{os.environ['RANK']}.txt").write_text(f"{type(error).__name__}: {error}")


def test_ranks_don_t_wait_for_one_that_failed(run, tmp_path, gloo):
    image = pool_of(run).sections[2].image
    image.write_bytes(image.read_bytes()[:300])
    gloo(_fail, 2, run, tmp_path)
    assert (tmp_path / "0.txt").read_text().startswith(ImageError.__name__)
    assert "another rank" in (tmp_path / "1.txt").read_text()
