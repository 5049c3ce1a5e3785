"""All stages with small settings on a small study, for tests of what is kept and what is made again.

    python -m tests.provenance_chain FOLDER

makes both there, as the suite does when it begins.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from filelock import FileLock

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.digests import content_digest
from cytomesh.core.tables import read_table
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.freshness import record_path
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.write import write_phantom
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.run import pretrain_run
from cytomesh.surface.gifti import read_surface, write_scalars, write_surface
from cytomesh.surface.mesh import Mesh
from tests.processes import run_apart

GRAPHS = ("graphs/T01_hemi-L", "graphs/T02_hemi-L")
FEATURES = ("features/vit/T01_hemi-L", "features/vit/T02_hemi-L")
ENCODER, AREAS, PARCELS = "encoders/vit", "classify/linear", "parcellate/parcels"
ALL = (*GRAPHS, ENCODER, *FEATURES, AREAS, PARCELS)


@dataclass(frozen=True)
class Chain:
    """All stages with small settings, on one study."""

    study: Path
    run: Path
    graph: tuple[str, ...] = ()
    encoder: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    parcels: tuple[str, ...] = ()

    def settings(self) -> dict[str, object]:
        pretrain = ("schedule.steps=3", "schedule.warmup_steps=1", "checkpoint_every=2", "sampling.seeds_per_batch=8")
        pretrain += ("encoder.options={stem_width: 4, channels: [4, 6, 6, 8]}",)
        linear = ("inputs.names=[features:vit, pmap]", "model.iterations=20")
        parcels = (
            "encoder=vit",
            "n_parcels=6",
            "evaluation={spins: 2, tilings: 2, baselines: [], stability: {splits: 0}}",
        )
        return {
            "graphs": load_config(BuildGraphConfig, preset("build-graph", "tiny"), self.graph),
            "encoders": load_config(PretrainConfig, preset("pretrain", "tiny"), [*pretrain, *self.encoder]),
            "features": load_config(EmbedConfig, None, self.features),
            "classify": load_config(ClassifyConfig, preset("classify", "linear"), [*linear, *self.areas]),
            "parcellate": load_config(ParcellateConfig, preset("parcellate", "tiny"), [*parcels, *self.parcels]),
        }

    def make(self, **options) -> list[str]:
        """Run all stages; return the products that were made, and not kept."""
        before = self.records()
        settings = self.settings()
        build_graphs(self.study / "study.yaml", self.run, settings["graphs"], workers=1)
        pretrain_run(self.run, "vit", settings["encoders"], overwrite=True)
        embed_run(self.run, "vit", settings["features"])
        classify_run(self.run, "linear", settings["classify"])
        parcellate_run(self.run, "parcels", settings["parcellate"])
        after = self.records()
        return [product for product in ALL if after[product] != before[product]]

    def make_all(self) -> None:
        """Run all stages for the first time."""
        assert self.make() == list(ALL)

    def records(self) -> dict[str, str]:
        paths = {product: record_path(self.run, product) for product in ALL}
        return {name: path.read_text() if path.is_file() else "" for name, path in paths.items()}

    def results(self) -> dict[str, object]:
        """All numbers of a run that somebody may use."""
        found: dict[str, object] = {"weights": content_digest(self.run / ENCODER / "model.safetensors")}
        for path in sorted(self.run.rglob("*.parquet")):
            table = read_table(path)
            for name, column in table.columns.items():
                values = column.toarray() if hasattr(column, "toarray") else np.asarray(column)
                is_text = values.dtype.kind in "OU"
                found[f"{path.relative_to(self.run)}:{name}"] = values.tolist() if is_text else values.tobytes()
        for path in sorted((self.run / "features").rglob("*.npy")):
            found[str(path.relative_to(self.run))] = np.load(path).tobytes()
        for path in sorted(self.run.glob("*/*/metrics.json")):
            metrics = json.loads(path.read_text())
            found[str(path.relative_to(self.run))] = _without_time(metrics)
        return found


def _without_time(value):
    if isinstance(value, dict):
        return {name: _without_time(item) for name, item in value.items() if name not in ("seconds", "phases", "key")}
    return [_without_time(item) for item in value] if isinstance(value, list) else value


def shared_study(folder: Path) -> Path:
    """Return the study in a folder, which the first process to need it makes for all."""
    return _made_once(folder / "study", write_study)


def shared_chain(folder: Path) -> Chain:
    """Return all stages on that study.

    In a process of its own: sums of BLAS differ in the last bit between numbers of threads.
    """
    study = shared_study(folder)
    run = _made_once(folder / "run", lambda run: run_apart(Chain(study, run).make_all))
    return Chain(study, run)


def _made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    folder.parent.mkdir(exist_ok=True)
    made = folder.with_suffix(".made")
    with FileLock(f"{folder}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            make(folder)
            made.touch()
    return folder


def write_study(folder: Path) -> None:
    """Write two small brains, one to train on; the other has surfaces of its own."""
    changes = ["brains=[{id: T01, role: train}, {id: T02, role: unseen}]"]
    write_phantom(folder, load_config(PhantomConfig, preset("phantom", "tiny"), changes), workers=1)
    _give_surfaces(folder)


def _give_surfaces(folder: Path) -> None:
    """Name the true surfaces of the second brain in the manifest, two steps coarser, instead of having them rebuilt."""
    own = {kind: f"sub-T02/surf/{kind}.surf.gii" for kind in ("pial", "white", "midthickness")}
    (folder / "sub-T02" / "surf").mkdir()
    for kind, path in own.items():
        _write_coarser(folder / "truth" / "sub-T02" / f"hemi-L_{kind}.surf.gii", folder / path, kind)
    own["sphere"] = "sub-T02/surf/sphere.surf.gii"
    n = _write_coarser(folder / "atlas" / "hemi-L_sphere.surf.gii", folder / own["sphere"], "sphere")
    write_scalars(folder / "sub-T02" / "surf" / "cortex.shape.gii", {"cortex": np.arange(n) > 9}, "L")
    own["cortex"] = "sub-T02/surf/cortex.shape.gii"
    manifest = yaml.safe_load((folder / "study.yaml").read_text())
    manifest["brains"][1]["surfaces"] = {"L": own}
    (folder / "study.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


def _write_coarser(source: Path, path: Path, kind: str) -> int:
    """Undo two subdivisions of an icosahedron; returns the number of vertices."""
    mesh = read_surface(source)
    for _ in range(2):
        n = (mesh.n_vertices + 6) // 4  # 10 * 4**k + 2 vertices: those of the coarser mesh come first
        edges = mesh.edges[(mesh.edges[:, 0] < n) & (mesh.edges[:, 1] >= n)]
        ends: dict[int, set[int]] = {}  # of the edge that a later vertex has split
        for end, middle in edges.tolist():
            ends.setdefault(middle, set()).add(end)
        inner = mesh.faces[(mesh.faces >= n).all(axis=1)].tolist()
        faces = [[(ends[a] & ends[c]).pop(), (ends[a] & ends[b]).pop(), (ends[b] & ends[c]).pop()] for a, b, c in inner]
        mesh = Mesh(mesh.vertices[:n], np.array(faces))
    write_surface(path, mesh, "L", kind)
    return mesh.n_vertices


if __name__ == "__main__":
    shared_chain(Path(sys.argv[1]))
