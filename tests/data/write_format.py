"""Write a small run directory to be kept, and beside it what reading it must give.

    python -m tests.data.write_format tests/data/format-<N>

Called once for each new version of a stored format (see `cytomesh.core.formats`), by the program that introduced it.
Folders that are there already are never written again: they stand for files that people have.

format-0: written by commit b43644e, before there were versions (this script copied into a checkout of it).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cytomesh.classify.config import ClassifyConfig, PredictConfig
from cytomesh.classify.predict import predict_run
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.files import write_array, write_json
from cytomesh.core.tables import read_table
from cytomesh.graph.features import load_features
from cytomesh.graph.storage import load_graph
from cytomesh.pretrain.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.export import load_encoder
from cytomesh.pretrain.run import pretrain_run
from tests.pretrain.pretrain_study import write_run

CONFIGS = Path(__file__).parents[2] / "configs"
GRAPH = "T01_hemi-L"
ENCODER = "small"
CHECKPOINT = Path("checkpoints") / "step-00000003.pt"
ENCODER_SETTINGS = [
    # batch norm, whose running statistics are no parameters; mean and SD other than by default
    "encoder={name: test_resnet, options: {stem_width: 4, channels: [4, 6, 6, 8]}}",
    "augment={mean: 0.4, std: 0.3}",
    "schedule={steps: 3, warmup_steps: 1}",
    "device=cpu",
    "threads=1",
]
INPUTS = f"inputs={{names: [features:{ENCODER}, coordinates], hops: [0, 1]}}"
CLASSIFIERS = {
    "lda": ["model={kind: lda}", INPUTS],
    "mlp": [
        "model={kind: mlp, hidden: 8, layers: 1}",
        "training={epochs: 20}",
        "crf={hops: [1], weight: 0.3}",
        "calibration=temperature",
        "n_seeds=1",
        "device=cpu",
        INPUTS,
    ],
}
CLASSIFIER_FILES = ("model.json", "seed-0.safetensors", "scaling.safetensors")
KEPT = [
    *(f"graphs/{GRAPH}/{name}" for name in ("midthickness.surf.gii", "nodes.parquet", "labels.tsv", "qc.json")),
    *(f"features/{ENCODER}/{GRAPH}{end}" for end in (".npy", ".json")),
    *(f"encoders/{ENCODER}/{name}" for name in ("model.safetensors", "config.yaml")),
    *(f"classify/{name}/{file}" for name in CLASSIFIERS for file in CLASSIFIER_FILES),
]


def write_format(folder: Path) -> None:
    """Train on three small brains, keep what one of them needs, and record what is read from that."""
    if folder.exists():
        raise SystemExit(f"{folder} is kept as it is")
    with tempfile.TemporaryDirectory() as scratch:
        run = write_run(Path(scratch))
        settings = load_config(PretrainConfig, CONFIGS / "pretrain" / "tiny.yaml", ENCODER_SETTINGS)
        pretrain_run(run, ENCODER, settings)
        embed_run(run, ENCODER, EmbedConfig(device="cpu"))
        for name, overrides in CLASSIFIERS.items():
            classify_run(run, name, load_config(ClassifyConfig, None, overrides))
        for name in KEPT:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / name, folder / name)
    weights = {"weight": torch.arange(3.0)}
    checkpoint = Checkpoint("key", 3, weights, {"state": {0: torch.ones(2)}}, {}, {}, {"best": 0.5})
    save_checkpoint(folder / CHECKPOINT.parent, checkpoint, keep=1)
    write_array(folder / "patches.npy", np.random.default_rng(0).integers(0, 256, (4, 1, 32, 32), np.uint8))
    write_json(folder / "expected.json", read_values(folder))


def read_values(folder: Path) -> dict[str, Any]:
    """Return numbers of everything in a kept folder, read and used as the program does."""
    graph = load_graph(folder / "graphs" / GRAPH)
    features = load_features(folder, ENCODER, graph)
    patches = torch.from_numpy(np.load(folder / "patches.npy"))
    checkpoint = load_checkpoint(folder / CHECKPOINT)
    return {
        "graph": {
            "name": graph.name,
            "brain_role": graph.brain_role,
            "areas": list(graph.labels.names),
            "annotated": np.bincount(graph.annotation),
            "roles": {role: int((graph.section_role == role).sum()) for role in ("train", "val", "test", "none")},
            "edges": int(graph.adjacency.nnz),
            "reference": graph.reference.mean(axis=0),
            "pmap": np.asarray(graph.pmap.sum(axis=0)).ravel(),
            "units": dict(graph.nodes.units),
        },
        "features": {"shape": features.shape, "mean": np.nanmean(features, axis=0)},
        "encoder": load_encoder(folder / "encoders" / ENCODER).embed(patches).numpy(),
        "classifiers": {name: predicted(folder, name) for name in CLASSIFIERS},
        "checkpoint": {
            "key": checkpoint.key,
            "step": checkpoint.step,
            "weight": checkpoint.model["weight"].numpy(),
            "score": checkpoint.score,
        },
    }


def predicted(folder: Path, name: str) -> dict[str, Any]:
    """Return what a kept classifier says of the kept graph."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch)
        for part in ("graphs", "features"):
            shutil.copytree(folder / part, run / part)
        predict_run(run, folder / "classify" / name, "kept", PredictConfig(outlines=False))
        table = read_table(run / "classify" / "kept" / "predictions" / f"{GRAPH}.parquet")
    return {column: np.asarray(table[column]) for column in ("area", "confidence", "input_quantile")}


if __name__ == "__main__":
    write_format(Path(sys.argv[1]))
