import pytest

from cytomesh.core.errors import ContourError, CytomeshError, StudyError
from cytomesh.study.problems import attempt, raise_problems


def test_attempt_collects_and_goes_on():
    problems: list[CytomeshError] = []

    def fail() -> int:
        raise StudyError("study.yaml", "name", found="nothing")

    assert attempt(problems, fail) is None
    assert attempt(problems, lambda: 3) == 3
    assert [problem.place for problem in problems] == ["name"]


def test_attempt_lets_bugs_through():
    with pytest.raises(ZeroDivisionError):
        attempt([], lambda: 1 // 0)


def test_raise_problems():
    raise_problems([])
    one = ContourError("a.geojson", "feature 1", found="a line", hint="draw a ring")
    with pytest.raises(ContourError) as caught:
        raise_problems([one])
    assert caught.value is one
    two = ContourError("a.geojson", "feature 2", found="a point", expected="a ring", hint="draw a ring")
    with pytest.raises(
        ContourError, match=r"2 problems: \(1\) feature 1: a line; \(2\) feature 2: a point, expected a ring"
    ):
        raise_problems([one, two])


def test_what_is_named_together_is_kept_apart_by_attempt():
    faults = [ContourError("a.geojson", f"feature {i}", found="a line") for i in range(2)]
    problems: list[CytomeshError] = []
    assert attempt(problems, lambda: raise_problems(faults)) is None
    assert problems == faults
