import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cytomesh.core.files import atomic_path, digest, read_json, write_array, write_json


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError, match="halfway"), atomic_path(path) as temporary:
        temporary.write_text("{")
        raise RuntimeError("halfway")
    assert read_json(path) == {"x": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_directories_are_replaced_whole(tmp_path):
    path = tmp_path / "image.zarr"
    for content in ("old", "new"):
        with atomic_path(path) as temporary:
            (temporary / "0").mkdir(parents=True)
            (temporary / "0" / content).write_text(content)
    assert [p.name for p in (path / "0").iterdir()] == ["new"]


def test_killed_writer_never_leaves_half_a_file(tmp_path):
    path = tmp_path / "big.npy"
    write_array(path, np.zeros(10))
    code = (
        "import sys, pathlib, numpy as np\n"
        "from cytomesh.core.files import write_array\n"
        "print('go', flush=True)\n"
        "while True: write_array(pathlib.Path(sys.argv[1]), np.ones(3_000_000))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(0.15)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    array = np.load(path)
    assert array.shape in ((10,), (3_000_000,))
    assert (array == array[0]).all()


def test_json_is_strict_and_takes_numpy(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": np.float32(0.5), "b": np.arange(3), "c": float("nan"), 3: tmp_path})
    assert read_json(path) == {"a": 0.5, "b": [0, 1, 2], "c": None, "3": str(tmp_path)}


def test_digest_sees_values_shapes_and_types():
    a = np.arange(6)
    keys = {
        digest(a),
        digest(a.reshape(2, 3)),
        digest(a.astype(np.float32)),
        digest(a + 1),
        digest({"a": 1}),
        digest({"a": 2}),
    }
    assert len(keys) == 6
    assert digest({"a": 1, "b": 2}, a) == digest({"b": 2, "a": 1}, a.copy())
