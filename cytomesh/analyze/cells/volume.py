"""From cells in a section to cells in tissue: thickness of sections, cells cut through, shrinkage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cytomesh.analyze.cells.config import SECTION_UM, SHRINKAGE, VolumeConfig
from cytomesh.analyze.cells.table import Values
from cytomesh.core.errors import StudyError
from cytomesh.study.bids_files import BidsFiles, sidecar_path
from cytomesh.study.sections import Section

PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class SectionVolume:
    """What of the tissue a section shows.

    Parameters
    ----------
    section_um : float or None
        Thickness as cut; None if it is not known.
    linear_shrinkage : float
        Length in living tissue over length in the section.
    """

    section_um: float | None
    linear_shrinkage: float = 1.0

    def tissue_mm3(self, area_mm2: Values) -> Values:
        """Return the volume of living tissue that areas of the section were, A f^2 * t f; NaN without a thickness.

        The convention of INM-1's published layer densities: areas corrected for shrinkage, times a thickness of 20 um
        corrected by the cube root of the volumetric factor, 1.931 of BigBrain (siibra-python,
        `LayerwiseCellDensity`; Amunts et al., Science 340, 2013).
        """
        thickness_mm = np.nan if self.section_um is None else 1e-3 * self.section_um
        return np.asarray(area_mm2 * thickness_mm * self.linear_shrinkage**3)


def abercrombie(diameter_um: Values, section_um: float) -> Values:
    """Return of how many cells each cell that is seen stands for, t / (t + d), (n,).

    A section of thickness t shows a cell of height d if its centre lies within t + d: for cells of one size this is
    Abercrombie's N = n t / (t + d) (Anatomical Record 94, 1946), and each by its own diameter it holds for a mixture of
    sizes. The diameter is that of the disc of the cell's area in the image, which for cells cut at their caps is less
    than theirs: densities stay a little high.
    """
    return np.asarray(section_um / (section_um + diameter_um))


def section_volume(files: BidsFiles, section: Section, settings: VolumeConfig) -> SectionVolume:
    """Return what settings, or else the sidecars of the section's image, say.

    Of BIDS microscopy: `SliceThickness` (um) and `TissueDeformationScaling` (size of the tissue as % of the original).

    Raises
    ------
    StudyError
        If a sidecar states what cannot be.
    """
    facts = {} if section.image is None else files.sidecar(section.image)
    thickness, shrinkage = settings.section_um, settings.linear_shrinkage
    if thickness is None:
        thickness = _stated(section, facts, "SliceThickness", SECTION_UM, "um")
    if shrinkage is None:
        low, high = (PERCENT / factor for factor in reversed(SHRINKAGE))
        scaling = _stated(section, facts, "TissueDeformationScaling", (low, high), "%")
        shrinkage = 1.0 if scaling is None else PERCENT / scaling
    return SectionVolume(thickness, shrinkage)


def said(volumes: list[SectionVolume], overcount: str) -> str:
    """Return in one line which corrections the densities of an analysis have."""
    if any(volume.section_um is None for volume in volumes):
        return "counts per area only: the thickness of the sections is not known"
    thick = _range([volume.section_um or 0.0 for volume in volumes])
    shrunk = _range([volume.linear_shrinkage for volume in volumes])
    cut = {
        "none": "cells cut through are counted in full (n / (A t))",
        "abercrombie": "Abercrombie's t / (t + d) for cells cut through",
    }[overcount]
    swollen = " (swelling)" if max(volume.linear_shrinkage for volume in volumes) < 1 else ""
    factor = "no shrinkage" if shrunk == "1" else f"linear shrinkage {shrunk}{swollen} in all directions"
    return f"sections of {thick} um; {cut}; {factor}"


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"


def _stated(section: Section, facts: dict[str, Any], key: str, between: tuple[float, float], unit: str) -> float | None:
    if key not in facts:
        return None
    value = facts[key]
    low, high = between
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    source = section.name if section.image is None else sidecar_path(section.image)
    expected = f"a number of {unit}, {low:.3g} to {high:.3g}"
    raise StudyError(source, key, found=repr(value), expected=expected, hint="correct the sidecar")
