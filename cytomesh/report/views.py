"""Values of vertices on a cortical surface as flat pictures: for notebooks and print, without a graphics card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.extras import optional
from cytomesh.core.labels import LabelTable
from cytomesh.surface.mesh import Mesh

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable

View = Literal["lateral", "medial", "dorsal", "ventral", "anterior", "posterior"]
NONE = (0.72, 0.72, 0.72, 1.0)
"""Vertices without a value."""
BORDER = (0.1, 0.1, 0.1, 1.0)
DARKEST = 0.55
"""Of faces that are seen edge-on."""
SMALLEST = 0.012
"""Share of what is seen from which an area is named."""
LETTERS = ("LR", "PA", "IS")
"""Towards the negative and the positive end of x, y and z."""


class Seen(NamedTuple):
    """Faces in the order in which they are drawn, and their corners in the picture, (k, 3, 2)."""

    faces: NDArray[np.int64]
    corners: NDArray[np.float64]


def surface_views(
    mesh: Mesh,
    values: NDArray[Any],
    hemisphere: str,
    *,
    title: str = "",
    label: str = "",
    table: LabelTable | None = None,
    limits: tuple[float, float] | None = None,
    colours: str = "cividis",
    views: Sequence[View] = ("lateral", "medial"),
    into: Any = None,
) -> Any:
    """Draw values of vertices on a surface, seen from several sides, with letters of orientation.

    Parameters
    ----------
    mesh : Mesh
        Of n vertices, RAS.
    values : (n,) float or int
        Numbers with a colour bar, or, with `table`, labels with borders between them. NaN, or label 0, is grey.
    hemisphere : str
        "L" or "R": which side is lateral.
    title : str
    label : str
        What the numbers are, with their unit: beside the colour bar.
    table : LabelTable, optional
        Names and colours of labels; the larger areas of a view have their name on them.
    limits : (float, float), optional
        Numbers at the ends of the colour bar; by default the 2nd and 98th percentile.
    colours : str
        matplotlib's colour map.
    views : sequence of str
    into : Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Figure or SubFigure

    Raises
    ------
    PackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> from cytomesh import load_graphs
    >>> graph = load_graphs("run")[0]
    >>> figure = surface_views(graph.mesh, graph.annotation, graph.hemisphere, table=graph.labels, title="Areas")
    >>> len(figure.axes)
    2
    """
    optional("matplotlib", "cytomesh[report]")
    import matplotlib.pyplot as plt
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    figure = into or plt.figure(figsize=(3.4 * len(views) + 0.9 * (table is None), 2.9), layout="constrained")
    extents = [np.ptp(mesh.vertices @ axes_of(view, hemisphere)[:2].T, axis=0) for view in views]
    # views are of one scale where panels are as wide as what they show
    panels = figure.subplots(1, len(views), squeeze=False, width_ratios=[width for width, _ in extents])[0]
    if table is not None:
        faces = label_colours(mesh, np.asarray(values), table)
    else:
        known = np.asarray(values, np.float64)
        scale = ScalarMappable(Normalize(*(limits or np.nanpercentile(known, (2, 98)))), colours)
        faces = number_colours(mesh, known, scale)
        figure.colorbar(scale, ax=panels.tolist(), label=label, shrink=0.75, aspect=25)
    for panel, view in zip(panels, views, strict=True):
        seen = draw_view(panel, mesh, faces, view, hemisphere)
        if table is not None:
            _name_areas(panel, seen, np.asarray(values)[mesh.faces], table)
    if title:
        figure.suptitle(title)
    return figure


def number_colours(mesh: Mesh, values: NDArray[np.float64], scale: ScalarMappable) -> NDArray[np.float64]:
    """Return a colour for each face: that of the mean of its corners, grey where one has none."""
    with np.errstate(invalid="ignore"):
        mean = values[mesh.faces].mean(axis=1)
    return np.where(np.isfinite(mean)[:, None], scale.to_rgba(mean), NONE)


def label_colours(mesh: Mesh, labels: NDArray[Any], table: LabelTable) -> NDArray[np.float64]:
    """Return a colour for each face: that of its corners' label, dark where they differ."""
    rgba = np.concatenate([[NONE], table.colours])
    corners = table.columns(labels)[mesh.faces] + 1
    result = rgba[corners[:, 0]].copy()
    result[(corners != corners[:, :1]).any(axis=1)] = BORDER
    return np.asarray(result)


def axes_of(view: View, hemisphere: str) -> NDArray[np.float64]:
    """Return what points to the right, up and towards the viewer, (3, 3) unit vectors in RAS."""
    side = -1.0 if hemisphere == "L" else 1.0
    x, y, z = np.eye(3)
    towards: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {
        "lateral": (side * x, z),
        "medial": (-side * x, z),
        "dorsal": (z, y),
        "ventral": (-z, y),
        "anterior": (y, z),
        "posterior": (-y, z),
    }
    eye, up = towards[view]
    return np.stack([np.cross(up, eye), up, eye])


def draw_view(panel: Any, mesh: Mesh, colours: NDArray[np.float64], view: View, hemisphere: str) -> Seen:
    """Draw the faces that face the viewer, in (m, 3 or 4) colours, and letters around; return those faces."""
    from matplotlib.collections import PolyCollection

    right, up, eye = axes_of(view, hemisphere)
    corners = mesh.vertices[mesh.faces]  # (m, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normals @ eye / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    seen = np.flatnonzero(facing > 0)
    order = seen[np.argsort(corners[seen].mean(axis=1) @ eye)]  # what is near is drawn last
    shade = DARKEST + (1 - DARKEST) * facing[order]
    rgb = np.clip(colours[order, :3] * shade[:, None], 0, 1)
    flat = corners[order] @ np.stack([right, up], axis=1)
    panel.add_collection(PolyCollection(flat, facecolors=rgb, edgecolors=rgb, linewidths=0.3, antialiaseds=False))
    panel.set_aspect("equal")
    panel.margins(0.06)
    panel.set_axis_off()
    for axis, places in ((right, ((0.02, 0.5), (0.98, 0.5))), (up, ((0.5, 0.02), (0.5, 0.98)))):
        along = int(np.abs(axis).argmax())
        ends = LETTERS[along] if axis[along] > 0 else LETTERS[along][::-1]
        for letter, place in zip(ends, places, strict=True):
            panel.text(*place, letter, transform=panel.transAxes, ha="center", va="center", color="0.35")
    panel.set_title(view, fontsize="small", pad=8)
    return Seen(order, flat)


def _name_areas(panel: Any, seen: Seen, labels: NDArray[Any], table: LabelTable) -> None:
    """Write the name of each area on it, where its middle is in sight and it is not too small for that.

    Parameters
    ----------
    labels : (m, 3) int
        Of the corners of all faces.
    """
    from matplotlib.patheffects import withStroke

    of_face = np.where((labels == labels[:, :1]).all(axis=1), labels[:, 0], 0)[seen.faces]
    first, second = seen.corners[:, 1] - seen.corners[:, 0], seen.corners[:, 2] - seen.corners[:, 0]
    areas = 0.5 * np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    middles = seen.corners.mean(axis=1)
    for index, name, _ in table.rows():
        own = np.flatnonzero(of_face == index)
        if areas[own].sum() < SMALLEST * areas.sum():
            continue
        centre = np.average(middles[own], axis=0, weights=areas[own])
        place = own[np.linalg.norm(middles[own] - centre, axis=1).argmin()]
        if of_face[_last_at(seen.corners, middles[place])] == index:
            outline = [withStroke(linewidth=1.5, foreground="white")]
            panel.text(*middles[place], name, ha="center", va="center", fontsize="x-small", path_effects=outline)


def _last_at(corners: NDArray[np.float64], point: NDArray[np.float64]) -> int:
    """Return the last of (m, 3, 2) triangles around a point: that which is in sight there."""
    a, b, c = np.moveaxis(corners - point, 1, 0)
    turns = np.stack([p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0] for p, q in ((a, b), (b, c), (c, a))])
    return int(np.flatnonzero((turns >= 0).all(axis=0) | (turns <= 0).all(axis=0))[-1])
