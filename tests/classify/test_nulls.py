import pytest

from cytomesh.classify.nulls import spin_null


def test_p_value_and_order():
    values = iter([0.1, 0.2, 0.9])
    graphs: list = []
    result = spin_null([], graphs, 3, 0, {"test": 0.5}, lambda labels: {"test": next(values)})
    assert result["test"]["p"] == pytest.approx(2 / 4)
    assert result["test"]["spins"] == [0.1, 0.2, 0.9]
