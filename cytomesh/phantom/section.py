"""One section: cut, locate, stain, and write image, contours, annotation and truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.core.files import atomic_path
from cytomesh.core.random import derived_seed, generator
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.phantom.areas import area_name
from cytomesh.phantom.artefacts import Artefact, stain_gradient, tear
from cytomesh.phantom.config import SectionConfig, StainConfig
from cytomesh.phantom.profiles import Profiles
from cytomesh.phantom.ribbon import Slab, SlabRibbon, locate
from cytomesh.phantom.slicing import cut, fill, polygons
from cytomesh.phantom.stain import BACKGROUND_GREY, BrainStain, cells, coverage, develop, glia
from cytomesh.study.bids import contours_path, image_path, write_sidecar
from cytomesh.study.contour_formats.geojson import write_geojson
from cytomesh.study.contour_formats.masks import mask_rings
from cytomesh.study.contour_formats.nesting import even_odd
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.planes import SectionPlane

STAIN = "cell bodies (simulated Nissl)"
SPECK_MM2 = 0.3
"""Smaller polygons, where a plane touches a crown, are not drawn."""
SIMPLIFY_PX = 0.05


@dataclass(frozen=True)
class SectionJob:
    """Everything a worker needs to make one section.

    Parameters
    ----------
    folder : Path
        The study.
    brain, sample, hemisphere : str
        Whose section, its BIDS sample label, "L" or "R".
    slab : Slab
        Cortex around the plane.
    true, declared : SectionPlane
        Where the section was cut, and where the study says so.
    shape : tuple of int
        Rows and columns of the image.
    artefact : str
        See `artefacts`.
    profiles : Profiles
        Layers of the areas in this brain.
    stain : BrainStain
        Stain of this brain.
    annotation : Path or None
        Where to write the annotation.
    sections : SectionConfig
    stains : StainConfig
    seed : int
        Of this section.
    """

    folder: Path
    brain: str
    sample: str
    hemisphere: str
    slab: Slab
    true: SectionPlane
    declared: SectionPlane
    shape: tuple[int, int]
    artefact: Artefact
    profiles: Profiles
    stain: BrainStain
    annotation: Path | None
    sections: SectionConfig
    stains: StainConfig
    seed: int


def make_section(job: SectionJob) -> dict[str, Any]:
    """Make one section and write its files; return its facts."""
    um = job.sections.um_per_px
    pial, white = contours(job.slab, job.true, um)
    ribbon, layers, core = section_layers(job, pial, white)
    image = render(job, ribbon, layers, core)
    path = image_path(job.folder, job.brain, job.sample)
    write_ome_zarr(path, image, um)
    write_sidecar(path, um, STAIN, job.declared, job.sections.thickness_um)
    hemispheres = {job.hemisphere: HemisphereContours(pial, white)}
    write_contours(contours_path(job.folder, job.brain, job.sample), SectionContours(hemispheres))
    full = np.zeros(job.shape, np.uint8 if len(job.profiles.columnarity) <= 256 else np.uint16)
    full[ribbon.rows, ribbon.columns] = ribbon.labels
    write_annotation(job, full)
    write_truth(job, ribbon, layers, full, core)
    return {
        "pixels": int(image.size),
        "ribbon_pixels": len(ribbon.rows),
        "mean_grey": float(image[ribbon.rows, ribbon.columns].mean()),
    }


def section_layers(
    job: SectionJob, pial: MultiPolygon, white: MultiPolygon
) -> tuple[SlabRibbon, NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the pixels of the cortex within its contours, their layers 1 to 6 (n,), and the white matter, (h, w)."""
    inside = fill(pial, job.shape)
    core = fill(white, job.shape) & inside
    step = max(1, round(job.sections.distance_um / job.sections.um_per_px))
    ribbon = locate(job.slab, inside & ~core, job.true.to_world, step)
    return ribbon, job.profiles.layers(ribbon.labels, ribbon.depth), core


def contours(slab: Slab, plane: SectionPlane, um_per_px: float) -> tuple[MultiPolygon, MultiPolygon]:
    """Cut the true surfaces: pial and white polygons in pixels (column, row)."""
    both = []
    for vertices in (slab.pial, slab.white):
        points = vertices.astype(np.float64)
        rings = cut(plane.pixels(points), slab.faces, plane.distance(points))
        both.append(polygons(rings, SPECK_MM2 / (1e-3 * um_per_px) ** 2))
    pial, white = (MultiPolygon(_parts(shapely.simplify(part, SIMPLIFY_PX))) for part in both)
    # a pial speck may be gone where its white matter is not
    return pial, MultiPolygon([part for part in white.geoms if pial.covers(part)])


def render(
    job: SectionJob, ribbon: SlabRibbon, layers: NDArray[np.uint8], core: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Draw the cells and develop the image, with the section's artefact, (h, w) uint8."""
    counts = cells(ribbon, layers, job.profiles, job.sections, job.stain.density, job.seed)
    white_counts = glia(int(core.sum()), job.sections, job.stain.density, job.seed)
    covered = coverage(job.shape, ribbon, counts, core, white_counts, job.sections.um_per_px, job.stains.blur_um)
    gain = float(np.exp(generator(job.seed, "gain").normal(0, job.stains.section_sd)))
    gradient = stain_gradient(job.shape, job.seed) if job.artefact == "stain gradient" else 1.0
    image = develop(covered, ribbon, core, job.stain, gain, gradient, job.stains.noise_grey, job.seed)
    if job.artefact == "tear":
        return tear(image, BACKGROUND_GREY + job.stain.offset, job.sections.um_per_px, job.seed)
    return image


def write_annotation(job: SectionJob, areas: NDArray[np.integer]) -> None:
    """Write the areas of a section's pixels as a label image of coarser pixels, or outlined in full resolution."""
    if job.annotation is None:
        return
    if job.sections.annotate_as == "drawn":
        outlines = {
            area_name(label): MultiPolygon([Polygon(ring, holes) for ring, *holes in polygons])
            for label in np.unique(areas[areas > 0]).tolist()
            for polygons in [even_odd(mask_rings(areas == label), job.annotation)]
        }
        write_geojson(job.annotation, outlines)
        return
    step = round(job.sections.annotation_um_per_px / job.sections.um_per_px)
    with atomic_path(job.annotation) as temporary:
        Image.fromarray(areas[step // 2 :: step, step // 2 :: step]).save(temporary, format="PNG")


def write_truth(
    job: SectionJob,
    ribbon: SlabRibbon,
    layers: NDArray[np.uint8],
    areas: NDArray[np.integer],
    core: NDArray[np.bool_],
) -> None:
    """Write area, layer (1..6, 7 = white matter) and depth of every n-th pixel, and the true plane.

    The layers of all pixels are a label image beside it, as `cytomesh segment-layers` learns from.
    """
    step = max(1, round(job.sections.truth_um_per_px / job.sections.um_per_px))
    picked = (slice(step // 2, None, step), slice(step // 2, None, step))
    layer = np.zeros(job.shape, np.uint8)
    layer[ribbon.rows, ribbon.columns] = layers
    layer[core] = 7
    depth = np.full(job.shape, np.nan, np.float16)
    depth[ribbon.rows, ribbon.columns] = ribbon.depth
    plane = job.true.to_world.copy()
    plane[:, 2] = job.true.world(np.full((1, 2), float(step // 2)))[0]
    plane[:, :2] *= step
    with atomic_path(truth_path(job.folder, job.brain, job.sample)) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream, area=areas[picked], layer=layer[picked], depth=depth[picked], to_world=plane, step=step
        )
    with atomic_path(layers_path(job.folder, job.brain, job.sample)) as temporary:
        Image.fromarray(layer).save(temporary, format="PNG")


def truth_path(folder: Path, brain: str, sample: str) -> Path:
    """Return where the truth maps of a section are: npz with area, layer, depth, to_world (3 x 3, true) and step.

    Pixel (i, j) of a map is pixel (step // 2 + step * j, step // 2 + step * i) (column, row) of the image.
    """
    return folder / "truth" / f"sub-{brain}" / "sections" / f"sub-{brain}_sample-{sample}_truth.npz"


def layers_path(folder: Path, brain: str, sample: str) -> Path:
    """Return where the label image of a section's layers is, of the size of its image: 1..6, 7 = white matter."""
    return truth_path(folder, brain, sample).with_name(f"sub-{brain}_sample-{sample}_layers.png")


def section_seed(seed: int, brain: str, index: int) -> int:
    """Return the seed of one section."""
    return derived_seed(seed, "section", brain, index)


def _parts(geometry: Any) -> list[Any]:
    return [part for part in getattr(geometry, "geoms", [geometry]) if not part.is_empty]
