"""Own code beside libraries that do the same: `python -m benchmarks.surface.libraries`.

A folded closed surface as it comes from the voxels: isotropic remeshing (pyacvd, gpytoolbox, pymeshlab), distances of
points to a surface (libigl, pyvista, trimesh), triangles that cross (pymeshlab), and random changes of patches
(kornia, torchvision). Libraries that are not installed are left out. Claim: what cytomesh keeps of its own is faster
than the libraries with the same result, or has properties that theirs lack.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import Options, Result, interleave, main
from cytomesh.imaging.augment import Augmentation, AugmentConfig
from cytomesh.surface.extract import marching_tetrahedra
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import point_to_surface, self_intersections
from cytomesh.surface.resample import resample

EDGE = 2.0
"""Wanted edge length, voxels."""
COLUMNS = ("what", "seconds", "ratio", "result")


def measure(options: Options) -> Result:
    """Time each library in turns with cytomesh; the quick form takes a coarser surface."""
    torch.set_num_threads(1)
    field = folded(72 if options.quick else 144)
    vertices, faces = marching_tetrahedra(field, (field > 0).astype(np.uint8))
    rows: list[list[Any]] = []
    for title, functions, describe in (
        remeshing(vertices, faces, field),
        distances(vertices, faces),
        crossings(vertices, faces),
        augmentation(16 if options.quick else 64),
    ):
        present = {name: make for name, (module, make) in functions.items() if not module or has(module)}
        timings = interleave(present, 3)
        own = timings["cytomesh"].median
        for name, timing in timings.items():
            rows.append([f"{title}: {name}", str(timing), f"{timing.median / own:.2f}", describe(present[name]())])
        rows += [[f"{title}: {name}: not installed", "-", "-", "-"] for name in functions.keys() - present.keys()]
    claim = "seconds of a library over those of cytomesh; see the last column for what they give"
    title = f"own code beside libraries, one thread; surface of {len(faces):,} triangles"
    return Result(title, COLUMNS, rows, claim)


Kind = tuple[str, dict[str, tuple[str, Callable[[], Any]]], Callable[[Any], str]]


def remeshing(vertices: NDArray[np.float64], faces: NDArray[np.int64], field: NDArray[np.float32]) -> Kind:
    """Return ways to even triangles of the wanted edge length."""
    n_wanted = len(resample(vertices, faces, field, 0.0, EDGE)[0])

    def by_pyacvd() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        import pyacvd
        import pyvista as pv

        clustering = pyacvd.Clustering(pv.PolyData.from_regular_faces(vertices, faces))
        clustering.cluster(n_wanted)
        made = clustering.create_mesh()
        return np.asarray(made.points, float), made.regular_faces

    def by_gpytoolbox() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        import gpytoolbox

        made = gpytoolbox.remesh_botsch(vertices, faces.astype(np.int32), 6, EDGE, True)
        return made[0], made[1].astype(np.int64)

    def by_pymeshlab() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        import pymeshlab

        meshes = pymeshlab.MeshSet()
        meshes.add_mesh(pymeshlab.Mesh(vertices, faces))
        meshes.meshing_isotropic_explicit_remeshing(iterations=6, targetlen=pymeshlab.PureValue(EDGE))
        made = meshes.current_mesh()
        return made.vertex_matrix(), made.face_matrix().astype(np.int64)

    def describe(made: tuple[NDArray[np.float64], NDArray[np.int64]]) -> str:
        mesh = Mesh(*made)
        ends = mesh.vertices[mesh.edges]
        length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
        off = point_to_surface(mesh.vertices, Mesh(vertices, faces))
        crossing = len(self_intersections(mesh))
        return (
            f"edges {length.mean():.2f} +- {length.std():.2f}, {off.mean():.3f} voxels off (max {off.max():.2f}), "
            f"Euler {mesh.euler_number}, closed {mesh.is_closed}, {crossing} crossing"
        )

    functions = {
        "cytomesh": ("", lambda: resample(vertices, faces, field, 0.0, EDGE)),
        "pyacvd": ("pyacvd", by_pyacvd),
        "gpytoolbox": ("gpytoolbox", by_gpytoolbox),
        "pymeshlab": ("pymeshlab", by_pymeshlab),
    }
    return "remeshing", functions, describe


def distances(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> Kind:
    """Return ways to the distance of 20,000 points from the surface."""
    random = np.random.default_rng(0)
    points = vertices[random.integers(len(vertices), size=20_000)] + random.normal(size=(20_000, 3))

    def by_igl() -> NDArray[np.float64]:
        import igl

        return np.sqrt(np.asarray(igl.point_mesh_squared_distance(points, vertices, faces)[0]))

    def by_pyvista() -> NDArray[np.float64]:
        import pyvista as pv

        _, nearest = pv.PolyData.from_regular_faces(vertices, faces).find_closest_cell(
            points, return_closest_point=True
        )
        return np.linalg.norm(points - nearest, axis=1)

    def by_trimesh() -> NDArray[np.float64]:
        import trimesh

        return trimesh.proximity.closest_point(trimesh.Trimesh(vertices, faces, process=False), points)[1]

    exact = point_to_surface(points, Mesh(vertices, faces))
    functions = {
        "cytomesh": ("", lambda: point_to_surface(points, Mesh(vertices, faces))),
        "libigl": ("igl", by_igl),
        "pyvista": ("pyvista", by_pyvista),
        "trimesh": ("rtree", by_trimesh),
    }
    return (
        "distance to a surface",
        functions,
        lambda found: f"differs by at most {np.abs(found - exact).max():.1e} voxels",
    )


def crossings(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> Kind:
    """Return ways to the triangles of a surface that crosses itself."""
    shaken = vertices + np.random.default_rng(1).normal(scale=0.2, size=vertices.shape)

    def by_pymeshlab() -> int:
        import pymeshlab

        meshes = pymeshlab.MeshSet()
        meshes.add_mesh(pymeshlab.Mesh(shaken, faces))
        meshes.compute_selection_by_self_intersections_per_face()
        return int(meshes.current_mesh().selected_face_number())

    functions = {
        "cytomesh": ("", lambda: len(np.unique(self_intersections(Mesh(shaken, faces))))),
        "pymeshlab": ("pymeshlab", by_pymeshlab),
    }
    return "crossing triangles", functions, lambda found: f"{found:,} triangles"


def augmentation(n: int) -> Kind:
    """Return ways to rotate, scale, shear, shift, flip, blur and dim patches, each by numbers of its own."""
    batch = torch.randint(0, 256, (n, 1, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    settings = AugmentConfig(
        rotation_deg=15, scale=0.1, shear_deg=5, shift=0.05, flip_probability=0.5, blur_px=1.5, intensity_scale=0.2
    )
    augment, draw = Augmentation(settings), torch.Generator().manual_seed(0)

    def by_kornia() -> torch.Tensor:
        import kornia.augmentation as aug

        chain = aug.AugmentationSequential(
            aug.RandomAffine(15.0, (0.05, 0.05), (0.9, 1.1), (-5.0, 5.0), p=1.0),
            aug.RandomHorizontalFlip(p=0.5),
            aug.RandomGaussianBlur((7, 7), (0.1, 1.5), p=0.5),
            aug.RandomBrightness((0.8, 1.2), p=1.0),
        )
        return chain(batch.float() / 255)

    def by_torchvision() -> torch.Tensor:
        from torchvision.transforms import v2

        chain = v2.Compose(
            [
                v2.RandomAffine(15, (0.05, 0.05), (0.9, 1.1), 5, interpolation=v2.InterpolationMode.BILINEAR, fill=1.0),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.GaussianBlur(7, (0.1, 1.5))], 0.5),
                v2.ColorJitter(0.2),
            ]
        )
        return torch.stack([chain(image) for image in batch.float() / 255])  # of a batch, all would be changed alike

    functions = {
        "cytomesh": ("", lambda: augment(batch, draw)),
        "kornia": ("kornia", by_kornia),
        "torchvision v2": ("torchvision", by_torchvision),
    }
    return f"augmentation of {n} patches", functions, lambda found: "x".join(map(str, found.shape))


def folded(n: int) -> NDArray[np.float32]:
    """Return a field of n^3 voxels whose level 0 is a ball with folds about as deep as they are wide."""
    axis = np.linspace(-1, 1, n)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    folds = np.sin(14 * x) * np.cos(12 * y) + np.sin(13 * z + 4 * x)
    return (((0.68 + 0.07 * folds) - radius) * n / 2).astype(np.float32)


def has(module: str) -> bool:
    """Return whether a library is installed."""
    return importlib.util.find_spec(module) is not None


if __name__ == "__main__":
    main(measure, __doc__)
