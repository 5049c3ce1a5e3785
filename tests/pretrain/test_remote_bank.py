"""Banks at addresses: the same patches as from the images, few requests, and one error that names the address."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from bank_cases import CONFIG, SETTINGS, images, is_same, made, pool_of
from pretrain_study import write_run

from cytomesh.core.config import load_config
from cytomesh.core.distributed import world
from cytomesh.core.errors import AddressError, ConfigError, DamagedError, MissingStageError
from cytomesh.core.files import read_json
from cytomesh.pretrain import remote_bank
from cytomesh.pretrain.bank import PatchBank
from cytomesh.pretrain.bank_index import INDEX
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.find_bank import find_patches
from cytomesh.pretrain.patches import SectionReader
from cytomesh.pretrain.remote_bank import RemoteBank

WORDS = [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


@pytest.fixture
def shown(run, web):
    """A bank that was made in the run, and lies on a web server now; the run knows nothing of it."""
    _, folder, _ = made(run)
    place = web.folder / "banks" / folder.name
    place.parent.mkdir()
    shutil.move(folder, place)
    web.requests.clear()
    return place


def requests(web, kind: str, suffix: str = ".npy") -> Counter[str]:
    """How often each file was asked for."""
    return Counter(path.rpartition("/")[2] for method, path, _ in web.requests if method == kind and suffix in path)


def test_rows_are_read_from_a_web_server(run, web, shown):
    pool, folder, bank = made(run, bank_address=f"{web.url}/banks")
    assert isinstance(bank, RemoteBank) and is_same(bank, pool)
    assert [path.name for path in folder.iterdir()] == [INDEX]
    files = {f"{number:06d}.npy" for number in range(len(pool.sections))}
    # one question for the size of each, and one for the rows
    assert requests(web, "HEAD") == requests(web, "GET") == Counter(files)
    web.requests.clear()
    is_same(bank, pool)
    assert requests(web, "HEAD") == Counter() and requests(web, "GET") == Counter(files)
    shutil.rmtree(web.folder / "banks" / folder.name)
    # the run knows its bank now
    assert isinstance(made(run)[2], RemoteBank)


def test_only_the_rows_of_a_batch_are_read(run, web, shown, monkeypatch):
    monkeypatch.setattr(remote_bank, "BLOCK_BYTES", 0)
    pool, _, bank = made(run, bank_address=f"{web.url}/banks")
    web.requests.clear()
    places = [3, 4, 9, 4]
    row = np.flatnonzero(pool.section == 1)[places]
    expected = SectionReader(pool, CONFIG).read(row)
    np.testing.assert_array_equal(bank.read(row), expected)
    head = (shown / "000001.npy").stat().st_size - int((pool.section == 1).sum()) * 256
    asked = {span for method, _, span in web.requests if method == "GET"}
    assert asked == {f"bytes={head + 256 * first}-{head + 256 * stop - 1}" for first, stop in ((3, 5), (9, 10))}
    monkeypatch.setattr(remote_bank, "BLOCK_BYTES", 4 * 256)
    web.requests.clear()
    np.testing.assert_array_equal(bank.read(row), expected)
    assert [span for *_, span in web.requests] == [f"bytes={head + 256 * 3}-{head + 256 * 10 - 1}"]


def _read(folder: Path, run: Path, address: str) -> None:
    with world("cpu") as here:
        pool, (data, freshness) = pool_of(run), images(run)
        config = CONFIG.model_copy(update={"bank_address": address, "cache_dir": folder / "ssd"})
        bank = find_patches(run, pool, config, data, "vit", freshness if here.is_main else None, here)
        assert isinstance(bank, PatchBank)
        np.save(folder / f"rank{here.rank}.npy", bank.read(np.arange(len(pool))))


def test_ranks_of_a_machine_fetch_each_file_once(run, web, shown, tmp_path, gloo):
    gloo(_read, 2, tmp_path, run, f"{web.url}/banks")
    pool = pool_of(run)
    expected = SectionReader(pool, CONFIG).read(np.arange(len(pool)))
    for rank in range(2):
        assert np.array_equal(np.load(tmp_path / f"rank{rank}.npy"), expected)
    assert requests(web, "GET") == Counter(f"{number:06d}.npy" for number in range(len(pool.sections)))
    web.faults = {".npy": 503}
    assert is_same(made(run, cache_dir=tmp_path / "ssd")[2], pool)  # copies need no server


DAMAGE = {
    403: (AddressError, "403: it may not be read"),
    "cut": (AddressError, "cut off"),
    "gone": (DamagedError, rf"(no such|No such) file.*remove {INDEX} there and"),
    "longer": (DamagedError, rf"[\d,]+ bytes.*expected [\d,]+ bytes, as {INDEX} says.*remove {INDEX} there and"),
    "other": (DamagedError, rf"another content than the index says.*remove {INDEX} there and"),
}
# the digest of a file of which rows are read is not known
CASES = [(damage, is_cached) for damage in DAMAGE for is_cached in (True, False) if is_cached or damage != "other"]


@pytest.mark.parametrize(("damage", "is_cached"), CASES)
def test_a_file_that_is_not_as_it_was_put_is_named(run, web, shown, tmp_path, damage, is_cached):
    cache = tmp_path / "ssd" if is_cached else None
    pool, _, bank = made(run, bank_address=f"{web.url}/banks", cache_dir=cache)
    file = shown / "000001.npy"
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage in ("longer", "other"):
        file.write_bytes(whole + b"x" if damage == "longer" else bytes(len(whole)))
    else:
        web.faults = {file.name: damage}
    kind, message = DAMAGE[damage]
    with pytest.raises(kind, match=rf"(?s)^{web.url}/banks/{shown.name}/{file.name}: .*{message}"):
        bank.read(np.arange(len(pool)))
    assert cache is None or not list(cache.rglob(file.name))
    web.faults = {}
    file.write_bytes(whole)
    assert is_same(bank, pool)


def test_banks_of_other_settings_and_of_other_images_are_refused_by_name(run, web, shown, tmp_path, cytomesh):
    address = f"{web.url}/banks"
    words = ("--set", f"patches.bank_address={address}", "--set", "patches.size_px=10")
    with pytest.raises(MissingStageError, match=rf"^{address}/\w+: found no finished bank of these settings.*export"):
        made(run, size_px=10, bank_address=address)
    code, _, err = cytomesh("patches", "export", "--out", run, *WORDS, *words)
    assert code == 1 and address in err and "read only" in err
    other = write_run(tmp_path / "other", n_channels=3)
    with pytest.raises(MissingStageError, match=rf"{address}/\w+: found no finished bank"):
        made(other, bank_address=address)
    _, folder, _ = made(run, size_px=10)
    shutil.rmtree(folder)
    shutil.copytree(shown, shown.with_name(folder.name))
    with pytest.raises(DamagedError, match=rf"{address}/{folder.name}/{INDEX}.*bank {shown.name}, of other settings"):
        made(run, size_px=10, bank_address=address)
    index = read_json(shown / INDEX)
    for spoilt, message in (
        ({"sections": index["sections"][1:]}, "of another pool"),
        ({"shape": [1, 10**6, 10**6]}, "no arrays of such patches"),
        ({"format": 9}, "of another version"),
    ):
        (shown / INDEX).write_text(json.dumps({**index, **spoilt}))
        with pytest.raises(DamagedError, match=rf"{address}/{shown.name}/{INDEX}.*{message}"):
            made(run, bank_address=address)
    web.faults = {INDEX: 403}
    with pytest.raises(AddressError, match=rf"{address}/{shown.name}/{INDEX}.*403"):
        made(run, bank_address=address)


def test_where_a_bank_lies_does_not_change_what_is_trained():
    here, there = (load_config(PretrainConfig, None, words) for words in ([], ["patches.bank_address=s3://b/banks"]))
    assert here.model_dump() == there.model_dump() and there.patches.bank_address == "s3://b/banks"
    with pytest.raises(ConfigError, match=r"patches\.bank_address.*no address"):
        load_config(PretrainConfig, None, ["patches.bank_address=banks"])
