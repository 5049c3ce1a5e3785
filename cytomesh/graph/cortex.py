"""The cortex of a hemisphere that sections are linked to: surfaces rebuilt from contours, and what is no cortex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.cuts import find_ends, outside_cortex
from cytomesh.graph.inputs import SectionInput, align_inputs, plane_contours
from cytomesh.graph.links import Ribbon
from cytomesh.graph.stereology import bridged_sections, contour_estimates, trimmed_sections
from cytomesh.surface.alignment import Alignment
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.reconstruct import reconstruct
from cytomesh.surface.stack import Ends

REBUILT = "contours of the sections"


@dataclass(frozen=True)
class Cortex:
    """Surfaces of a hemisphere, rebuilt or given, and what is known of them.

    Parameters
    ----------
    ribbon : Ribbon
    thickness_mm : (n,) float64
        From white to pial.
    outside : (n,) str
        Why each node is no cortex; empty for cortex.
    inputs : sequence of SectionInput
        The sections, where they lie for these surfaces.
    record : dict
        What `qc.json` says of where the surfaces come from: "surfaces_from", "report", and more of rebuilt ones.
    is_cut : (bool, bool)
        Ends at which the surfaces are closed over a cut.
    alignment : Alignment or None
        How the sections were moved.
    sphere : Mesh or None
    """

    ribbon: Ribbon
    thickness_mm: NDArray[np.float64]
    outside: NDArray[np.str_]
    inputs: Sequence[SectionInput]
    record: Mapping[str, Any]
    is_cut: Ends = (False, False)
    alignment: Alignment | None = None
    sphere: Mesh | None = None

    @property
    def is_cortex(self) -> NDArray[np.bool_]:
        """Whether a node is cortex, (n,) bool."""
        return np.asarray(self.outside == "")


def rebuilt_cortex(name: str, hemisphere: str, inputs: Sequence[SectionInput], settings: BuildGraphConfig) -> Cortex:
    """Rebuild the surfaces of a hemisphere from the contours of its sections, aligned first if settings say so.

    Raises
    ------
    SurfaceError
        That names the hemisphere.
    """
    alignment = None
    if settings.alignment.enabled:
        inputs, alignment = align_inputs(inputs, settings.alignment)
    contours = plane_contours(inputs, hemisphere)
    is_cut = find_ends(contours, settings.cuts)
    try:
        surfaces = reconstruct(contours, settings.surface, is_cut, name)
    except SurfaceError as problem:  # which hemisphere's
        raise problem.within(name) from problem
    record = {
        "surfaces_from": REBUILT,
        "contour_estimates": contour_estimates(contours, is_cut, settings.surface.min_thickness_mm),
        "report": surfaces.report,
        "bridged": bridged_sections(inputs, surfaces.report),
        "trimmed": trimmed_sections(inputs, hemisphere),
    }
    ribbon = Ribbon(surfaces.pial, surfaces.midthickness, surfaces.white)
    outside = outside_cortex(inputs, hemisphere, contours, surfaces, is_cut, settings.cuts)
    return Cortex(ribbon, surfaces.thickness_mm, outside, inputs, record, is_cut, alignment)
