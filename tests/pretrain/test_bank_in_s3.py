"""Banks are put into a real S3 server, and read there; skipped where moto, or s3fs, is not installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from bank_cases import SETTINGS, is_same, made, pool_of
from PIL import Image
from pretrain_study import write_run

from cytomesh.core.config import load_config
from cytomesh.core.errors import AddressError, ImageError, StorageError
from cytomesh.core.section_log import NAME
from cytomesh.pretrain import export_bank as exporting
from cytomesh.pretrain.bank import PatchBank
from cytomesh.pretrain.bank_index import INDEX
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.export_bank import export_run
from cytomesh.pretrain.remote_bank import RemoteBank
from tests.processes import start_program
from tests.s3_server import BUCKET

s3fs = pytest.importorskip("s3fs")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages behind it
HOME = f"s3://{BUCKET}/banks"


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


@pytest.fixture
def puts(s3):
    """How often each object of the bucket was put since the test began: the bucket keeps all versions."""
    s3.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def listed() -> Counter[str]:
        return Counter(item["Key"] for item in s3.client.list_object_versions(Bucket=BUCKET).get("Versions", []))

    before = listed()
    yield lambda: Counter({key.rpartition("/")[2]: n for key, n in (listed() - before).items()})
    for key in s3.names():
        s3.client.delete_object(Bucket=BUCKET, Key=key)


def export(run: Path, address: str = HOME, **options: object) -> dict[str, object]:
    settings = load_config(PretrainConfig, None, [*SETTINGS, f"patches.bank_address={address}"])
    return export_run(run, settings, workers=1, **options)


def all_once(run: Path) -> Counter[str]:
    return Counter([INDEX, *(f"{number:06d}.npy" for number in range(len(pool_of(run).sections)))])


def test_a_bank_is_put_there_and_read_there(run, s3, puts, tmp_path):
    done = export(run)
    assert puts() == all_once(run)
    pool, folder, bank = made(run, bank_address=HOME)
    assert done["bank"] == f"{HOME}/{folder.name}" and done["patches"] == len(pool)
    assert {path.name for path in folder.iterdir()} == {INDEX, NAME}
    assert isinstance(bank, RemoteBank) and is_same(bank, pool)
    copied = made(run, bank_address=HOME, cache_dir=tmp_path / "ssd")[2]
    assert isinstance(copied, PatchBank) and is_same(copied, pool)
    assert export(run) == done and puts() == all_once(run)
    # another machine, which has the graphs only
    shutil.rmtree(run / "patches")
    assert export(run) == done and puts() == all_once(run)
    assert isinstance(made(run)[2], RemoteBank)
    before = (run / "patches" / folder.name / INDEX).read_bytes()
    export(run, resume=False)
    assert puts() == all_once(run) + all_once(run)
    assert (run / "patches" / folder.name / INDEX).read_bytes() == before


def test_an_export_that_was_killed_goes_on(run, s3, puts, tmp_path):
    settings = [word for setting in [*SETTINGS, f"patches.bank_address={HOME}"] for word in ("--set", setting)]
    words = ("patches", "export", "--out", run, *settings, "--workers", 1)
    process = start_program(tmp_path / "errors.txt", *words, **s3.environment)
    while len(s3.names("banks")) < 3:
        assert process.is_alive(), (tmp_path / "errors.txt").read_text()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (folder,) = (path for path in (run / "patches").iterdir() if path.is_dir())
    assert INDEX not in puts() and not (folder / INDEX).exists()
    lines = [json.loads(line) for line in (folder / NAME).read_text().split("\n")[1:-1]]
    finished = {line["result"]["file"].rpartition("/")[2] for line in lines}
    assert finished
    export(run)
    assert set(puts()) == set(all_once(run)) and all(puts()[name] == 1 for name in (*finished, INDEX))
    pool, folder, bank = made(run, bank_address=HOME)
    assert is_same(bank, pool)
    assert {path.name for path in folder.iterdir()} == {INDEX, NAME}


def test_what_was_extracted_to_disk_is_put_without_its_images(run, s3, puts, monkeypatch):
    pool, folder, bank = made(run)
    rows = np.arange(len(pool))
    expected = bank.read(rows)
    monkeypatch.setattr(exporting, "read_section", None)
    export(run)
    assert puts() == all_once(run)
    assert {path.name for path in folder.iterdir()} == {INDEX, NAME}
    bank = made(run)[2]
    assert isinstance(bank, RemoteBank) and np.array_equal(bank.read(rows), expected)
    # within the store, too
    export(run, f"{HOME}/elsewhere")
    assert np.array_equal(made(run, bank_address=f"{HOME}/elsewhere")[2].read(rows), expected)


def test_only_what_has_changed_is_extracted_again(run, s3, puts, monkeypatch):
    export(run)
    image = pool_of(run).sections[1].image
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    read, read_section = [], exporting.read_section
    monkeypatch.setattr(exporting, "read_section", lambda *given: (read.append(given), read_section(*given))[1])
    export(run)
    assert len(read) == 1
    pool, folder, bank = made(run, bank_address=HOME)
    assert is_same(bank, pool)
    assert [path.name for path in (run / "patches").iterdir() if path.is_dir()] == [folder.name]
    assert len({key.split("/")[1] for key in s3.names("banks")}) == 2  # nothing there is removed


def test_a_file_that_is_lost_or_spoilt_is_put_again(run, s3, puts):
    folder = run / "patches" / str(export(run)["bank"]).rpartition("/")[2]
    key = f"banks/{folder.name}"
    s3.client.delete_object(Bucket=BUCKET, Key=f"{key}/000002.npy")
    s3.client.put_object(Bucket=BUCKET, Key=f"{key}/000001.npy", Body=b"spoilt")
    before = puts()
    s3.client.delete_object(Bucket=BUCKET, Key=f"{key}/{INDEX}")
    (folder / INDEX).unlink()
    export(run)
    assert puts() - before == Counter({"000001.npy": 1, "000002.npy": 1, INDEX: 1})
    pool, _, bank = made(run, bank_address=HOME)
    assert is_same(bank, pool)


def test_a_bad_section_is_named_when_the_others_are_there(run, s3, puts):
    image = pool_of(run).sections[1].image
    whole = image.read_bytes()
    image.write_bytes(whole[:300])
    with pytest.raises(ImageError, match="1 of"):
        export(run, skip_bad=True)
    assert puts() == all_once(run) - Counter(["000001.npy", INDEX])
    image.write_bytes(whole)
    export(run)
    assert puts() == all_once(run)


@pytest.fixture
def no_s3(s3, web, monkeypatch):
    """A web server that is no S3 server, and answers as it is told to."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    yield web
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (403, "an answer of 403: it may not be written.*credentials"),
        (404, "no such bucket, while writing.*make it"),
        (501, "an answer that is an error.*try again later"),
    ],
)
def test_a_store_that_does_not_take_it_stops_at_once(run, no_s3, answer, message):
    no_s3.faults = {"000000.npy": answer}
    with pytest.raises(StorageError, match=rf"(?s)^{HOME}/\w+/000000\.npy: found {message}"):
        export(run, skip_bad=True)
    assert sum(kind == "PUT" for kind, *_ in no_s3.requests) == 1


def test_without_credentials(run, s3, monkeypatch):
    s3fs.S3FileSystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AddressError, match=rf"^{HOME}/\w+/{INDEX}: found no credentials: it may.*AWS_PROFILE"):
        made(run, bank_address=HOME)
    s3fs.S3FileSystem.clear_instance_cache()
