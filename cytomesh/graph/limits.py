"""Measured quality against its limits: what was found, what is accepted, and whether the stage may go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.errors import QualityError
from cytomesh.graph.config import CheckConfig
from cytomesh.graph.qc import is_rebuilt

_SURFACES = ("pial", "midthickness", "white")


@dataclass(frozen=True)
class Verdict:
    """One measured quality.

    Parameters
    ----------
    name : str
        What was measured, in words.
    value : float or None
        None where there is nothing to measure.
    lowest, highest : float or None
        What is accepted; None where there is no bound.
    unit : str
        Unit of all three.
    key : str
        The setting that bounds it, `checks.<key>`; empty for what is only reported.
    place : str
        The section that has this value; empty where it is the whole stack's.
    """

    name: str
    value: float | None
    lowest: float | None = None
    highest: float | None = None
    unit: str = ""
    key: str = ""
    place: str = ""

    @property
    def measured(self) -> str:
        """Value and unit in words; empty where there is nothing to measure."""
        return f"{number(self.value)} {self.unit}".rstrip() if self.value is not None else ""

    @property
    def is_judged(self) -> bool:
        """Whether there is a value and a bound."""
        return self.value is not None and (self.lowest is not None or self.highest is not None)

    @property
    def is_passed(self) -> bool:
        """Whether the value is within its bounds; true where it is only reported."""
        if self.value is None:
            return True
        return (self.lowest is None or self.value >= self.lowest) and (
            self.highest is None or self.value <= self.highest
        )


def judge(qc: Mapping[str, Any], checks: CheckConfig) -> list[Verdict]:
    """Return every measured quality of a graph's record with its limits."""
    return [*_topology(qc, checks), *_fidelity(qc, checks), *_links(qc, checks), *_alignment(qc, checks)]


def check_verdicts(name: str, verdicts: Sequence[Verdict], page: Path) -> None:
    """Raise QualityError that names every value out of bounds.

    Raises
    ------
    QualityError
        With a pointer to the quality page, which is written whether the graph passes or not.
    """
    failed = [verdict for verdict in verdicts if not verdict.is_passed]
    if failed:
        places = [] if any(verdict.place for verdict in failed) else _farthest(verdicts)
        hint = f"look at {' and at '.join([*places, str(page)])}, or change the limits"
        if any(verdict.key == "max_area_error" for verdict in failed):
            hint = f"take a smaller surface.edge_length_mm (long edges cut folds and rims short), {hint}"
        raise QualityError(name, found="; ".join(map(_failure, failed)), hint=hint)


def _failure(verdict: Verdict) -> str:
    text = f"{verdict.name} {verdict.measured} ({bounds(verdict)}, checks.{verdict.key})"
    return f"{text}, {verdict.place}" if verdict.place else text


def _farthest(verdicts: Sequence[Verdict]) -> list[str]:
    """Say in which section contours lie farthest from the surface: where a whole volume is wrong, look there first."""
    known = [verdict for verdict in verdicts if verdict.key == "max_contour_distance_mm" and verdict.place]
    if not known:
        return []
    worst = max(known, key=lambda verdict: verdict.value or 0.0)
    return [f"{worst.place} (contours on average {worst.measured} from the surface, farther than in any other)"]


def bounds(verdict: Verdict) -> str:
    """Return what is accepted, in words."""
    low, high = number(verdict.lowest), number(verdict.highest)
    if low == high:
        text = low
    elif verdict.lowest is None:
        text = f"at most {high}" if high else ""
    else:
        text = f"{low} to {high}" if high else f"at least {low}"
    return f"{text} {verdict.unit}".rstrip() if text else ""


def number(value: float | None) -> str:
    """Return a number to four digits; empty for none."""
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1e4 else f"{value:.4g}"


def _topology(qc: Mapping[str, Any], checks: CheckConfig) -> Iterator[Verdict]:
    surfaces = qc["surfaces"]
    # given surfaces may be open, at the medial wall say
    required = 2 if checks.require_euler and is_rebuilt(qc) else None
    for kind in _SURFACES:
        euler = surfaces[kind]["euler_number"]
        yield Verdict(f"{kind}: Euler number", euler, required, required, key="require_euler")
    if is_rebuilt(qc):
        yield from _correction(qc["report"], checks)
    crossings = surfaces["n_self_intersections"]
    for kind in filter(crossings.__contains__, _SURFACES):  # in one order: a file sorts its keys
        count = crossings[kind]
        limit = None if kind == "midthickness" else checks.max_self_intersections
        yield Verdict(f"{kind}: crossing triangle pairs", count, highest=limit, key="max_self_intersections")


def _correction(report: Mapping[str, Any], checks: CheckConfig) -> Iterator[Verdict]:
    for kind in ("pial", "white"):
        before = report[kind]
        yield Verdict(f"{kind}: Euler number before topology correction", before["euler_number_before"])
        places = before["n_places"]
        yield Verdict(f"{kind}: places changed", places, highest=checks.max_changed_places, key="max_changed_places")
        yield Verdict(f"{kind}: voxels filled", before["voxels_filled"])
        yield Verdict(f"{kind}: voxels cut", before["voxels_cut"])
        voxel_mm3 = report["voxel_mm"] ** 3
        whole = before["voxels_before"] * voxel_mm3
        n_changed = before["voxels_filled"] + before["voxels_cut"] - before["voxels_opened"]
        # voxels of a discarded piece may be among those opened: they are not taken off twice
        changed = max(n_changed * voxel_mm3 - before["discarded_mm3"], 0.0)
        piece, largest = before["largest_discarded_mm3"] / whole, checks.max_discarded_share
        yield Verdict(
            f"{kind}: filled or cut, share of the volume",
            changed / whole,
            highest=checks.max_changed_share,
            key="max_changed_share",
        )
        yield Verdict(
            f"{kind}: largest discarded piece, share of the volume", piece, highest=largest, key="max_discarded_share"
        )


def _fidelity(qc: Mapping[str, Any], checks: CheckConfig) -> Iterator[Verdict]:
    for kind in ("pial", "white"):
        means = {
            section["section"]: section[f"{kind}_distance_mm"]["mean"]
            for section in qc["sections"]
            if f"{kind}_distance_mm" in section
        }
        # of a section without this contour: NaN while it is built, nothing in the record
        means = {section: float(mean) for section, mean in means.items() if mean is not None and np.isfinite(mean)}
        worst = max(means, key=lambda section: means[section], default=None)
        yield Verdict(
            f"{kind}: contour to surface, mean of the worst section",
            None if worst is None else means[worst],
            highest=checks.max_contour_distance_mm,
            unit="mm",
            key="max_contour_distance_mm",
            place="" if worst is None else f"section {worst}",
        )
        median = float(np.median(list(means.values()))) if means else None
        yield Verdict(f"{kind}: contour to surface, mean of the median section", median, unit="mm")
        if not is_rebuilt(qc):  # contours of a few sections say nothing of the whole
            continue
        estimate, built = qc["contour_estimates"][kind], qc["surfaces"][kind]
        for quantity, measured, limit, key in (
            ("volume", "volume_mm3", checks.max_volume_error, "max_volume_error"),
            ("area", "area_mm2", checks.max_area_error, "max_area_error"),
        ):
            error = abs(built[measured] / estimate[measured] - 1.0) if estimate[measured] else None
            yield Verdict(f"{kind}: {quantity} against the contours' own, relative", error, highest=limit, key=key)
    low, high = checks.thickness_mm or (None, None)
    yield Verdict("thickness, median", qc["surfaces"]["thickness_mm"]["median"], low, high, "mm", "thickness_mm")


def _links(qc: Mapping[str, Any], checks: CheckConfig) -> Iterator[Verdict]:
    links = qc["links"]
    share = links["share_linked_of_reachable"]
    yield Verdict(
        "nodes linked, of those near a section with an image", share, lowest=checks.min_linked, key="min_linked"
    )
    yield Verdict("nodes linked, of all", links["share_linked"])
    yield Verdict(
        "distance from node to link point, 95th percentile",
        links["reach_mm"].get("p95"),
        highest=checks.max_link_residual_mm,
        unit="mm",
        key="max_link_residual_mm",
    )
    yield Verdict("distance from node to section plane, 95th percentile", links["distance_mm"].get("p95"), unit="mm")


def _alignment(qc: Mapping[str, Any], checks: CheckConfig) -> Iterator[Verdict]:
    moved = [section for section in qc["sections"] if "shift_mm" in section]
    if moved:
        shifts = [float(np.hypot(*section["shift_mm"])) for section in moved]
        turns = [abs(section["rotation_deg"]) for section in moved]
        for title, values, limit, unit, key in (
            ("shift", shifts, checks.max_shift_mm, "mm", "max_shift_mm"),
            ("turn", turns, checks.max_rotation_deg, "deg", "max_rotation_deg"),
        ):
            worst = int(np.argmax(values))
            place = f"section {moved[worst]['section']}"
            yield Verdict(f"alignment: largest {title}", values[worst], highest=limit, unit=unit, key=key, place=place)
