import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.classify import out_of_core
from cytomesh.classify.inputs import InputsConfig, prepare_inputs
from cytomesh.classify.out_of_core import StoredInput, StoredInputs, join, keep, map_rows, take
from cytomesh.graph.storage import load_graphs

EVERYTHING = ["features", "pmap", "coordinates", "thickness"]


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(out_of_core, "CHUNK_VALUES", 1000)


@pytest.mark.parametrize(
    "settings",
    [
        InputsConfig(names=EVERYTHING),
        InputsConfig(names=EVERYTHING, standardise="graph"),
        InputsConfig(names=["features", "thickness"], hops=[0, 1, 3]),
        InputsConfig(names=["features"], hops=[0, 2], neighbourhood="disc"),
    ],
    ids=["node", "by graph", "walk", "disc"],
)
def test_inputs_on_disk_are_those_in_memory(section_run, tmp_path, settings):
    graphs = load_graphs(section_run)
    is_train = [graph.section_role == "train" for graph in graphs]
    whole = prepare_inputs(section_run, graphs, is_train, settings)
    on_disk = settings.model_copy(update={"memory_gib": 0})
    parts = prepare_inputs(section_run, graphs, is_train, on_disk, scratch=tmp_path)
    assert parts.widths == whole.widths
    assert parts.notes == whole.notes
    for name, moments in whole.scaling.items():
        np.testing.assert_array_equal(parts.scaling[name], moments)
    for values, lazy in zip(whole.values, parts.values, strict=True):
        assert isinstance(lazy, StoredInputs)
        assert lazy.shape == values.shape
        np.testing.assert_array_equal(lazy[:], values)
        np.testing.assert_array_equal(lazy[np.arange(0, 600, 7)], values[::7][:86])


def test_chunks_change_nothing(section_run, small_chunks):
    graphs = load_graphs(section_run)
    is_train = [graph.section_role == "train" for graph in graphs]
    settings = InputsConfig(names=["features"], hops=[0, 2])
    found = prepare_inputs(section_run, graphs, is_train, settings)
    out_of_core.CHUNK_VALUES = 2**26
    for one, other in zip(found.values, prepare_inputs(section_run, graphs, is_train, settings).values, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_rows_like_those_of_an_array():
    random = np.random.default_rng(0)
    half = random.normal(size=(20, 3)).astype(np.float16)
    sparse = sp.random_array((20, 4), density=0.3, rng=random, format="csr")
    filled = StoredInput(half, filled_rows=np.array([2, 5]), filled=np.full((2, 3), 9, np.float32))
    both = join(
        [StoredInputs(((filled, StoredInput(sparse)),)), StoredInputs(((StoredInput(half), StoredInput(sparse)),))]
    )
    expected = np.tile(np.hstack([half.astype(np.float32), sparse.toarray().astype(np.float32)]), (2, 1))
    expected[[2, 5], :3] = 9
    assert both.shape == expected.shape
    mask = random.random(40) > 0.5
    for rows in (mask, np.array([39, 2, 20, 19]), slice(15, 25)):
        np.testing.assert_array_equal(both[rows], expected[rows])
        np.testing.assert_array_equal(take(both, rows)[:], expected[rows])
    np.testing.assert_array_equal(take(take(both, mask), slice(3, 6))[:], expected[mask][3:6])


def test_functions_of_rows_in_chunks(small_chunks):
    values = np.random.default_rng(0).normal(size=(500, 7)).astype(np.float32)
    lazy = StoredInputs(((StoredInput(values),),))
    np.testing.assert_array_equal(map_rows(lambda x: x.max(axis=1), lazy), values.max(axis=1))


def test_prepared_files_are_whole_and_used_again(tmp_path):
    calls = []

    def fill(out):
        calls.append(len(calls))
        out[:] = len(calls)

    def stopped(out):
        out[:] = 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path, "means", (4, 2), stopped)
    assert not list(tmp_path.iterdir())
    first = keep(tmp_path, "means", (4, 2), fill)
    np.testing.assert_array_equal(keep(tmp_path, "means", (4, 2), fill), first)
    assert calls == [0]
