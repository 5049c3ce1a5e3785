"""Surfaces in other programs' formats: Workbench spec files, FreeSurfer geometry and measures, PLY."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import nibabel.freesurfer as freesurfer
import numpy as np
from numpy.typing import NDArray

from cytomesh.core.files import atomic_path, write_text
from cytomesh.surface.gifti import STRUCTURES
from cytomesh.surface.mesh import Mesh

FREESURFER_SIDE = {"L": "lh", "R": "rh"}
STAMP = "created by cytomesh"
"""Head of the surfaces that are written in FreeSurfer's format."""
_WORKBENCH_TYPES = {
    ".surf.gii": "SURFACE",
    ".label.gii": "LABEL",
    ".shape.gii": "METRIC",
    ".func.gii": "METRIC",
}


def write_spec(path: Path, files: Iterable[tuple[Path, str]], folder: Path | None = None) -> None:
    """Write a Connectome Workbench `.spec` that opens GIFTI files together; paths are written relative to it.

    Parameters
    ----------
    files : iterable of (Path, {"L", "R"})
        `.surf.gii`, `.label.gii`, `.shape.gii` and `.func.gii` files, and the side of each.
    folder : Path, optional
        Where it is going to lie; by default where it is written.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<CaretSpecFile Version="1.0">', "   <MetaData></MetaData>"]
    for file, hemisphere in files:
        name = escape(Path(os.path.relpath(file, folder or path.parent)).as_posix())
        facts = f'Structure="{STRUCTURES[hemisphere]}" DataFileType="{workbench_type(file)}" Selected="true"'
        lines.append(f"   <DataFile {facts}>{name}</DataFile>")
    write_text(path, "\n".join([*lines, "</CaretSpecFile>"]) + "\n")


def workbench_type(file: Path) -> str:
    """Return what Workbench calls the kind of a GIFTI file."""
    return _WORKBENCH_TYPES["".join(file.suffixes[-2:])]


def write_freesurfer(path: Path, mesh: Mesh) -> None:
    """Write FreeSurfer triangle geometry (`lh.pial`).

    FreeSurfer stores surface RAS, scanner RAS less the centre of the volume (c_ras). The volume written here is
    centred on the origin, so that surface, scanner and cytomesh coordinates are the same numbers.
    """
    volume = {
        "head": np.array([2, 0, 20], np.int32),
        "valid": "1  # volume info valid",
        "filename": "none",
        "volume": np.array([256, 256, 256]),
        "voxelsize": np.ones(3),
        "xras": np.array([-1.0, 0.0, 0.0]),
        "yras": np.array([0.0, 0.0, -1.0]),
        "zras": np.array([0.0, 1.0, 0.0]),
        "cras": np.zeros(3),
    }
    with atomic_path(path) as temporary:
        freesurfer.write_geometry(
            temporary,
            mesh.vertices.astype(np.float32),
            mesh.faces,
            create_stamp=STAMP,
            volume_info=volume,
        )


def write_morphometry(path: Path, values: NDArray[Any], n_faces: int) -> None:
    """Write one value per vertex in FreeSurfer's format (`lh.thickness`)."""
    with atomic_path(path) as temporary:
        freesurfer.write_morph_data(temporary, np.asarray(values, np.float32), n_faces)


def write_ply(path: Path, mesh: Mesh) -> None:
    """Write binary PLY, mm and RAS; trimesh stores coordinates as float32."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(mesh.to_trimesh().export(file_type="ply", encoding="binary", vertex_normal=False))
