import os
import signal
import struct
from contextlib import contextmanager

import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import CheckpointError, ConfigError, CytomeshError, DamagedError, MissingStageError
from cytomesh.core.files import open_npy, read_json
from cytomesh.core.reading import command, reading, refuse_no_safetensors, regular_size, way_back
from cytomesh.core.tables import Table, read_table, write_table
from cytomesh.pretrain.config import EmbedConfig
from cytomesh.study.tables import read_cells


@contextmanager
def at_once():
    """Fail, instead of waiting for a pipe for ever."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(5)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["pipe", "device", "folder", "loop"])
def no_file(request, tmp_path):
    path = tmp_path / "a.json"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "folder":
        path.mkdir()
    else:
        path.symlink_to(path)
    return path


def test_what_is_no_file_is_named_and_never_opened(no_file):
    with at_once():
        with pytest.raises(OSError, match=r"a\.json"):
            regular_size(no_file)
        with pytest.raises(DamagedError, match=r"a\.json: found a file that cannot be read"):
            read_json(no_file)
        with pytest.raises(DamagedError, match=r"a\.json"):
            read_table(no_file)
        with pytest.raises(ConfigError, match=r"a\.json: found a file that cannot be read"):
            load_config(EmbedConfig, no_file)
        with pytest.raises(OSError, match=r"a\.json"):
            read_cells(no_file)


def test_sizes_and_impossible_names(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(100))
    assert regular_size(path, 100) == 100
    with pytest.raises(OSError, match="at most"):
        regular_size(path, 99)
    for name in ("a\0b", "none"):
        with pytest.raises(FileNotFoundError):
            regular_size(tmp_path / name)
    with pytest.raises(OSError, match="too long"):
        regular_size(tmp_path / ("n" * 5000))


def test_one_error_with_the_file_and_the_way_out(tmp_path):
    path = tmp_path / "run" / "features" / "cnn" / "B01_hemi-L.npy"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    run = tmp_path / "run"
    with pytest.raises(CheckpointError) as caught, reading(path, CheckpointError, expected="an array"):
        raise KeyError("a")
    assert str(caught.value) == (
        f"{path}: found a file that cannot be read (KeyError: 'a'), expected an array. Way out: copy it again, or run "
        f"'cytomesh embed --out {run} --encoder cnn --no-resume'"
    )
    with pytest.raises(CheckpointError) as caught, reading(path, CheckpointError):
        raise OSError(f"cannot read '{path}', twice {path}")
    assert str(caught.value).count(path.name) == 1 and "(OSError: cannot read , twice)" in str(caught.value)
    with pytest.raises(DamagedError, match=r"B01_hemi-L\.npy: mesh: vertex 3: found NaN"), reading(path):
        raise CytomeshError("mesh", "vertex 3", found="NaN")
    with pytest.raises(CytomeshError, match=r"^/elsewhere/b: found no colour$"), reading(path):
        raise CytomeshError("/elsewhere/b", found="no colour")
    with pytest.raises(KeyboardInterrupt), reading(path):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("run/graphs/B01_hemi-L/qc.json", "build-graph STUDY.yaml --out run --no-resume"),
        ("run/classify/gat/metrics.json", "classify --out run --name gat --no-resume"),
        ("features/run/encoders/cnn/config.yaml", "pretrain --out features/run --name cnn --no-resume"),
    ],
)
def test_the_command_that_makes_a_file_anew(tmp_path, monkeypatch, path, command):
    monkeypatch.chdir(tmp_path)
    assert f"'cytomesh {command}'" in way_back((tmp_path / path).relative_to(tmp_path))
    assert "cytomesh" not in way_back(tmp_path / "elsewhere" / "a.json")


def test_imported_graphs_and_their_features_are_imported_again(tmp_path):
    record = tmp_path / "graphs" / "B01_hemi-L" / "provenance.json"
    record.parent.mkdir(parents=True)
    for text, word in (('{"image": 1}', "embed"), ('{"imported file: pial": 1}', "graph import SURFACES.yaml")):
        record.write_text(text)
        assert command(tmp_path, "features", "maps").startswith(f"cytomesh {word} --out {tmp_path}")
    assert command(tmp_path, "classify", "gat") == f"cytomesh classify --out {tmp_path} --name gat"
    record.unlink()
    os.mkfifo(record)
    with at_once():
        assert "build-graph" in command(tmp_path, "graphs")


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', "[" * 100_000, "1" * 10_000, "\ud800"])
def test_damaged_json(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DamagedError, match=r"a\.json: found a file that cannot be read"):
        read_json(path)
    with pytest.raises(MissingStageError, match=r"b\.json"):
        read_json(tmp_path / "b.json")


def test_a_flipped_bit_of_a_table_is_found_by_its_checksum(tmp_path):
    import numpy as np

    path = tmp_path / "a.parquet"
    write_table(path, Table({"x": np.random.default_rng(0).random(1000)}))
    whole = path.read_bytes()
    assert len(read_table(path, needs=("x",))) == 1000
    for at in range(100, 7000, 500):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DamagedError, match=r"a\.parquet: found a file that cannot be read"):
            read_table(path)
    path.write_bytes(whole)
    with pytest.raises(DamagedError, match="no column y"):
        read_table(path, needs=("x", "y"))


def test_heads_that_say_more_than_the_file_holds(tmp_path):
    path = tmp_path / "a"
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="a head of 1,099,511,627,776 bytes in a file of 10"):
        refuse_no_safetensors(path)
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1))
    with pytest.raises(ValueError, match="version"):
        open_npy(path)
