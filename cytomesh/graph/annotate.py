"""What a node is called: expert annotation from linked sections, area probabilities from the atlas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import shapely
from numpy.typing import NDArray

from cytomesh.core.counted import counted
from cytomesh.core.labels import LabelTable
from cytomesh.core.progress import warn
from cytomesh.graph.links import ImageLinks
from cytomesh.study.annotation import read_annotation
from cytomesh.study.atlas import Atlas
from cytomesh.study.drawn_areas import DrawnAreas
from cytomesh.study.sections import Section


def transfer_annotation(sections: Sequence[Section], links: ImageLinks, labels: LabelTable) -> NDArray[np.int32]:
    """Return the area drawn at each node's link pixel, (n,) int32.

    0 for nodes without link, or linked to a section without annotation: no area is guessed across sections. Drawn areas
    that overlap where there are nodes are logged, in one line.

    Raises
    ------
    AtlasError
        If an annotation holds a label outside the table.
    """
    annotation = np.zeros(len(links.section), np.int32)
    overlaps: list[str] = []
    for section in sections:
        if section.annotation is None:
            continue
        nodes = np.flatnonzero(links.section == section.index)
        if nodes.size:
            areas = read_annotation(section, labels)
            annotation[nodes] = areas.sample(links.pixels[nodes])
            if isinstance(areas, DrawnAreas) and shapely.intersects_xy(areas.crossing, *links.pixels[nodes].T).any():
                overlaps.append(str(areas.overlap))
    if overlaps:
        n_more = len(overlaps) - 1
        more = f". So in {counted(n_more, 'more section')}: 'cytomesh study check' lists all" if n_more else ""
        warn(overlaps[0] + more)
    return annotation


def sample_probabilities(atlas: Atlas | None, reference: NDArray[np.float64]) -> sp.csr_matrix | None:
    """Return area probabilities at reference positions, (n, n_areas) CSR; None for a study without maps."""
    if atlas is None:
        return None
    return sp.csr_matrix(atlas.sample(reference))


def section_roles(sections: Sequence[Section], links: ImageLinks) -> NDArray[np.str_]:
    """Return the role of each node's section, (n,) str; "none" without link."""
    roles = np.full(len(links.section), "none", dtype="<U5")
    for section in sections:
        roles[links.section == section.index] = section.role
    return roles
