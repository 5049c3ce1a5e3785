"""The study manifest, `study.yaml`: what one study is made of, in the user's words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import AfterValidator, Field, model_validator

from cytomesh.core.config import Config, read_yaml, validate
from cytomesh.core.errors import StudyError
from cytomesh.core.files import write_text
from cytomesh.study.contour_formats.features import composed
from cytomesh.study.pixels import ImageSettings

Hemisphere = Literal["L", "R"]
BrainRole = Literal["train", "transfer", "unseen"]
ContourClass = Literal["pial_L", "white_L", "pial_R", "white_R", "exclude", "cut"]
ContourLabels = dict[ContourClass | Literal["ignore"], list[int]]

FieldConvention = Literal["ras", "itk", "spm"]

MAX_CONDITION = 1e8
Row = Annotated[list[float], Field(min_length=4, max_length=4)]


def _invertible(rows: list[Row]) -> list[Row]:
    if rows[3] != [0, 0, 0, 1]:
        raise ValueError(f"the last row is {rows[3]}, not 0, 0, 0, 1: give rows, not columns")
    condition = np.linalg.cond(np.array(rows)[:3, :3])
    if not condition < MAX_CONDITION:
        raise ValueError(f"a singular matrix (condition number {condition:.3g})")
    return rows


Affine = Annotated[list[Row], Field(min_length=4, max_length=4), AfterValidator(_invertible)]
IDENTITY: list[list[float]] = [[float(i == j) for j in range(4)] for i in range(4)]


def _unique(values: tuple[Hemisphere, ...]) -> tuple[Hemisphere, ...]:
    if len(set(values)) != len(values):
        raise ValueError("a hemisphere is listed twice")
    return values


def _composed(classes: dict[str, Any]) -> dict[str, Any]:
    # as names in contour files are
    return {composed(name): meaning for name, meaning in classes.items()}


class TemplateSurfaces(Config):
    """Surfaces of the reference space's template, one hemisphere."""

    pial: Path
    """GIFTI surface, mm."""
    white: Path
    """GIFTI surface with the same vertices, mm."""


class SpaceConfig(Config):
    """The reference space that brains are brought into."""

    name: str = Field(min_length=1)
    """Name of the space, such as fsaverage or MNI152NLin2009cAsym; the atlas must be in the same."""
    template: dict[Hemisphere, TemplateSurfaces] = Field(default_factory=dict)
    """Surfaces of the template by hemisphere (optional)."""


class AtlasConfig(Config):
    """Areas of the study, and where they are probable."""

    labels: Path
    """Label table (TSV: index, name, r, g, b, a)."""
    probability_maps: Path | dict[str, Path] | None = None
    """One 4D NIfTI (volume j = row j of the label table), or area name -> 3D NIfTI; absent: no maps."""
    space: str
    """Space of the probability maps: must be the study's space."""


class ContourSettings(Config):
    """How contour files are read."""

    classes: Annotated[dict[str, ContourClass | Literal["ignore"]], AfterValidator(_composed)] = Field(
        default_factory=dict
    )
    """Class name in the files -> cytomesh's class, or "ignore"; names that are cytomesh's need no entry. "*" stands for
    all other names; those that end in * (QuPath's Ignore*) are ignored."""
    repair: bool = False
    """Mend self-crossing rings (of drawn areas, too), clip those up to ten pixels or 1 % of the image beyond its
    border, and cut what little white matter lies outside the pial boundary (see below); how much of which section is in
    qc.json."""
    max_white_outside: float = Field(default=0.02, ge=0, lt=1)
    """Share of the white matter's area that may lie outside the pial contour (hand-drawn lines cross a little);
    more is refused in any case."""
    labels: ContourLabels = Field(default_factory=dict)
    """Label masks and CSL: class -> the label values that make it up ("ignore" for values without meaning). The pial
    class is all that lies inside the pial boundary: with 1 grey and 2 white matter, pial_L: [1, 2], white_L: [2]."""
    mask_um_per_px: float | None = Field(default=None, gt=0)
    """Label masks: their pixel size, um, if it is not that of the section's image; corners coincide."""
    svg_px_per_unit: float = Field(default=1.0, gt=0)
    """SVG: image pixels per user unit (1 / 0.72 for a figure of 100 dpi measured in points)."""
    microdraw_px_per_unit: float | None = Field(default=None, gt=0)
    """MicroDraw: image pixels per unit, if it is not 1 / 1,000 of the image's width."""


class AnnotationSettings(Config):
    """How annotations that are drawn as polygons are read."""

    classes: Annotated[dict[str, str], AfterValidator(_composed)] = Field(default_factory=dict)
    """Class name in the files -> area of the label table, or "ignore"; names of areas need no entry, and contours in
    the same file are ignored. "*" stands for all other names; those that end in * (QuPath's Ignore*) are ignored."""


class TransformConfig(Config):
    """From a brain's world space to the reference space: reference = affine @ (p + displacement(p)), mm, RAS."""

    affine: Affine = IDENTITY
    """4 x 4 matrix, rows."""
    displacement: Path | None = None
    """NIfTI displacement field on the brain's space (x, y, z, 3) or (x, y, z, 1, 3), mm."""
    convention: FieldConvention | None = None
    """What the field's numbers are: `ras`: displacements along x, y, z of RAS (the default); `itk`: displacements in
    LPS, as ITK and ANTs write; `spm`: positions in the reference space, RAS (SPM's y_ files). A file of vectors
    (intent 1007), which all of these programs write, is refused without this key."""


class SurfaceFiles(Config):
    """Surfaces of one hemisphere that exist already: GIFTI, FreeSurfer or PLY, all with the same triangles."""

    pial: Path
    """Outer surface, in this brain's world space: RAS, mm."""
    white: Path
    """Grey/white surface."""
    midthickness: Path | None = None
    """The surface whose vertices become nodes (optional); absent: half-way between pial and white."""
    sphere: Path | None = None
    """Spherical surface (optional): spin nulls need it."""
    cortex: Path | None = None
    """A map of the vertices that is above 0 in cortex (optional); nodes outside, as the medial wall, take no part."""

    @property
    def files(self) -> dict[str, Path]:
        """The files by what they are."""
        return {kind: path for kind in type(self).model_fields if (path := getattr(self, kind)) is not None}

    def within(self, folder: Path) -> SurfaceFiles:
        """Return the same with paths that are relative to a folder made absolute."""
        return SurfaceFiles(**{kind: folder / path for kind, path in self.files.items()})


class BrainConfig(Config):
    """One specimen."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")
    """Name of the brain; letters, digits and hyphens, as it becomes part of folder names."""
    role: BrainRole
    """train: labels are used; transfer: images are used without labels; unseen: not used before testing."""
    hemispheres: Annotated[tuple[Hemisphere, ...], Field(min_length=1), AfterValidator(_unique)] = ("L", "R")
    """Hemispheres to reconstruct, or whose surfaces are given."""
    sections: Path
    """Table of sections (TSV)."""
    image: ImageSettings | None = None
    """Channels and window of this brain's images, where they differ from the study's (optional)."""
    surfaces: dict[Hemisphere, SurfaceFiles] = Field(default_factory=dict)
    """Own surfaces by hemisphere (optional): sections are linked to them, and nothing is rebuilt from contours."""
    to_reference: TransformConfig = TransformConfig()
    """From this brain's world space to the reference space."""

    @model_validator(mode="after")
    def _surfaces_are_of_hemispheres(self) -> BrainConfig:
        for side in self.surfaces:
            if side not in self.hemispheres:
                raise ValueError(f"surfaces of {side}, which is not among hemispheres: add it there, or leave them out")
        return self


class Manifest(Config):
    """A study: brains with their sections, the reference space and the atlas. Paths are relative to the manifest."""

    name: str = Field(min_length=1)
    """Name of the study."""
    species: str
    """Species, such as Homo sapiens."""
    stain: str
    """Stain, such as Nissl or Merker (cell bodies)."""
    space: SpaceConfig
    """Reference space."""
    atlas: AtlasConfig | None = None
    """Areas and probability maps (optional)."""
    contours: ContourSettings = ContourSettings()
    """How contour files are read."""
    annotations: AnnotationSettings = AnnotationSettings()
    """How annotations that are drawn as polygons are read."""
    image: ImageSettings = ImageSettings()
    """How the pixels of images become 8-bit grey or RGB."""
    data_roots: list[Path] = Field(default_factory=list)
    """Folders, other than those of the manifest and of each table, whose files section tables may name (optional);
    what the manifest itself names may lie anywhere."""
    brains: list[BrainConfig] = Field(min_length=1)
    """The specimens."""

    @model_validator(mode="after")
    def _brains_are_unique(self) -> Manifest:
        ids = [brain.id for brain in self.brains]
        doubles = sorted({name for name in ids if ids.count(name) > 1})
        if doubles:
            raise ValueError(f"brains: {', '.join(doubles)} listed twice")
        return self

    def image_settings(self, brain: BrainConfig) -> ImageSettings:
        """Return the channels and the window of a brain's images: its own keys before the study's."""
        return self.image.overridden(brain.image)


def is_manifest(path: Path) -> bool:
    """Return whether a path is that of a study, and not of an image, by its name."""
    return path.suffix.lower() in (".yaml", ".yml")


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest as YAML, without the keys that are absent; whole or not at all."""
    data = manifest.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    write_text(path, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120))


def read_manifest(path: Path) -> Manifest:
    """Read and validate `study.yaml`.

    Raises
    ------
    StudyError
        With every unknown key and wrong value at once.
    """
    return validate(Manifest, read_yaml(path, StudyError), str(path), StudyError)
