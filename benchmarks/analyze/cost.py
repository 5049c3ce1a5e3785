"""Seconds of principal components, folds and regressions: `python -m benchmarks.analyze.cost`.

100,000 nodes, 768 features, up to 256 components, 5 folds, 7 targets (quick: 10,000 x 256, 64 components). The
peer is scikit-learn fold by fold, as one writes it: PCA once a fold, then a linear regression for each number of
components. Location and what lies beyond it are computed by cytomesh alone.
"""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from benchmarks.common import Options, Result, interleave, main
from cytomesh.analyze.explain import explain, location_terms

N_FOLDS, N_TARGETS = 5, 7


def measure(options: Options) -> Result:
    """Time both on the same numbers, and compare what comes out."""
    n, d, most, rounds = (10_000, 256, 64, 3) if options.quick else (100_000, 768, 256, 1)
    random = np.random.default_rng(0)
    hidden = random.normal(size=(n, 40)).astype(np.float32)
    features = hidden @ random.normal(size=(40, d)).astype(np.float32) + random.normal(size=(n, d)).astype(np.float32)
    targets = (hidden[:, :N_TARGETS] + random.normal(size=(n, N_TARGETS))).astype(np.float64)
    location = location_terms(random.normal(size=(n, 3)))
    fold = random.integers(0, N_FOLDS, n)
    components = [2**k for k in range(9) if 2**k <= most]
    found = {}

    def ours() -> None:
        found["cytomesh"] = explain(features, location, targets, fold, components).r2

    def peer() -> None:
        scores = np.empty((N_FOLDS, len(components), N_TARGETS))
        for f in range(N_FOLDS):
            train, test = fold != f, fold == f
            pca = PCA(most, svd_solver="covariance_eigh").fit(features[train])
            known, new = pca.transform(features[train]), pca.transform(features[test])
            for k, count in enumerate(components):
                model = LinearRegression().fit(known[:, :count], targets[train])
                predicted = model.predict(new[:, :count])
                scores[f, k] = r2_score(targets[test], predicted, multioutput="raw_values")
        found["scikit-learn"] = scores

    seconds = interleave({"cytomesh": ours, "scikit-learn": peer}, rounds)
    apart = float(np.abs(found["cytomesh"] - found["scikit-learn"]).max())
    ratio = seconds["scikit-learn"].median / seconds["cytomesh"].median
    rows = [[name, str(timing)] for name, timing in seconds.items()]
    title = (
        f"R2 of {N_TARGETS} targets, {N_FOLDS} folds, {len(components)} numbers of components up to {most}, {n:,} x {d}"
    )
    claim = f"{ratio:.1f} times as fast as scikit-learn, with location beside; R2 differs by {apart:.1e} at most"
    return Result(title, ("", "seconds"), rows, claim, {"ratio": ratio, "difference": apart})


if __name__ == "__main__":
    main(measure, __doc__)
