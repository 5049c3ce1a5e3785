"""Registrations as `cytomesh register` writes them, of spheres that a test gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cytomesh.core.digests import file_digests
from cytomesh.core.files import write_json
from cytomesh.core.run import product
from cytomesh.graph.storage import load_graphs
from cytomesh.register.config import RegisterConfig
from cytomesh.register.hemispheres import mirrored
from cytomesh.register.run import COMMON, register_inputs
from cytomesh.surface.gifti import write_surface
from cytomesh.surface.mesh import Mesh


def unit_sphere(mesh: Mesh) -> Mesh:
    """The vertices of a body around the origin, brought to distance 1."""
    return Mesh(mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True), mesh.faces)


def write_registration(run: Path, name: str, spheres: Mapping[str, Mesh], template: str = "study") -> None:
    """Write the spheres of a run's graphs as registered ones; those of right hemispheres are mirrored in common."""
    graphs, settings = load_graphs(run), RegisterConfig.model_validate({"template": template})
    result = product(run, "register", name)
    with file_digests(run) as digests, result.open():
        inputs = register_inputs(run, graphs, settings, digests)
        with result.writing(inputs, settings, 0) as work:
            outputs = {}
            for graph in graphs:
                sphere, folder = spheres[graph.name], work.folder / graph.name
                common = sphere if graph.hemisphere == "L" else mirrored(sphere)
                write_surface(folder / "sphere.surf.gii", sphere, graph.hemisphere, "sphere")
                write_surface(folder / "sphere.reg.surf.gii", sphere, graph.hemisphere, "sphere")
                write_surface(folder / COMMON, common, "L", "sphere")
                outputs[graph.name] = digests.digest(folder / COMMON)
            write_json(work.folder / "metrics.json", {"kind": "registration", "template": template, "hemispheres": {}})
            work.finish(outputs)
