"""Runs on disk whose brains share their folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cytomesh.cli.app import main
from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import Table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import CortexGraph, save_graph
from cytomesh.register import demons
from cytomesh.register import run as stage
from cytomesh.register.hemispheres import mirrored
from cytomesh.register.warp import Stage
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.mesh import Mesh
from tests.register.bodies import Floats, ball, bumps, warped

SMALL_STAGES = (Stage(2, 2.0), Stage(2, 1.5), Stage(3, 2.0))
"""In the place of `STAGES`, to be quick."""
SMALL_SEARCH_DEG = 0.0
"""Rotations are not sought: brains are turned alike."""


def places(seed: int) -> Floats:
    """Where on the common sphere the vertices of a brain belong, (642, 3)."""
    return warped(ball(3).vertices, 10.0, seed)


def brain(name: str, side: str = "L", seed: int = 0) -> CortexGraph:
    """A body of 642 nodes with the folds of all others, a little elsewhere, and a column that does not follow them.

    `places(seed)` are the places on all bodies' common sphere; `myelin` lies 12 degrees farther about x a seed.
    """
    base, where = ball(3), places(seed)
    radius = 1.0 + 0.25 * bumps(where) + 0.1 * base.vertices[:, 1]
    mesh = Mesh(base.vertices * radius[:, None] * [30.0, 60.0, 40.0], base.faces)
    mesh = mesh if side == "L" else mirrored(mesh)
    myelin = bumps(where @ Rotation.from_euler("x", 12 * seed, degrees=True).as_matrix(), 40, 8.0, seed=4)
    return _graph(name, side, mesh, myelin=myelin)


def _graph(name: str, side: str, mesh: Mesh, **more: Floats) -> CortexGraph:
    n = mesh.n_vertices
    columns = {
        **{name: mesh.vertices[:, i] for i, name in enumerate(("x_mm", "y_mm", "z_mm"))},
        **{name: mesh.vertices[:, i] for i, name in enumerate(("ref_x_mm", "ref_y_mm", "ref_z_mm"))},
        "section": np.zeros(n, np.int32),
        "column_px": np.zeros(n),
        "row_px": np.zeros(n),
        "angle_deg": np.zeros(n),
        "is_linked": np.ones(n, bool),
        "section_role": np.full(n, "train"),
        "annotation": np.zeros(n, np.int32),
        **more,
    }
    return CortexGraph(name, side, "train", mesh, Table(columns), LabelTable.from_names(["A01"]))


def fsaverage_brain(side: str) -> CortexGraph:
    """The midsurface of fsaverage5, 10,242 nodes."""
    packaged = fsaverage5(side)
    mesh = Mesh((packaged["pial"].vertices + packaged["white"].vertices) / 2.0, packaged["pial"].faces)
    return _graph("F01", side, mesh)


def write_run(run: Path, *graphs: CortexGraph, sphere: Mesh | None = None) -> Path:
    """Write graphs with the features "vit", and with a sphere for the first if there is one."""
    for number, graph in enumerate(graphs):
        surfaces = {"pial": graph.mesh, "white": graph.mesh}
        if sphere is not None and number == 0:
            surfaces["sphere"] = sphere
        save_graph(run, graph, surfaces, {})
        features = np.random.default_rng(0).normal(size=(3, 12)).T @ np.stack(
            [np.asarray(graph.nodes["myelin"]), *ball(3).vertices.T[:2]]
        )
        save_features(run, "vit", graph, features.T.astype(np.float32), {})
    return run


def register_quickly(*words: object) -> None:
    """Run `cytomesh register WORDS` with the small stages, in a process of its own."""
    stage.STAGES = SMALL_STAGES
    demons.SEARCH_DEG = SMALL_SEARCH_DEG
    main(["register", *map(str, words)])
