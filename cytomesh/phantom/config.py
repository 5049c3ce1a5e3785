"""Settings of the phantom study."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from cytomesh.core.config import Config, Seed


class PhantomBrainConfig(Config):
    """One simulated brain."""

    id: str = Field(pattern=r"^[A-Za-z0-9]+$")
    """BIDS subject label, letters and digits."""
    role: Literal["train", "transfer", "unseen"]
    """What the brain is for: sections of a training brain take part in train, val and test."""
    missing_areas: int = Field(0, ge=0)
    """Number of areas that it lacks: their neighbours have grown over them."""
    doubled_areas: int = Field(0, ge=0)
    """Number of areas that it has a second, smaller patch of, elsewhere."""
    plane: Literal["coronal", "sagittal", "axial"] = "coronal"
    """How it is cut."""
    tilt_deg: float = Field(0.0, ge=-45, le=45)
    """Turn of the section planes about the image's horizontal axis."""
    stain_gain: float = Field(1.0, ge=0.3, le=3)
    """Factor of its stain strength, beside what `stain.gain_sd` draws."""


class GeometryConfig(Config):
    """How the brains differ in shape."""

    deformation_mm: float = Field(2.0, ge=0, le=3)
    """Root mean square of the smooth random deformation along each axis."""
    scale_sd: float = Field(0.03, ge=0, le=0.1)
    """Standard deviation of the global scale and shear."""
    registration_error_mm: float = Field(0.7, ge=0)
    """Root mean square error of the brain-to-reference transform along each axis."""
    transform_mm: float = Field(6.0, gt=0)
    """Voxel size of the displacement field of that transform."""


class DisplacementConfig(Config):
    """How far borders move against folding: standard deviation along each direction of the sheet."""

    primary_mm: float = Field(0.0, ge=0, le=12)
    """At primary cortex: around the calcarine and central sulci and on Heschl's gyrus."""
    association_mm: float = Field(0.0, ge=0, le=12)
    """Far from it; in between it changes smoothly, see `phantom.displacement`."""


class AreaConfig(Config):
    """The areas that tile the cortex, and how they differ."""

    count: int = Field(44, ge=2, le=200)
    """Number of areas."""
    variation_mm: float = Field(3.5, ge=0)
    """Root mean square shift of the areas of a brain along the sheet."""
    displacement: DisplacementConfig = DisplacementConfig()
    """How far they move besides, by a smooth flow: more where folding says less of areas."""
    contrast: float = Field(1.0, ge=0)
    """Scale of the differences between area profiles; 1 is the default difficulty."""
    pmap_mm: float = Field(2.0, gt=0)
    """Voxel size of the probability maps."""
    pmap_smoothing_mm: float = Field(2.5, ge=0)
    """Standard deviation of the Gaussian that smooths the probability maps."""


class SectionConfig(Config):
    """How the brains are cut, stained and digitised."""

    um_per_px: float = Field(62.5, gt=0)
    """Pixel size of the images."""
    annotation_um_per_px: float = Field(250.0, gt=0)
    """Pixel size of the annotation label images."""
    truth_um_per_px: float = Field(125.0, gt=0)
    """Pixel size of the truth maps (area, layer and depth)."""
    distance_um: float = Field(312.5, gt=0)
    """Step of the grid on which depth is computed; it is interpolated in between."""
    spacing_mm: float = Field(3.8, gt=0)
    """Mean distance between section planes."""
    spacing_jitter: float = Field(0.08, ge=0, lt=0.4)
    """Standard deviation of a plane's position, as a fraction of the spacing."""
    first_mm: float | None = None
    """Leave out planes before this position (mm from the first tissue, the occipital pole); none if absent."""
    last_mm: float | None = None
    """Leave out planes behind this position (mm from the first tissue, the occipital pole); none if absent."""
    margin_mm: float = Field(2.5, gt=0)
    """Background around the tissue."""
    misalignment_mm: float = Field(0.1, ge=0)
    """Standard deviation of the in-plane error of the declared `to_world`."""
    thickness_um: float = Field(20.0, gt=0)
    """Thickness of a section: with the cell density it gives the number of cells in a pixel."""
    annotate_every: int = Field(1, ge=1)
    """Annotate every n-th section."""
    annotate_as: Literal["image", "drawn"] = "image"
    """Annotations are label images, or areas drawn as QuPath exports them (GeoJSON)."""


class StainConfig(Config):
    """How images vary between brains and sections."""

    gain_sd: float = Field(0.14, ge=0)
    """Standard deviation of the logarithm of a brain's stain strength."""
    density_sd: float = Field(0.10, ge=0)
    """Standard deviation of the logarithm of a brain's cell density."""
    section_sd: float = Field(0.05, ge=0)
    """Standard deviation of the logarithm of a section's stain strength."""
    sheet_sd: float = Field(0.15, ge=0)
    """Standard deviation of the logarithm of the layers' cell density along the sheet, within areas."""
    noise_grey: float = Field(2.5, ge=0)
    """Standard deviation of the sensor noise, grey levels."""
    blur_um: float = Field(18.0, ge=0)
    """Standard deviation of the optical blur."""


class ArtefactConfig(Config):
    """Sections of each brain that are not as they should be."""

    missing: int = Field(1, ge=0)
    """Sections without image and contours."""
    torn: int = Field(1, ge=0)
    """Sections with a crack through the tissue."""
    gradient: int = Field(1, ge=0)
    """Sections with a stain gradient across the image."""


DEFAULT_BRAINS = (
    PhantomBrainConfig(id="B01", role="train"),
    PhantomBrainConfig(id="B02", role="train"),
    PhantomBrainConfig(id="B03", role="transfer"),
    PhantomBrainConfig(id="B04", role="unseen"),
)


class PhantomConfig(Config):
    """The whole phantom study."""

    presets: ClassVar[str] = "phantom"
    seed: Seed = 0
    """Seed of everything random."""
    name: str = "phantom-demo"
    """Name of the study."""
    hemisphere: Literal["L", "R"] = "L"
    """Hemisphere that all brains consist of."""
    brains: tuple[PhantomBrainConfig, ...] = DEFAULT_BRAINS
    """The brains, at least one of them for training."""
    geometry: GeometryConfig = GeometryConfig()
    """How the brains differ in shape."""
    areas: AreaConfig = AreaConfig()
    """The areas and how they differ."""
    sections: SectionConfig = SectionConfig()
    """How the brains are cut and digitised."""
    stain: StainConfig = StainConfig()
    """How images vary between brains and sections."""
    artefacts: ArtefactConfig = ArtefactConfig()
    """Sections that are missing, torn or unevenly stained."""

    @model_validator(mode="after")
    def _check_brains(self) -> PhantomConfig:
        ids = [brain.id for brain in self.brains]
        if len(set(ids)) != len(ids):
            raise ValueError(f"brain ids must be unique, got {ids}")
        if not any(brain.role == "train" for brain in self.brains):
            raise ValueError("at least one brain must have role 'train': the probability maps are made from those")
        return self
