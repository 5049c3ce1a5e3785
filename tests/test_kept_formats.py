"""Files that earlier versions of the program wrote, and this one: all are read, with the same values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cytomesh.classify.trained import read_model
from cytomesh.core.errors import FormatError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.formats import FORMATS
from cytomesh.core.tables import read_table
from cytomesh.graph.features import load_features
from cytomesh.graph.storage import load_graph
from cytomesh.pretrain.checkpoints import load_checkpoint
from cytomesh.pretrain.export import load_encoder
from tests.data.write_format import CHECKPOINT, ENCODER, GRAPH, read_values, write_format

KEPT = sorted((Path(__file__).parent / "data").glob("format-*"), key=lambda path: int(path.name.split("-")[1]))
NODES = Path("graphs") / GRAPH / "nodes.parquet"
FEATURES = Path("features") / ENCODER / f"{GRAPH}.json"
WEIGHTS = Path("encoders") / ENCODER / "model.safetensors"
MODEL = Path("classify") / "lda" / "model.json"


def parquet_facts(path: Path) -> dict[bytes, bytes]:
    return dict(pq.read_schema(path).metadata)


def encoder_record(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        return dict(json.loads(file.metadata().get("cytomesh", "{}")))


VERSIONS: dict[str, Callable[[Path], Any]] = {
    "graph": lambda folder: parquet_facts(folder / NODES).get(b"cytomesh_format"),
    "features": lambda folder: read_json(folder / FEATURES).get("format"),
    "encoder": lambda folder: encoder_record(folder / WEIGHTS).get("format"),
    "classifier": lambda folder: read_json(folder / MODEL).get("format"),
    "checkpoint": lambda folder: torch.load(folder / CHECKPOINT, weights_only=True).get("format"),
}
"""The version that a kept file carries, read without the package."""


def assert_close(found: Any, expected: Any, place: str) -> None:
    """Compare nested values: numbers to float32's tolerance, all others exactly."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), place
        for name, value in expected.items():
            assert_close(found[name], value, f"{place}.{name}")
    elif isinstance(expected, str) or (isinstance(expected, list) and isinstance(expected[0], str)):
        assert found == expected, place
    else:
        np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=1e-4, atol=1e-5, err_msg=place)


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_kept_files_give_the_values_they_gave_when_they_were_written(folder):
    found, expected = read_values(folder), read_json(folder / "expected.json")
    assert len(expected["encoder"]) == 4
    assert set(expected["classifiers"]) == {"lda", "mlp"}
    assert_close(found, expected, folder.name)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "table"])
def test_every_version_is_kept(kind):
    """A format that gets a higher number needs kept files of it."""
    versions = [int(VERSIONS[kind](folder) or 0) for folder in KEPT]
    assert sorted(set(versions)) == list(range(FORMATS[kind] + 1))


def test_kept_files_are_small():
    assert sum(path.stat().st_size for folder in KEPT for path in folder.rglob("*") if path.is_file()) < 500_000


@pytest.mark.slow
def test_what_is_written_today_has_the_files_and_versions_of_the_last_kept_folder(tmp_path):
    write_format(tmp_path / "today")
    today, kept = ({path.relative_to(f) for path in f.rglob("*")} for f in (tmp_path / "today", KEPT[-1]))
    assert today == kept
    for kind, version in VERSIONS.items():
        assert int(version(tmp_path / "today")) == FORMATS[kind]


def set_parquet_version(path: Path, version: int) -> None:
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"cytomesh_format": str(version)}), path)


def set_json_version(path: Path, version: int) -> None:
    write_json(path, {**read_json(path), "format": version})


def set_encoder_version(path: Path, version: int) -> None:
    save_file(load_file(path), path, {"format": "pt", "cytomesh": json.dumps({"format": version, "of": "the future"})})


def set_checkpoint_version(path: Path, version: int) -> None:
    torch.save({"format": version, "of": "the future"}, path)


@pytest.mark.parametrize(
    ("kind", "file", "write", "read"),
    [
        ("graph", NODES, set_parquet_version, lambda run: load_graph(run / NODES.parent)),
        ("table", NODES, set_parquet_version, lambda run: read_table(run / NODES)),
        (
            "features",
            FEATURES,
            set_json_version,
            lambda run: load_features(run, ENCODER, load_graph(run / NODES.parent)),
        ),
        ("encoder", WEIGHTS, set_encoder_version, lambda run: load_encoder(run / WEIGHTS.parent)),
        ("classifier", MODEL, set_json_version, lambda run: read_model(run / MODEL.parent)),
        ("checkpoint", CHECKPOINT, set_checkpoint_version, lambda run: load_checkpoint(run / CHECKPOINT)),
    ],
)
def test_a_newer_version_is_one_clear_error(tmp_path, kind, file, write, read):
    run = tmp_path / "run"
    shutil.copytree(KEPT[-1], run)
    read(run)
    newer = FORMATS[kind] + 2
    write(run / file, newer)
    with pytest.raises(FormatError, match=f"{kind} format {newer}, expected format {FORMATS[kind]} or older") as caught:
        read(run)
    assert file.name in str(caught.value)
    assert "upgrade cytomesh" in caught.value.hint
