from pathlib import Path

import pytest

from cytomesh.core.errors import QualityError
from cytomesh.core.files import read_json, write_json
from cytomesh.graph.config import CheckConfig
from cytomesh.graph.limits import Verdict, bounds, check_verdicts, judge, number


def record(euler=2, crossings=0, distance=0.05, volume=100.0, shift=0.1, cut=2, discarded=0.0):
    surface = {"euler_number": euler, "volume_mm3": volume, "area_mm2": 80.0}
    before = {
        "euler_number_before": -4,
        "n_places": 3,
        "voxels_before": 8000,
        "voxels_filled": 10,
        "voxels_cut": cut + int(8 * discarded) + 300,
        "voxels_opened": 300,
        "discarded_mm3": discarded,
        "largest_discarded_mm3": discarded,
    }
    return {
        "surfaces": {
            **dict.fromkeys(("pial", "midthickness", "white"), surface),
            "n_self_intersections": {"pial": crossings, "midthickness": 0, "white": 0},
            "thickness_mm": {"median": 2.5},
        },
        "report": {"voxel_mm": 0.5, "pial": before, "white": before},
        "contour_estimates": {kind: {"volume_mm3": 100.0, "area_mm2": 80.0} for kind in ("pial", "white")},
        "sections": [
            {
                "section": 11,
                "pial_distance_mm": {"mean": distance},
                "white_distance_mm": {"mean": 0.02},
                "shift_mm": [shift, 0.0],
                "rotation_deg": -0.4,
            },
            {"section": 12, "pial_distance_mm": {"mean": float("nan")}},
        ],
        "links": {
            "share_linked_of_reachable": 0.95,
            "share_linked": 0.6,
            "reach_mm": {"p95": 0.7},
            "distance_mm": {"p95": 0.5},
        },
    }


STRICT = {
    "max_self_intersections": 0,
    "max_changed_places": 5,
    "max_changed_share": 0.01,
    "max_discarded_share": 0.01,
    "max_contour_distance_mm": 0.1,
    "max_volume_error": 0.05,
    "max_area_error": 0.2,
    "thickness_mm": (1.5, 4.0),
    "max_link_residual_mm": 1.0,
    "max_shift_mm": 0.5,
    "max_rotation_deg": 1.0,
}


def test_everything_is_reported_and_nothing_fails_without_limits():
    limits = ("max_changed_share", "max_discarded_share", "max_volume_error", "max_area_error")
    checks = CheckConfig(require_euler=False, **dict.fromkeys(limits))
    verdicts = judge(
        record(euler=-8, crossings=9, distance=3.0, volume=150.0, shift=4.0, cut=900, discarded=90.0), checks
    )
    assert all(verdict.is_passed for verdict in verdicts)
    values = {verdict.name: verdict.value for verdict in verdicts}
    assert values["pial: contour to surface, mean of the worst section"] == 3.0
    assert values["pial: volume against the contours' own, relative"] == pytest.approx(0.5)
    assert values["white: filled or cut, share of the volume"] == pytest.approx(910 / 8000)
    assert values["white: largest discarded piece, share of the volume"] == pytest.approx(90 / 1000)
    assert values["alignment: largest shift"] == 4.0 and values["alignment: largest turn"] == 0.4
    check_verdicts("B_hemi-L", verdicts, Path("qc.html"))


def test_a_good_record_passes_every_limit():
    verdicts = judge(record(), CheckConfig(**STRICT))
    assert all(verdict.is_passed for verdict in verdicts)
    assert {verdict.key for verdict in verdicts if verdict.is_judged} == {*STRICT, "require_euler", "min_linked"}


def test_area_that_is_lost_to_long_edges_is_a_matter_of_their_length():
    short = record()
    short["surfaces"]["pial"]["area_mm2"] *= 0.7
    with pytest.raises(QualityError, match=r"smaller surface\.edge_length_mm.*, look at .*qc\.html"):
        check_verdicts("B_hemi-L", judge(short, CheckConfig(**STRICT)), Path("qc.html"))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"crossings": 4}, "max_self_intersections"),
        ({"distance": 0.3}, "max_contour_distance_mm"),
        ({"volume": 120.0}, "max_volume_error"),
        ({"shift": 0.9}, "max_shift_mm"),
        ({"cut": 100}, "max_changed_share"),
        ({"discarded": 20.0}, "max_discarded_share"),
        ({"euler": 0}, "require_euler"),
    ],
)
def test_each_limit_turns_into_a_failure(change, key):
    with pytest.raises(QualityError, match=rf"checks\.{key}.*qc\.html"):
        check_verdicts("B_hemi-L", judge(record(**change), CheckConfig(**STRICT)), Path("qc.html"))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"volume": 104.0}, "max_volume_error"),
        ({"cut": 100}, "max_changed_share"),
        ({"discarded": 20.0}, "max_discarded_share"),
    ],
)
def test_a_brain_that_lost_a_part_fails_by_default(change, key):
    check_verdicts("B_hemi-L", judge(record(), CheckConfig()), Path("qc.html"))
    with pytest.raises(QualityError, match=rf"checks\.{key}"):
        check_verdicts("B_hemi-L", judge(record(**change), CheckConfig()), Path("qc.html"))


def test_each_value_stands_with_its_limit_and_its_section():
    with pytest.raises(QualityError) as caught:
        check_verdicts("B", judge(record(distance=0.3, volume=120.0), CheckConfig(**STRICT)), Path("qc.html"))
    assert (
        "mean of the worst section 0.3 mm (at most 0.1 mm, checks.max_contour_distance_mm), section 11; "
        in caught.value.found
    )
    assert (
        "pial: volume against the contours' own, relative 0.2 (at most 0.05, checks.max_volume_error)"
        in caught.value.found
    )
    with pytest.raises(QualityError, match="look at section 11 "):  # no failed value has a section of its own
        check_verdicts("B", judge(record(distance=0.06, volume=120.0), CheckConfig(**STRICT)), Path("qc.html"))


def test_a_share_is_not_negative_where_opened_voxels_are_discarded():
    few = record(cut=-10, discarded=1.0)
    share = next(v for v in judge(few, CheckConfig()) if v.name == "pial: filled or cut, share of the volume")
    assert share.value == 0.0


def test_bounds_in_words():
    assert bounds(Verdict("a", 1.0, None, 0.5, "mm")) == "at most 0.5 mm"
    assert bounds(Verdict("a", 1.0, 0.8)) == "at least 0.8"
    assert bounds(Verdict("a", 1.0, 1.5, 4.0, "mm")) == "1.5 to 4 mm"
    assert bounds(Verdict("a", 2, 2, 2)) == "2" and bounds(Verdict("a", 1.0)) == ""
    assert number(1234567.0) == "1,234,567" and number(0.012345) == "0.01235" and number(None) == ""


def test_a_record_read_back_is_judged_as_when_it_was_written(tmp_path):
    write_json(tmp_path / "qc.json", record())
    stored = read_json(tmp_path / "qc.json")
    assert stored["sections"][1]["pial_distance_mm"]["mean"] is None  # NaN is no JSON
    assert judge(stored, CheckConfig(**STRICT)) == judge(record(), CheckConfig(**STRICT))
