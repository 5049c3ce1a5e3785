"""What a graph is made from, and the parts of it that later stages may depend on, each for itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import CytomeshError
from cytomesh.core.files import digest
from cytomesh.core.provenance import Inputs, flat_settings, place
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.node_table import NODE_UNITS
from cytomesh.graph.storage import CortexGraph, graph_folder
from cytomesh.study.image_formats.part import ImagePart
from cytomesh.study.image_formats.registry import data_folder, read_header
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain, Study

Named = dict[str, Path]

SURFACE = "surface"
LINKS = "image links"
REFERENCE = "reference positions"
AREAS = "node areas"
MEASURES = "measures"
ANNOTATION = "annotation and roles"
MAPS = "area probabilities"
SPHERE = "sphere"
FURTHER = "further columns"
IMAGES = (
    "image",
    "um/px",
    "image.channels",
    "image.window",
    "image data",
    "image.normalise",
    "image.plane",
    "image.scene",
    "image.stain_vectors",
)
TEMPLATE = "template"
PARTS = (SURFACE, LINKS, REFERENCE, AREAS, MEASURES, ANNOTATION, MAPS, FURTHER)
"""A stage names those it reads: new probability maps do not make features anew. Spheres are `spheres.spheres_read`."""
KNOWN_COLUMNS = {*NODE_UNITS, "is_cortex", "section", "section_role", "is_linked", "link_reason", "annotation", "pmap"}


def graph_parts(run: Path, graph: CortexGraph, digests: FileDigests) -> dict[str, str]:
    """Return the digest of each part of a graph, of what is in it now, whoever wrote it."""
    columns = graph.nodes.columns

    def of(*names: str) -> str:
        return digest(*(_comparable(columns[name]) for name in names if name in columns))

    labels = graph.labels
    further = sorted(columns.keys() - KNOWN_COLUMNS)
    # tables without the column are those of graphs that are cortex throughout
    cortex = () if graph.is_cortex.all() else ("is_cortex",)
    return {
        SURFACE: digest(graph.mesh.vertices, graph.mesh.faces),
        LINKS: of("section", "column_px", "row_px", "angle_deg", "is_linked", *cortex),
        REFERENCE: of("ref_x_mm", "ref_y_mm", "ref_z_mm"),
        AREAS: of("area_mm2"),
        MEASURES: of("thickness_mm", "curvature_per_mm", "sulcal_depth_mm", "obliqueness_deg", "distance_mm"),
        ANNOTATION: digest(of("annotation", "section_role"), graph.brain_role, labels.indices, labels.names),
        MAPS: "none" if graph.pmap is None else digest(graph.pmap.data, graph.pmap.indices, graph.pmap.indptr),
        SPHERE: digests.digest(graph_folder(run, graph.name) / "sphere.surf.gii"),
        **({FURTHER: digest(further, of(*further))} if further else {}),
    }


def parts_read(run: Path, graphs: Iterable[CortexGraph], parts: Sequence[str], digests: FileDigests) -> Inputs:
    """Return the inputs of a stage that reads some parts of some graphs."""
    products: dict[str, tuple[str, str, str]] = {}
    for graph in graphs:
        found = graph_parts(run, graph, digests)
        here = (part for part in parts if part in found)
        products |= {f"{part}: {graph.name}": (f"graphs/{graph.name}", part, found[part]) for part in here}
    return Inputs(products=products)


def features_read(run: Path, graphs: Iterable[CortexGraph], encoders: Iterable[str], digests: FileDigests) -> Inputs:
    """Return the inputs of a stage that reads the features of some encoders."""
    products = {}
    for encoder in encoders:
        for graph in graphs:
            product = f"features/{encoder}/{graph.name}"
            products[f"{encoder} features: {graph.name}"] = (
                product,
                "features",
                digests.digest(run / f"{product}.npy"),
            )
    return Inputs(products=products)


def images_read(run: Path, study: Study, sections: Iterable[Section], digests: FileDigests) -> Inputs:
    """Return the inputs of a stage that reads the pixels of some sections."""
    named: Named = {}
    values: dict[str, Any] = {}
    for section in sections:
        if section.image is not None:
            named[f"{IMAGES[0]}: {section.name}"] = section.image
            values[f"{IMAGES[1]}: {section.name}"] = section.um_per_px
            if folder := data_folder(section.image):
                named[f"{IMAGES[4]}: {section.name}"] = folder
            seen = section.image_settings.facts | ({} if section.scene is None else {"scene": section.scene})
            values |= {f"image.{key}: {section.name}": value for key, value in seen.items()}
            if section.normalisation is not None:
                values[f"{IMAGES[5]}: {section.name}"] = section.normalisation.facts
    return Inputs(values=values, files=_files(named, run, study, digests))


def template_read(run: Path, study: Study, digests: FileDigests) -> Inputs:
    """Return the inputs of a stage that reads the surfaces of the reference space."""
    named = {
        f"{TEMPLATE}: {side} {kind}": getattr(surfaces, kind)
        for side, surfaces in study.template.items()
        for kind in ("pial", "white")
    }
    return Inputs(files=_files(named, run, study, digests))


def graph_inputs(
    run: Path, study: Study, brain: Brain, hemisphere: str, settings: BuildGraphConfig, digests: FileDigests
) -> Inputs:
    """Return what the graph of one hemisphere is made from: settings, the study's tables, and the files they name.

    Of an image only its size counts here: its pixels are read by later stages.
    """
    folder = study.path.parent
    transform = next(item.to_reference for item in study.manifest.brains if item.id == brain.id)
    labels = study.labels
    values: dict[str, Any] = {
        "study's name": study.name,
        "role of the brain": brain.role,
        "contour settings": study.manifest.contours.model_dump(mode="json"),
        "to_reference": transform.model_dump(mode="json", exclude={"displacement"}),
        "label table": digest(labels.indices, labels.names, labels.colours),
        "hemisphere": hemisphere,
    }
    if study.manifest.annotations.classes:
        values["annotation settings"] = study.manifest.annotations.model_dump(mode="json")
    named: Named = {}
    if transform.displacement:
        named["to_reference.displacement"] = folder / transform.displacement
    maps = study.atlas.maps if study.atlas else {}
    for area, path in ({"": maps} if isinstance(maps, Path) else maps).items():
        named[f"probability maps: {area}" if area else "probability maps"] = path
    if own := brain.surfaces.get(hemisphere):
        named |= {f"{kind}: {brain.id} {hemisphere}": path for kind, path in own.files.items()}
    for section in brain.sections:
        name = section.name
        row = [section.index, section.um_per_px, section.annotation_um_per_px, section.role, section.status]
        values[f"row of the section table: {name}"] = digest(row, section.plane.to_world)
        for kind in ("contours", "annotation", "displacement"):
            path = getattr(section, kind)
            if path is not None:
                named[f"{kind}: {name}"] = path
        if section.image is not None:
            part = section.image_part
            values[f"image size: {name}"] = digests.remember(
                section.image, " ".join(["size", *map(str, part.facts.items())]), partial(_size, part=part)
            )
    files = _files(named, run, study, digests)
    return Inputs(flat_settings(settings, exclude={"seed"}), values, files)


def _files(named: Named, run: Path, study: Study, digests: FileDigests) -> dict[str, tuple[str, str]]:
    contents = digests.digest_all(path for path in named.values())
    places = (place(path, run, study.path.parent) for path in named.values())
    return dict(zip(named, zip(places, contents, strict=True), strict=True))


def _size(image: Path, part: ImagePart) -> list[int] | str:
    try:
        return list(read_header(image, part).shape)
    except CytomeshError as error:
        return str(error)  # the stage itself will stop at it, or leave the section out


def _comparable(column: Any) -> Any:
    values = np.asarray(column)
    return values.tolist() if values.dtype.kind in "OU" else values
