from cytomesh.core.renamed import current_names


def test_stored_settings_are_the_same_by_their_new_names():
    old = {"surroundings.hops": [3], "proportions": "free", "types.n_types": 4, "method": "types", "seed": 0}
    old["evaluation.baselines"] = ["ward", "types"]
    assert current_names(old) == {
        "crf.hops": [3],
        "label_shift": "free",
        "feature_clusters.n_types": 4,
        "method": "feature_clusters",
        "seed": 0,
        "evaluation.baselines": ["ward", "feature_clusters"],
    }
