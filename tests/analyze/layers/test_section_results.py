"""What a section leaves comes back from its file as it was."""

import numpy as np

from cytomesh.analyze.layers.section_results import TRUE_SHARES, SectionResults, read_section_results
from cytomesh.analyze.layers.tally import SectionScore


def score(rng, unordered):
    counts = rng.integers(0, 9, (8, 8))
    boundary_um = np.array([1.5, np.nan, 2.0, 0.1, np.inf])
    return SectionScore("B01 section 1", counts, counts + 1 if unordered else None, boundary_um, rng.random(5), 7)


def test_arrays_scores_and_their_order(tmp_path):
    rng = np.random.default_rng(0)
    found = SectionResults()
    for method, number in (("vit", 0), (TRUE_SHARES, 1), ("depth alone", 0)):
        shares = rng.random((4, 6))
        shares[1] = np.nan
        found.shares[method, number] = rng.integers(0, 100, 4), shares
    found.tally.scores["vit", "unseen"] = [score(rng, True), score(rng, False)]
    found.tally.scores["depth alone", "seen"] = [score(rng, False)]
    found.write(tmp_path / "s.npz")
    again = read_section_results(tmp_path / "s.npz")
    assert list(again.shares) == list(found.shares) and list(again.tally.scores) == list(found.tally.scores)
    for key, (nodes, shares) in found.shares.items():
        np.testing.assert_array_equal(again.shares[key][0], nodes)
        np.testing.assert_array_equal(again.shares[key][1], shares)
    for key, scores in found.tally.scores.items():
        for one, other in zip(scores, again.tally.scores[key], strict=True):
            assert (one.section, one.n_columns) == (other.section, other.n_columns)
            for name in ("counts", "unordered", "boundary_um", "hausdorff_um"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_an_empty_section(tmp_path):
    SectionResults().write(tmp_path / "s.npz")
    again = read_section_results(tmp_path / "s.npz")
    assert not again.shares and not again.tally.scores
