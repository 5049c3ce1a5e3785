"""Image links: where in which section a cortical position is seen, found along the surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.core.errors import GraphError
from cytomesh.graph.curves import Curve, PlaneCutter, stacking_axis
from cytomesh.graph.nearest import Nearest, Search, nearest_planes, prefer_own_bank
from cytomesh.study.planes import SectionPlane
from cytomesh.surface.mesh import Mesh


@dataclass(frozen=True)
class Ribbon:
    """The cortex between three surfaces whose vertices correspond.

    Parameters
    ----------
    pial, midthickness, white : Mesh
        Same faces; vertex i of each lies on one line through the cortex.

    Examples
    --------
    >>> import trimesh
    >>> ball = trimesh.creation.icosphere(3)
    >>> pial, middle, white = (Mesh(radius * ball.vertices, ball.faces) for radius in (10, 9, 8))
    >>> ribbon = Ribbon(pial, middle, white)
    >>> ribbon.midthickness.n_vertices
    642
    """

    pial: Mesh
    midthickness: Mesh
    white: Mesh

    def __post_init__(self) -> None:
        shapes = {mesh.vertices.shape for mesh in (self.pial, self.midthickness, self.white)}
        if len(shapes) != 1:
            raise GraphError(
                "ribbon", found=f"surfaces of {sorted(shapes)} vertices", expected="vertices that correspond"
            )
        if not all(np.array_equal(mesh.faces, self.pial.faces) for mesh in (self.midthickness, self.white)):
            raise GraphError("ribbon", found="surfaces of different triangles", expected="the same triangles")


@dataclass(frozen=True)
class LinkSection:
    """What linking needs to know of a section.

    Parameters
    ----------
    index : int
        Section index.
    plane : SectionPlane
    shape : (int, int)
        Height and width of the image at full resolution, px.
    excluded : shapely geometry or None
        Region that no link may lead into, in pixels.
    unusable : str
        Why no node may be linked here ("missing", "damaged"); empty for a usable section.

    Examples
    --------
    >>> import numpy as np
    >>> coronal = SectionPlane(np.array([[0.1, 0, -12], [0, 0, 0], [0, -0.1, 12]]))  # 100 um/px at y = 0
    >>> LinkSection(index=1, plane=coronal, shape=(241, 241), excluded=None, unusable="").shape
    (241, 241)
    """

    index: int
    plane: SectionPlane
    shape: tuple[int, int] = (0, 0)
    excluded: shapely.Geometry | None = None
    unusable: str = ""


@dataclass(frozen=True)
class ImageLinks:
    """Links of n positions; unlinked ones have section -1 and NaN.

    Parameters
    ----------
    section : (n,) int32
        Section index.
    pixels : (n, 2) float64
        Column and row in the full-resolution image.
    angle_deg : (n,) float64
        Direction of the pial surface in the image, counter-clockwise in (column, row up); 90 is up.
    obliqueness_deg : (n,) float64
        Angle between the cortical normal and the section plane, 0..90; 0 is a perpendicular cut.
    distance_mm : (n,) float64
        Signed distance of the position to the section plane.
    reach_mm : (n,) float64
        Distance from the position to the link point.
    points : (n, 3) float64
        Link points, world mm.
    reason : (n,) str
        Why there is no link, after the nearest section where several refuse; empty where there is a link.
    """

    section: NDArray[np.int32]
    pixels: NDArray[np.float64]
    angle_deg: NDArray[np.float64]
    obliqueness_deg: NDArray[np.float64]
    distance_mm: NDArray[np.float64]
    reach_mm: NDArray[np.float64]
    points: NDArray[np.float64]
    reason: NDArray[np.str_]

    @classmethod
    def empty(cls, reason: NDArray[np.str_]) -> ImageLinks:
        """Return as many unlinked positions as there are reasons."""
        n = len(reason)
        angle, obliqueness, distance, reach = np.full((4, n), np.nan)
        pixels, points = np.full((n, 2), np.nan), np.full((n, 3), np.nan)
        return cls(np.full(n, -1, np.int32), pixels, angle, obliqueness, distance, reach, points, reason)

    @property
    def is_linked(self) -> NDArray[np.bool_]:
        """Whether a position has a link, (n,) bool."""
        return self.section >= 0

    def without(self, reason: NDArray[np.str_]) -> ImageLinks:
        """Return the links but for positions with a reason against one, (n,) str."""
        if not (reason != "").any():
            return self
        kept = ImageLinks.empty(reason.copy())
        good = reason == ""
        for field in fields(self):
            getattr(kept, field.name)[good] = getattr(self, field.name)[good]
        return kept


def link_positions(
    ribbon: Ribbon,
    sections: Sequence[LinkSection],
    positions: NDArray[np.float64],
    max_distance_mm: float,
    max_reach_mm: float,
    normals: NDArray[np.float64] | None = None,
) -> ImageLinks:
    """Link positions on (or near) the midsurface to the images of sections.

    The link of a position is the nearest point on the curves in which the section planes cut the midsurface, over
    all usable sections whose plane is within `max_distance_mm`: it lies inside the cortex of its section, which the
    projection onto the plane does not where the cortex is oblique or folded. Where that point lies in an excluded
    region or outside the image, the section is left out for this position, as a missing one is for all.

    Parameters
    ----------
    ribbon : Ribbon
        Surfaces of the hemisphere.
    sections : sequence of LinkSection
        Usable and unusable sections, in any order.
    positions : (n, 3) float64
        World mm; usually the vertices of the midsurface.
    max_distance_mm : float
        Largest distance of a position to the plane of its section.
    max_reach_mm : float
        Largest distance of a position to its link point.
    normals : (n, 3) float64 or None
        Outward unit normals of the midsurface at the positions. Given, a curve point on the opposite bank of a sulcus
        or the other side of a thin gyrus (normal more than 60 degrees off) is taken only where there is no other
        within tolerance.

    Examples
    --------
    >>> import numpy as np
    >>> import trimesh
    >>> ball = trimesh.creation.icosphere(3)
    >>> ribbon = Ribbon(*(Mesh(radius * ball.vertices, ball.faces) for radius in (10, 9, 8)))
    >>> coronal = SectionPlane(np.array([[0.1, 0, -12], [0, 0, 0], [0, -0.1, 12]]))  # 100 um/px at y = 0
    >>> sections = [LinkSection(1, coronal, shape=(241, 241), excluded=None, unusable="")]
    >>> links = link_positions(ribbon, sections, ribbon.midthickness.vertices, max_distance_mm=1.0, max_reach_mm=1.5)
    >>> int(links.is_linked.sum()), bool(links.reach_mm[links.is_linked].max() < 1.0)
    (64, True)
    """
    usable = [section for section in sections if not section.unusable]
    links = ImageLinks.empty(np.full(len(positions), "", dtype="<U48"))
    is_near_plane = np.zeros(len(positions), bool)
    if usable and len(positions):
        axis = stacking_axis([section.plane for section in usable])
        cutter = PlaneCutter(ribbon.midthickness, axis)
        curves = [cutter.cut(section.plane) for section in usable]
        planes, distances = nearest_planes([section.plane for section in usable], axis, positions)
        search = Search(curves, planes, distances, positions, max_distance_mm)
        is_near_plane = search.is_near_plane
        todo = np.arange(len(positions))
        while todo.size:
            found = Nearest.empty(len(positions))
            search.run(todo, found)
            if normals is not None:
                prefer_own_bank(search, cutter.mesh.face_normals, normals, max_reach_mm, found)
            todo = _link(ribbon, usable, curves, positions, found, max_reach_mm, links)
            search.bar(todo, found.section[todo])
    _explain(sections, positions, is_near_plane, max_distance_mm, max_reach_mm, links)
    return links


def _link(
    ribbon: Ribbon,
    usable: Sequence[LinkSection],
    curves: Sequence[Curve],
    positions: NDArray[np.float64],
    found: Nearest,
    max_reach_mm: float,
    links: ImageLinks,
) -> NDArray[np.int64]:
    """Write the links to the points found; return the positions whose section refuses them."""
    refused = [np.empty(0, np.int64)]
    candidates = np.flatnonzero(found.reach <= max_reach_mm)
    candidates = candidates[np.argsort(found.section[candidates], kind="stable")]
    for nodes in np.split(candidates, np.flatnonzero(np.diff(found.section[candidates])) + 1):
        if not nodes.size:
            continue
        which = int(found.section[nodes[0]])
        section, curve = usable[which], curves[which]
        segment, share = found.segment[nodes], found.share[nodes]
        weights = (1.0 - share)[:, None] * curve.weights[segment, 0] + share[:, None] * curve.weights[segment, 1]
        corners = ribbon.midthickness.faces[curve.triangles[segment]]
        pial, mid, white = (
            np.einsum("nb,nbx->nx", weights, mesh.vertices[corners])
            for mesh in (ribbon.pial, ribbon.midthickness, ribbon.white)
        )
        pixels = section.plane.pixels(mid)
        reason = _refusals(section, pixels)
        good = reason == ""
        linked = nodes[good]
        links.section[linked] = section.index
        links.pixels[linked] = pixels[good]
        links.points[linked] = mid[good]
        links.reach_mm[linked] = found.reach[linked]
        links.distance_mm[linked] = section.plane.distance(positions[linked])
        links.angle_deg[linked] = image_angle(section.plane, (pial - mid)[good], pixels[good])
        links.obliqueness_deg[linked] = obliqueness(section.plane, (pial - white)[good])
        # the nearest section's reason is the one to keep if no other section takes the position either
        earlier = links.reason[nodes]
        links.reason[nodes] = np.where(good | (earlier == ""), reason, earlier)
        refused.append(nodes[~good])
    return np.concatenate(refused)


def _explain(
    sections: Sequence[LinkSection],
    positions: NDArray[np.float64],
    is_near_plane: NDArray[np.bool_],
    max_distance_mm: float,
    max_reach_mm: float,
    links: ImageLinks,
) -> None:
    """Write why positions that no section refused have no link."""
    unexplained = ~links.is_linked & (links.reason == "")
    links.reason[unexplained & is_near_plane] = f"no cut cortex within {max_reach_mm:.3g} mm"
    away = np.flatnonzero(unexplained & ~is_near_plane)
    links.reason[away] = f"no section within {max_distance_mm:.3g} mm"
    for section in sections:
        if section.unusable:
            is_here = np.abs(section.plane.distance(positions[away])) <= max_distance_mm
            links.reason[away[is_here]] = f"section {section.unusable}"


def _refusals(section: LinkSection, pixels: NDArray[np.float64]) -> NDArray[np.str_]:
    height, width = section.shape
    reason = np.full(len(pixels), "", dtype="<U48")
    if section.excluded is not None and not section.excluded.is_empty:
        shapely.prepare(section.excluded)
        reason[shapely.contains_xy(section.excluded, pixels[:, 0], pixels[:, 1])] = (
            f"excluded region of section {section.index}"
        )
    # pixel centres are integers: the image covers -0.5 to width - 0.5
    is_inside = ((pixels >= -0.5) & (pixels <= (width - 0.5, height - 0.5))).all(axis=1)
    reason[~is_inside] = f"outside the image of section {section.index}"
    return reason


def image_angle(plane: SectionPlane, directions: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angle of world directions projected into an image, degrees counter-clockwise in (column, row up).

    Parameters
    ----------
    directions : (n, 3) float64
        World vectors of any length, mm.
    at : (n, 2) float64
        Image pixels that they start from; an in-plane displacement turns them differently from place to place.
    """
    steps = plane.directions(directions, at)
    return np.asarray(np.degrees(np.arctan2(0.0 - steps[:, 1], steps[:, 0])), np.float64)


def obliqueness(plane: SectionPlane, normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angle between cortical normals and a section plane, degrees 0..90.

    Parameters
    ----------
    normals : (n, 3) float64
        White-to-pial vectors of any length, mm.
    """
    lengths = np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    return np.asarray(np.degrees(np.arcsin(np.clip(np.abs(normals @ plane.normal) / lengths, 0.0, 1.0))), np.float64)
