"""Similar features, similar colours."""

from __future__ import annotations

import numpy as np

from cytomesh.parcellate.colours import parcel_table


def test_colour_distance_follows_feature_distance() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(30, 2))
    parcels = np.repeat(np.arange(1, 31), 5)
    table = parcel_table(means[parcels - 1], parcels)
    assert table.indices == tuple(range(1, 31))
    assert table.colours.min() >= 0
    assert table.colours.max() <= 1
    pairs = np.triu_indices(30, 1)
    features = np.linalg.norm(means[pairs[0]] - means[pairs[1]], axis=1)
    colours = np.linalg.norm(table.colours[pairs[0]] - table.colours[pairs[1]], axis=1)
    assert np.corrcoef(features, colours)[0, 1] > 0.7


def test_few_parcels() -> None:
    for k in (1, 2, 3):
        parcels = np.repeat(np.arange(1, k + 1), 4)
        assert len(parcel_table(np.arange(4.0 * k)[:, None], parcels)) == k
