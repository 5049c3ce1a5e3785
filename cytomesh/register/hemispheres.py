"""A hemisphere as registrations see it: its surface, its sphere, and what is compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from cytomesh.core.errors import SurfaceError
from cytomesh.graph.nulls import MIRROR
from cytomesh.graph.spheres import load_given_sphere, on_unit_sphere
from cytomesh.graph.storage import CortexGraph
from cytomesh.register.config import RegisterConfig
from cytomesh.register.distortion import is_flipped
from cytomesh.register.sphere import RADIUS_MM, check_topology, make_sphere
from cytomesh.surface.mesh import Mesh


@dataclass(frozen=True)
class Hemisphere:
    """A surface with its sphere.

    Parameters
    ----------
    surface, sphere : Mesh
        The same faces; mm, and around the origin.
    """

    surface: Mesh
    sphere: Mesh

    @property
    def mirrored(self) -> Hemisphere:
        """The same as it would be on the other side."""
        return Hemisphere(mirrored(self.surface), mirrored(self.sphere))


def mirrored(mesh: Mesh) -> Mesh:
    """Mirror a mesh in x, outside still outside."""
    return Mesh(mesh.vertices @ MIRROR, mesh.faces[:, ::-1])


def open_hemisphere(run: Path, graph: CortexGraph, settings: RegisterConfig, device: torch.device) -> Hemisphere:
    """Return the midsurface of a graph with the sphere that the study gives, or one that is made.

    Raises
    ------
    SurfaceError
        If the surface is no sphere topologically, or the given sphere has flipped triangles.
    GraphError
        If the given sphere is that of another mesh, or none around the origin.
    """
    try:
        check_topology(graph.mesh)
        given = load_given_sphere(run, graph) if settings.spheres == "given" else None
        if given is None:
            return Hemisphere(graph.mesh, make_sphere(graph.mesh, device))
        sphere = Mesh(RADIUS_MM * on_unit_sphere(given), graph.mesh.faces)
        if n := int(is_flipped(sphere.vertices, sphere.faces).sum()):
            hint = "give another one, or set spheres: made"
            raise SurfaceError("sphere", found=f"{n} flipped triangles", expected="none", hint=hint)
        return Hemisphere(graph.mesh, sphere)
    except SurfaceError as error:
        raise error.within(graph.name) from error
