"""Quality record of a graph, and the checks that can fail it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.counted import counted
from cytomesh.core.errors import QualityError
from cytomesh.graph.config import CheckConfig
from cytomesh.graph.links import ImageLinks, LinkSection, Ribbon
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import self_intersections
from cytomesh.surface.stack import Ends

N_PLACES_SAID = 3
THICKNESS_EDGES_MM = np.arange(0.0, 6.01, 0.25)


def cortex_facts(reason: NDArray[np.str_], ribbon: Ribbon, is_cut: Ends) -> dict[str, Any]:
    """Return how many nodes are cortex, why others are not, and the area of cortex on the three surfaces.

    Parameters
    ----------
    reason : (n,) str
        Of `outside_cortex`.
    """
    is_cortex = reason == ""
    return {
        "cut_ends": list(is_cut),
        "n_nodes": int(is_cortex.sum()),
        "n_outside": int((~is_cortex).sum()),
        "share_outside": float((~is_cortex).mean()),
        "reasons": dict(sorted(Counter(reason[~is_cortex].tolist()).items())),
        "area_mm2": {
            kind: _area_within(getattr(ribbon, kind), is_cortex) for kind in ("pial", "midthickness", "white")
        },
    }


def _area_within(mesh: Mesh, is_inside: NDArray[np.bool_]) -> float:
    return mesh.area_mm2 if is_inside.all() else float(mesh.vertex_areas[is_inside].sum())


def surface_facts(ribbon: Ribbon, thickness_mm: NDArray[np.float64]) -> dict[str, Any]:
    """Return topology and size of the three surfaces, and the distribution of cortical thickness.

    Parameters
    ----------
    thickness_mm : (n,) float64
        Of the nodes that are cortex.
    """
    counts, _ = np.histogram(thickness_mm, THICKNESS_EDGES_MM)
    return {
        **{kind: mesh_facts(getattr(ribbon, kind)) for kind in ("pial", "midthickness", "white")},
        "n_self_intersections": {
            kind: len(self_intersections(getattr(ribbon, kind))) for kind in ("pial", "midthickness", "white")
        },
        "thickness_mm": _spread(thickness_mm),
        "thickness_histogram": {"edges_mm": THICKNESS_EDGES_MM, "counts": counts},
    }


def is_rebuilt(record: Mapping[str, Any]) -> bool:
    """Whether a graph's record is of surfaces that were rebuilt from contours, and not given."""
    return "own_files" not in record


def surface_notes(record: Mapping[str, Any]) -> list[str]:
    """Say in words what is worth knowing of the surfaces, and which nodes are no cortex.

    Parameters
    ----------
    record : dict
        With what `Cortex.record`, `surface_facts` ("surfaces") and `cortex_facts` ("cortex") say.
    """
    notes = _reconstruction_notes(record) if is_rebuilt(record) else _own_notes(record)
    cortex = record["cortex"]
    if cortex["n_outside"]:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in cortex["reasons"].items())
        notes.append(
            f"{100 * cortex['share_outside']:.0f} % of the nodes are not cortex, as tissue was cut there ({reasons}):"
            " they have no image, areas or thickness (is_cortex in nodes.parquet; settings: cuts)"
        )
    return notes


def _own_notes(record: Mapping[str, Any]) -> list[str]:
    """Say where given surfaces are not closed spheres: nothing has to be changed for that."""
    notes = []
    for kind in ("pial", "midthickness", "white"):
        facts = record["surfaces"][kind]
        if not facts["is_closed"]:
            notes.append(f"{kind}: open, with {facts['n_border_edges']:,} edges at its border (the medial wall, say)")
        elif facts["euler_number"] != 2:
            notes.append(f"{kind}: Euler number {facts['euler_number']}, a sphere has 2: it has handles")
    return notes


def _reconstruction_notes(record: Mapping[str, Any]) -> list[str]:
    """Say what the surfaces have that the contours have not: boundaries bridged, topology changed."""
    bridged, trimmed, report = (record[name] for name in ("bridged", "trimmed", "report"))
    notes = [
        f"section {item['section']}: no {' and no '.join(item['boundaries'])} ring,"
        " interpolated as over a missing section"
        for item in bridged
    ]
    if trimmed:
        most = max(trimmed, key=lambda item: item["white_mm2"])
        notes.append(
            f"white matter outside the pial boundary taken away in {counted(len(trimmed), 'section')},"
            f" {sum(item['white_mm2'] for item in trimmed):.2f} mm2, most in section {most['section']}:"
            f" {most['white_mm2']:.2f} mm2"
        )
    for kind in ("pial", "white"):
        facts = report[kind]
        if facts["euler_number_before"] != 2:
            places = zip(facts["places_mm"][:N_PLACES_SAID], facts["places_voxels"], strict=False)
            where = ", ".join(
                f"{counted(count, 'voxel')} at ({x:.1f}, {y:.1f}, {z:.1f}) mm" for (x, y, z), count in places
            )
            rest = facts["n_places"] - N_PLACES_SAID
            notes.append(
                f"{kind}: topology corrected, from Euler number {facts['euler_number_before']} to 2 (a sphere): {where}"
                + (f", and fewer at {counted(rest, 'other place')} (qc.html)" if rest > 0 else "")
            )
        if facts["n_discarded"]:
            notes.append(
                f"{kind}: {counted(facts['n_discarded'], 'separate piece')} discarded,"
                f" {facts['discarded_mm3']:,.1f} mm3, the largest {facts['largest_discarded_mm3']:,.1f} mm3"
            )
    return notes


def unused_sections(qc: Mapping[str, Any]) -> list[str]:
    """Say in words which sections are missing, damaged or left out, and why those were left out."""
    why = {int(index): status for index, status in qc.get("unusable_sections", {}).items()}
    why |= {item["section"]: f"left out: {item['problem']}" for item in qc.get("skipped_sections", ())}
    return [f"section {index}: {reason}" for index, reason in sorted(why.items())]


def check_cortex(name: str, cortex: Mapping[str, Any]) -> None:
    """Raise QualityError unless some node is cortex."""
    if not cortex["n_nodes"]:
        hint = "look at the polygons and lines of class cut, or set cuts.image_border: false"
        raise QualityError(name, found="no node in cortex", expected="pial rings that are not cuts", hint=hint)


def link_facts(links: ImageLinks, n_reachable: int, n_cortex: int) -> dict[str, Any]:
    """Return how many nodes are linked, why others are not, and how far and how obliquely.

    Parameters
    ----------
    n_reachable : int
        Number of nodes of the cortex within tolerance of the plane of a section with an image.
    n_cortex : int
        Number of nodes that are cortex.
    """
    linked = links.is_linked
    per_section = Counter(links.section[linked].tolist())
    return {
        "n_linked": int(linked.sum()),
        "n_reachable": n_reachable,
        "share_linked": float(linked.sum() / n_cortex),
        "share_linked_of_reachable": float(linked.sum() / n_reachable) if n_reachable else None,
        "reasons": dict(sorted(Counter(links.reason[~linked].tolist()).items())),
        "nodes_per_section": {str(index): count for index, count in sorted(per_section.items())},
        "distance_mm": _spread(np.abs(links.distance_mm[linked])),
        "reach_mm": _spread(links.reach_mm[linked]),
        "obliqueness_deg": _spread(links.obliqueness_deg[linked]),
    }


def check_pieces(name: str, facts: dict[str, Any], hint: str = "keep the largest piece of the surfaces") -> None:
    """Raise QualityError unless each surface is one piece."""
    for kind in ("pial", "midthickness", "white"):
        if facts[kind]["n_components"] != 1:
            found = f"{facts[kind]['n_components']} separate pieces"
            raise QualityError(f"{name}: {kind}", found=found, expected="one surface a hemisphere", hint=hint)


def check_surfaces(name: str, facts: dict[str, Any], checks: CheckConfig) -> None:
    """Raise QualityError unless each surface is one closed piece and, if required, has Euler number 2."""
    hint = "look for contours of one hemisphere named as the other's, or runs of missing sections"
    check_pieces(name, facts, hint)
    for kind in ("pial", "midthickness", "white"):
        surface = facts[kind]
        if checks.require_euler and surface["euler_number"] != 2:
            raise QualityError(
                f"{name}: {kind}",
                found=f"Euler number {surface['euler_number']}",
                expected="2 (a sphere without handles or holes)",
                hint="look at the places in qc.html, or accept it with --set checks.require_euler=false",
            )
        if not surface["is_closed"]:
            raise QualityError(f"{name}: {kind}", found="an open surface", expected="a watertight one")


def check_links(
    name: str,
    links: ImageLinks,
    positions: NDArray[np.float64],
    sections: Sequence[LinkSection],
    n_reachable: int,
    max_reach_mm: float,
    min_linked: float,
) -> None:
    """Raise QualityError unless every link lies in its image and near its node, and enough nodes are linked.

    Links are measured again from their pixels, independently of how they were found.
    """
    for section in sections:
        nodes = np.flatnonzero(links.section == section.index)
        if not nodes.size:
            continue
        pixels = links.pixels[nodes]
        height, width = section.shape
        is_outside = ~((pixels >= -0.5) & (pixels <= (width - 0.5, height - 0.5))).all(axis=1)
        if is_outside.any():
            node = int(nodes[np.argmax(is_outside)])
            column, row = links.pixels[node]
            found = f"pixel ({column:.1f}, {row:.1f}) in an image of {width} x {height} px"
            raise QualityError(
                name, f"node {node}, section {section.index}", found=found, expected="links inside their image"
            )
        away = np.linalg.norm(section.plane.world(pixels) - positions[nodes], axis=1)
        if (away > max_reach_mm * 1.001).any():
            node = int(nodes[away.argmax()])
            found = f"link point {away.max():.3f} mm from its node"
            expected = f"at most {max_reach_mm:.3f} mm"
            raise QualityError(name, f"node {node}, section {section.index}", found=found, expected=expected)
    n_linked = int(links.is_linked.sum())
    if n_reachable and n_linked < min_linked * n_reachable:
        reasons = Counter(links.reason[~links.is_linked].tolist()).most_common(3)
        raise QualityError(
            name,
            found=f"image links for {n_linked} of the {n_reachable} nodes near a section with an image"
            f" ({'; '.join(f'{reason}: {count}' for reason, count in reasons)})",
            expected=f"at least {100 * min_linked:g} %",
            hint="check to_world and the image sizes of the sections, or lower checks.min_linked",
        )


def mesh_facts(mesh: Mesh) -> dict[str, Any]:
    """Return topology and size of one surface."""
    edges = mesh.vertices[mesh.edges]
    lengths = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
    return {
        "n_vertices": mesh.n_vertices,
        "n_faces": mesh.n_faces,
        "euler_number": mesh.euler_number,
        "n_components": mesh.n_components,
        "is_closed": mesh.is_closed,
        "n_border_edges": len(mesh.border),
        "area_mm2": mesh.area_mm2,
        "volume_mm3": mesh.volume_mm3,
        "edge_mm": _spread(lengths),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    if not values.size:
        return {}
    low, median, high = np.percentile(values, [5, 50, 95])
    return {"p5": float(low), "median": float(median), "p95": float(high), "max": float(values.max())}
