"""What becomes of a broken stack of sections: `python -m benchmarks.surface.broken_stacks`.

BigBrain's left hemisphere, 1 mm between sections, 1 mm voxels. One fault at a time, at five places drawn by a seed
(two in the quick form): the white ring of a section forgotten, a section upside down, four sections gone and not
declared, a section torn. Counted is where `cytomesh study check` names that section (or the gap) and what else it
names; then the stack is built as it is, with every limit off, for the volumes; whether the default limits would have
let it pass is judged afterwards. Beside it, in the same run, the largest piece of a plain stack of distance fields,
interpolated linearly between sections. Errors are against the same method on the whole stack.
Claim: every fault is named, or rebuilt within 3 % of both volumes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml
from scipy.sparse.csgraph import connected_components
from shapely.affinity import rotate
from shapely.geometry import MultiPolygon

from benchmarks.common import Options, Result, main
from benchmarks.surface.alignment import read_contours
from benchmarks.surface.methods import KINDS, distance_stack
from cytomesh.core.errors import CytomeshError
from cytomesh.core.files import read_json, write_text
from cytomesh.core.parallel import available_cpus, map_ordered
from cytomesh.core.progress import speak
from cytomesh.core.random import generator
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig, CheckConfig
from cytomesh.graph.limits import judge
from cytomesh.study.check import check_study
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.stack import PlaneContours

SURFACE = SurfaceConfig(voxel_mm=1.0, edge_length_mm=2.0)
N_GONE = 4
TORN_SHARE = 0.15
WITHIN = 0.03
LEAST_SHARE = 0.1
"""Places are drawn among sections with at least this share of the largest white area: towards the poles there is little
to be wrong."""
BRAIN = "bigbrain"
COLUMNS = (
    "fault",
    "places",
    "named by study check",
    "other sections named",
    "passed default limits",
    "white volume error %: mean",
    "max",
    "pial: mean",
    "max ",
    "named or within 3 %",
    "plain stack, white: mean",
    "max  ",
    "pial: mean ",
    "max   ",
)

Stack = list[PlaneContours | None]  # None: not there, and not declared


def white_forgotten(stack: Stack, k: int) -> Stack:
    """Forget the white ring of a section."""
    return _with(stack, k, lambda plane: (plane.pial, MultiPolygon()))


def upside_down(stack: Stack, k: int) -> Stack:
    """Turn a section by 180 degrees about the middle of its pial rings, as one mounted the wrong way up."""

    def turn(plane: PlaneContours) -> tuple[MultiPolygon, MultiPolygon]:
        left, top, right, bottom = plane.pial.bounds
        middle = ((left + right) / 2, (top + bottom) / 2)
        return rotate(plane.pial, 180, middle), rotate(plane.white, 180, middle)

    return _with(stack, k, turn)


def gone(stack: Stack, k: int) -> Stack:
    """Leave out sections without declaring them missing."""
    return [None if k <= n < k + N_GONE else plane for n, plane in enumerate(stack)]


def torn(stack: Stack, k: int) -> Stack:
    """Lose a part of a section along a straight tear."""

    def tear(plane: PlaneContours) -> tuple[MultiPolygon, MultiPolygon]:
        angle = float(generator(k, "tear").uniform(0, 360))
        middle = plane.pial.centroid
        turned = rotate(plane.pial, angle, middle)
        left, top, right, bottom = turned.bounds
        low, high = left, right
        for _ in range(30):
            at = (low + high) / 2
            share = turned.intersection(shapely.box(left, top, at, bottom)).area / turned.area
            low, high = (at, high) if share < TORN_SHARE else (low, at)
        lost = rotate(shapely.box(left - 1, top - 1, low, bottom + 1), -angle, middle)
        return _multi(plane.pial.difference(lost)), _multi(plane.white.difference(lost))

    return _with(stack, k, tear)


FAULTS: dict[str, Callable[[Stack, int], Stack]] = {
    "white ring forgotten": white_forgotten,
    "upside down": upside_down,
    f"{N_GONE} sections gone": gone,
    "torn": torn,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one stack: places that the check names, whether the build passes its limits, volumes in mm3."""

    named: frozenset[str]
    is_passed: bool
    volumes: dict[str, float]
    plain: dict[str, float]


def measure(options: Options) -> Result:
    """Break the stack at every place, check and build it."""
    whole: Stack = list(read_contours(options))
    areas = np.array([plane.white.area for plane in whole if plane is not None])
    usable = np.flatnonzero(areas > LEAST_SHARE * areas.max())[1 : -N_GONE - 1]
    places = np.sort(generator(0, "broken").choice(usable, 2 if options.quick else 5, replace=False)).tolist()
    cases = [("", 0), *((name, k) for name in FAULTS for k in places)]
    with tempfile.TemporaryDirectory() as temporary:
        bench = _Bench(Path(temporary), whole)
        found = dict(zip(cases, map_ordered(bench.outcome, cases, available_cpus()), strict=True))
    intact = found["", 0]
    rows = [["none", 1, "-", len(intact.named), int(intact.is_passed), *["-"] * 9]]
    rows += [_row(name, [found[name, k] for k in places], places, intact) for name in FAULTS]
    n_good, n_all = sum(row[9] for row in rows[1:]), sum(row[1] for row in rows[1:])
    claim = f"{n_good} of {n_all} faults named or rebuilt within {100 * WITHIN:g} % of both volumes"
    title = f"BigBrain, left, broken: {SURFACE.voxel_mm:g} mm voxels, at sections {', '.join(map(str, places))}"
    return Result(title, COLUMNS, rows, claim)


def _row(name: str, outcomes: Sequence[Outcome], places: Sequence[int], intact: Outcome) -> list[Any]:
    errors = {kind: np.array([_error(o.volumes, intact.volumes, kind) for o in outcomes]) for kind in KINDS}
    plain = {kind: np.array([_error(o.plain, intact.plain, kind) for o in outcomes]) for kind in KINDS}
    is_named, n_others = [], []
    for k, outcome in zip(places, outcomes, strict=True):
        right = f"sections {k - 1} and {k + N_GONE}" if name.endswith("gone") else f"{BRAIN} section {k}"
        new = {place.partition(",")[0] for place in outcome.named - intact.named}
        is_named.append(right in new)
        n_others.append(len(new - {right}))
    is_close = np.all([errors[kind] <= WITHIN for kind in KINDS], axis=0)
    return [
        name,
        len(outcomes),
        sum(is_named),
        sum(n_others),
        sum(outcome.is_passed for outcome in outcomes),
        *_percent(errors["white"]),
        *_percent(errors["pial"]),
        int((np.array(is_named) | is_close).sum()),
        *_percent(plain["white"]),
        *_percent(plain["pial"]),
    ]


def _error(volumes: dict[str, float], intact: dict[str, float], kind: str) -> float:
    return abs(volumes[kind] / intact[kind] - 1) if kind in volumes else np.inf


def _percent(errors: np.ndarray) -> tuple[float, float]:
    return 100 * float(errors.mean()), 100 * float(errors.max())


class _Bench:
    """A study whose unbroken sections are written once."""

    def __init__(self, folder: Path, whole: Stack) -> None:
        self.folder = folder
        self.whole = whole
        for k, plane in enumerate(whole):
            self._write(folder / f"{k}.geojson", plane)

    def outcome(self, case: tuple[str, int]) -> Outcome:
        """Check and build the stack with a fault at a place; no fault, the whole stack."""
        speak(quiet=True)
        name, at = case
        stack = FAULTS[name](self.whole, at) if name else self.whole
        folder = self.folder / f"{name} {at}"
        sections = []
        for k, (plane, unbroken) in enumerate(zip(stack, self.whole, strict=True)):
            if plane is None:
                continue
            path = (self.folder if plane is unbroken else folder) / f"{k}.geojson"
            if plane is not unbroken:
                self._write(path, plane)
            here = SectionPlane(plane.to_world)
            sections.append(Section(BRAIN, k, None, here.um_per_px[0], here, path))
        write_sections(folder / "sections.tsv", sections)
        brain = {"id": BRAIN, "role": "train", "hemispheres": ["L"], "sections": "sections.tsv"}
        study = {"name": BRAIN, "species": "Homo sapiens", "stain": "Merker", "space": {"name": "own"}}
        study |= {"contours": {"repair": True}, "data_roots": [".."], "brains": [brain]}
        manifest = folder / "study.yaml"
        write_text(manifest, yaml.safe_dump(study))
        named = frozenset(problem.place for problem in check_study(manifest).problems)
        volumes, is_passed = self._build(manifest)
        plain = distance_stack([plane for plane in stack if plane is not None], SURFACE)
        return Outcome(named, is_passed, volumes, {kind: _largest_mm3(mesh) for kind, mesh in plain.items()})

    def _build(self, manifest: Path) -> tuple[dict[str, float], bool]:
        unlimited = {name: None for name in CheckConfig.model_fields if name.startswith("max_")}
        settings = BuildGraphConfig(surface=SURFACE, checks=CheckConfig.model_validate(unlimited))
        try:
            build_graphs(manifest, manifest.parent / "run", settings, workers=1)
        except CytomeshError:
            return {}, False
        qc = read_json(manifest.parent / "run" / "graphs" / f"{BRAIN}_hemi-L" / "qc.json")
        volumes = {kind: float(qc["surfaces"][kind]["volume_mm3"]) for kind in KINDS}
        return volumes, all(verdict.is_passed for verdict in judge(qc, CheckConfig()))

    def _write(self, path: Path, plane: PlaneContours | None) -> None:
        if plane is not None:
            write_contours(path, SectionContours({"L": HemisphereContours(plane.pial, plane.white)}))


def _largest_mm3(mesh: Mesh) -> float:
    """Return the volume of the largest piece: a cortex is one."""
    _, piece = connected_components(mesh.adjacency(), directed=False)
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    return float(np.bincount(piece[mesh.faces[:, 0]], np.einsum("nx,nx->n", a, np.cross(b, c)) / 6).max())


def _with(stack: Stack, k: int, change: Callable[[PlaneContours], tuple[MultiPolygon, MultiPolygon]]) -> Stack:
    plane = stack[k]
    assert plane is not None
    return [*stack[:k], PlaneContours(plane.to_world, *change(plane)), *stack[k + 1 :]]


def _multi(region: Any) -> MultiPolygon:
    return MultiPolygon([part for part in shapely.get_parts(region) if part.geom_type == "Polygon"])


if __name__ == "__main__":
    main(measure, __doc__)
