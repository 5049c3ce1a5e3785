from cytomesh.phantom.config import GeometryConfig
from cytomesh.phantom.individual import individual
from cytomesh.phantom.repair import depth_below, opposite_pairs, touching


def test_banks_of_individual_brains_stay_apart(cortex):
    for brain in ("B01", "B04"):
        own = individual(GeometryConfig(), 3, brain).cortex(cortex)
        for points, side in ((own.pial, 1), (own.white, -1)):
            pairs = opposite_pairs(points, own.faces, within_mm=1.5)
            assert touching(points, own.faces, pairs, side=side, gap_mm=0.5).sum() == 0
        assert depth_below(own.pial, own.faces, own.white).min() > 0.4


def test_touching_finds_what_is_close(cortex):
    pairs = opposite_pairs(cortex.pial, cortex.faces, within_mm=2.0)
    assert touching(cortex.pial, cortex.faces, pairs, side=1, gap_mm=1.5).sum() > 50
