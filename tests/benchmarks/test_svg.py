import pytest

from benchmarks.study.svg import DRAWINGS, by_cytomesh, verdict


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda drawing: drawing.title)
def test_no_ring_is_wrong(tmp_path, drawing):
    assert verdict(by_cytomesh, tmp_path / "c.svg", drawing) in ("right", "refused")


def test_most_drawings_are_read(tmp_path):
    verdicts = [verdict(by_cytomesh, tmp_path / "c.svg", drawing) for drawing in DRAWINGS]
    assert verdicts.count("right") >= 43
