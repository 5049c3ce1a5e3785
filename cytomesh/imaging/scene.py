"""The sections of a brain as an OME-Zarr 0.6 scene: where each image lies in the brain, for viewers that show stacks.

A scene says how the coordinate systems of images become one (NGFF 0.6, "scene" and "coordinateTransformations"; RFC-5).
Pixels are not copied: each image of the scene is metadata of its own, with links to the chunks of the copy that the
study names. Images are slabs, one voxel deep, since viewers place stacks in three dimensions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError, StudyError
from cytomesh.core.files import atomic_path, clear_orphans, read_json, settle_folder, write_json
from cytomesh.core.progress import log
from cytomesh.core.remote import RemotePath
from cytomesh.study.image_formats.ome_zarr import OmeZarrReader
from cytomesh.study.image_formats.reader import ImageHeader
from cytomesh.study.image_formats.registry import read_header, reader_of
from cytomesh.study.planes import SectionPlane
from cytomesh.study.section_files import is_scene
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain

VERSION = "0.6"
PHYSICAL = "physical"
# 8-bit channels are seen in these colours, one over the other.
RGB = ("FF0000", "00FF00", "0000FF")


def write_scene(path: Path, brain: Brain) -> int:
    """Write the sections of a brain that have images as an OME-Zarr 0.6 scene, whole or not at all.

    The scene's coordinate system is the brain's world, mm, its axes (z, y, x) pointing superior, anterior and right;
    that of each image is its pixels times the pixel size, um. Displacements within sections are not written.

    Parameters
    ----------
    path : Path
        Folder to write, `*.ome.zarr`; a scene that is there is replaced.
    brain : Brain
        Its images are OME-Zarr 0.5, as `images convert` writes them.

    Returns
    -------
    int
        Number of sections in it.

    Raises
    ------
    StudyError
        If no section has an image, or something else than a scene is there.
    ImageError
        If an image is not OME-Zarr 0.5 of one plane on this machine.
    """
    sections = [section for section in brain.sections if section.image is not None]
    if not sections:
        raise StudyError(brain.id, found="no section with an image", expected="at least one")
    settle_folder(path)
    clear_orphans(path.parent)
    _refuse_others(path)
    warped = sum(section.plane.warp is not None for section in sections)
    if warped:
        log(f"{path}: {warped} of {len(sections)} sections lie there without their displacement fields")
    depths = slab_depths(sections)
    systems, transformations = dict[str, dict[str, Any]](), list[dict[str, Any]]()
    with atomic_path(path) as temporary:
        for section, depth_mm in zip(sections, depths, strict=True):
            name = f"section-{section.index:04}"
            header = _write_image(temporary / name, path / name, section, depth_mm)
            axes = _slab_axes(header)
            world = "world" if axes == "zyx" else f"world_{axes}"
            systems[world] = {"name": world, "axes": _axes(axes, "millimeter")}
            transformations.append(
                {
                    "type": "affine",
                    "name": section.name,
                    "input": {"path": name, "name": PHYSICAL},
                    "output": {"name": world},
                    "affine": physical_to_world(section.plane, section.um_per_px, "c" in axes).tolist(),
                }
            )
        scene = {"coordinateSystems": list(systems.values()), "coordinateTransformations": transformations}
        _write_group(temporary, {"version": VERSION, "scene": scene})
    return len(sections)


def physical_to_world(plane: SectionPlane, um_per_px: float, has_channels: bool) -> NDArray[np.float64]:
    """Return the affine, (3, 4) or (4, 5), from an image's (c,) z, y, x in um to the world's in mm."""
    steps = np.column_stack([plane.normal / 1000, plane.to_world[:, 1] / um_per_px, plane.to_world[:, 0] / um_per_px])
    affine = np.column_stack([steps, plane.to_world[:, 2]])[::-1]
    if not has_channels:
        return affine
    whole = np.zeros((4, 5))
    whole[0, 0], whole[1:, 1:] = 1.0, affine
    return whole


def slab_depths(sections: Sequence[Section]) -> list[float]:
    """Return how deep each section's slab is, mm: half the way to the planes before and after it, by plane position."""
    offsets = np.round([section.plane.offset_mm for section in sections], 6)
    planes, of_section = np.unique(offsets, return_inverse=True)  # pieces of one section lie in one plane
    if len(planes) == 1:
        return [section.um_per_px / 1000 for section in sections]
    gaps = np.diff(planes)
    return ((np.r_[gaps[0], gaps] + np.r_[gaps, gaps[-1]]) / 2)[of_section].tolist()


def _refuse_others(path: Path) -> None:
    """Raise StudyError if something is there that is no scene: an image, or somebody's own."""
    if path.exists() and not is_scene(path):
        hint = "choose another --out, or remove it"
        raise StudyError(path, found="something else there", expected="nothing, or an earlier scene", hint=hint)


def _write_image(folder: Path, final: Path, section: Section, depth_mm: float) -> ImageHeader:
    """Write the metadata of a section's image, and links to its chunks from where the folder will lie."""
    image = section.image or Path()
    is_local = not isinstance(image, RemotePath) and reader_of(image) is OmeZarrReader
    header = read_header(image, section.image_part) if is_local else None
    levels = [image / level.name for level in header.levels] if header else []
    is_old = not all((level / "zarr.json").is_file() for level in levels)
    if header is None or header.axes not in ("yx", "cyx") or is_old:
        found, where = ("OME-Zarr 0.4", "in another folder") if is_old else ("another format", "first")
        hint = f"make copies {where}: cytomesh images convert STUDY.yaml --out COPIES --update-study"
        raise ImageError(image, section.name, found=found, expected="OME-Zarr 0.5, one plane", hint=hint)
    axes, um = _slab_axes(header), section.um_per_px
    at = axes.index("z")
    datasets = []
    for level, source in zip(header.levels, levels, strict=True):
        _link_array(folder / level.name, final / level.name, source, at)
        channels = [1.0] * at
        scale = {"type": "scale", "scale": [*channels, 1000 * depth_mm, *(um * step for step in level.scale)]}
        shift = {"type": "translation", "translation": [*(0.0 for _ in channels), 0.0, *(um * x for x in level.offset)]}
        ends = {"input": {"path": level.name}, "output": {"name": PHYSICAL}}
        steps = [{"type": "sequence", "transformations": [scale, shift], **ends}]
        datasets.append({"path": level.name, "coordinateTransformations": steps})
    system = {"name": PHYSICAL, "axes": _axes(axes, "micrometer")}
    given = read_json(image / "zarr.json", ImageError)["attributes"]["ome"]["multiscales"][0]
    how = {key: given[key] for key in ("type", "metadata") if key in given}  # levels were made from the finest
    facts: dict[str, Any] = {
        "version": VERSION,
        "multiscales": [{"name": section.name, "coordinateSystems": [system], "datasets": datasets, **how}],
    }
    if header.n_channels == len(RGB) and header.dtype == "uint8":
        window = {"min": 0, "max": 255, "start": 0, "end": 255}
        names = header.channel_names or ("red", "green", "blue")
        facts["omero"] = {
            "channels": [
                {"label": name, "color": colour, "window": window, "active": True}
                for name, colour in zip(names, RGB, strict=True)
            ]
        }
    _write_group(folder, facts)
    return header


def _link_array(folder: Path, final: Path, source: Path, at: int) -> None:
    """Write an array's metadata with one more axis, of one pixel, and links to the chunks, whose bytes are the same."""
    facts = read_json(source / "zarr.json", ImageError)
    grid = facts["chunk_grid"]["configuration"]
    codecs = facts["codecs"]
    sharded = codecs[0]["name"] == "sharding_indexed"
    plain = (codecs[0]["configuration"]["codecs"] if sharded else codecs)[0]["name"] == "bytes"
    if facts["chunk_key_encoding"] != {"name": "default", "configuration": {"separator": "/"}} or not plain:
        hint = "make a copy that is stored the usual way: cytomesh images convert"
        raise ImageError(source, found="chunks of other names or order", expected="Zarr v3's own", hint=hint)
    shapes = [facts["shape"], grid["chunk_shape"]]
    if sharded:
        shapes.append(codecs[0]["configuration"]["chunk_shape"])
    for shape in shapes:
        shape.insert(at, 1)
    if facts.get("dimension_names"):
        facts["dimension_names"].insert(at, "z")
    chunks = source / "c"
    inside = [(".", "0")] if at == 0 else [(part.name, f"{part.name}/0") for part in sorted(chunks.iterdir())]
    for part, name in inside:
        link = folder / "c" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        # as the system counts "..": from where folders really are
        place = (final / "c" / name).parent.resolve()
        link.symlink_to(os.path.relpath((chunks / part).resolve(), place), target_is_directory=True)
    write_json(folder / "zarr.json", facts)


def _slab_axes(header: ImageHeader) -> str:
    return "zyx" if header.n_channels == 1 else "czyx"


def _axes(axes: str, unit: str) -> list[dict[str, str]]:
    return [{"name": x, "type": "channel"} if x == "c" else {"name": x, "type": "space", "unit": unit} for x in axes]


def _write_group(folder: Path, ome: dict[str, Any]) -> None:
    write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}})
