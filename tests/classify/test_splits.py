import numpy as np
import pytest

from cytomesh.classify.splits import BrainSplit, ColumnSplit, HemisphereSplit, SectionSplit, make_split
from cytomesh.core.errors import SplitError


def labels_of(graphs):
    return [graph.annotation for graph in graphs]


@pytest.fixture
def brains(synthetic):
    roles = {"B01": "train", "B02": "transfer", "B03": "unseen"}
    return [synthetic.graph(brain, "L", role) for brain, role in roles.items()]


def test_section_split(brains):
    split = make_split(brains, labels_of(brains), SectionSplit(), 0)
    assert split.evaluations == ("seen", "transfer", "unseen")
    by_role = {"train": "train", "val": "validation", "test": "seen", "none": ""}
    assert [by_role[r] for r in brains[0].section_role.tolist()] == split.sides[0].tolist()
    assert set(split.sides[1]) == {"", "transfer"}
    assert set(split.sides[2]) == {"", "unseen"}
    pairs = {(int(s), side) for s, side in zip(brains[0].section, split.sides[0], strict=True) if side}
    assert len({section for section, _ in pairs}) == len(pairs)


def test_a_section_on_two_sides(brains, synthetic):
    roles = brains[0].section_role.copy()
    roles[np.flatnonzero(brains[0].section == 3)[0]] = "test"
    leaking = synthetic.change(brains[0], section_role=roles)
    with pytest.raises(SplitError, match="section 3: found both"):
        make_split([leaking], labels_of([leaking]), SectionSplit(), 0)


def test_a_section_on_two_sides_of_two_hemispheres(synthetic):
    left, right = synthetic.graph("B01", "L"), synthetic.graph("B01", "R")
    right = synthetic.change(right, section_role=np.where(right.section_role == "val", "test", right.section_role))
    with pytest.raises(SplitError, match="B01: section"):
        make_split([left, right], labels_of([left, right]), SectionSplit(), 0)


@pytest.mark.parametrize(("emptied", "place"), [("train", "train"), ("test", "test")])
def test_empty_side(brains, synthetic, emptied, place):
    graph = synthetic.change(
        brains[0], section_role=np.where(brains[0].section_role == emptied, "none", brains[0].section_role)
    )
    with pytest.raises(SplitError, match=f"split: {place}: found no labelled node"):
        make_split([graph], labels_of([graph]), SectionSplit(), 0)


def test_a_section_split_with_an_empty_side_is_pointed_to_other_splits(synthetic):
    sides = [synthetic.graph("B01", side) for side in "LR"]
    sides = [synthetic.change(graph, section_role=np.full(graph.n_nodes, "none")) for graph in sides]
    with pytest.raises(SplitError, match=r"no labelled node.*qc\.json.*split=\{kind: hemisphere\}"):
        make_split(sides, labels_of(sides), SectionSplit(), 0)


@pytest.mark.parametrize("settings", [SectionSplit(), HemisphereSplit(kind="hemisphere")])
def test_graphs_without_labels_are_said_before_the_split(synthetic, settings):
    bare = [synthetic.graph("B01", side) for side in "LR"]
    bare = [synthetic.change(graph, section=np.full(graph.n_nodes, -1, np.int32)) for graph in bare]
    with pytest.raises(SplitError, match="graphs: found no node with a label.*'labels' in the manifest"):
        make_split(bare, [np.zeros(graph.n_nodes, np.int32) for graph in bare], settings, 0)


def test_graphs_without_sections_are_pointed_to_other_splits(brains, synthetic):
    imported = [synthetic.change(graph, section=np.full(graph.n_nodes, -1, np.int32)) for graph in brains]
    with pytest.raises(SplitError, match=r"no node has a section.*kind: brain, train: \[B01, B02\], test: \[B03\]"):
        make_split(imported, labels_of(imported), SectionSplit(), 0)
    sides = [synthetic.change(synthetic.graph("B01", side), section=np.full(imported[0].n_nodes, -1)) for side in "LR"]
    with pytest.raises(SplitError, match=r"Way out: --set 'split=\{kind: hemisphere\}'.*kind: column"):
        make_split(sides, labels_of(sides), SectionSplit(), 0)


def test_hemisphere_split_with_blocks(synthetic):
    graphs = [synthetic.graph("B01", hemisphere) for hemisphere in "LR"]
    settings = HemisphereSplit(kind="hemisphere", validation=0.2)
    split = make_split(graphs, labels_of(graphs), settings, 0)
    left, right = split.sides
    assert set(right) == {"", "test"}
    share = (left == "validation").sum() / (left != "").sum()
    assert 0.15 < share < 0.3
    # contiguous: far fewer borders between sides than a random choice of nodes has
    i, j = graphs[0].mesh.edges.T
    inner = (left[i] != "") & (left[j] != "")
    assert (left[i] != left[j])[inner].mean() < 0.5 * 2 * share * (1 - share)
    for area in np.unique(graphs[0].annotation[graphs[0].annotation > 0]):
        of_area = left[graphs[0].annotation == area]
        assert (of_area == "train").mean() >= 1 / 3 - 1e-9
    assert make_split(graphs, labels_of(graphs), settings, 0).sides[0].tolist() == left.tolist()
    assert make_split(graphs, labels_of(graphs), settings, 1).sides[0].tolist() != left.tolist()
    nothing = make_split(graphs, labels_of(graphs), HemisphereSplit(kind="hemisphere", validation=0.0), 0)
    assert set(nothing.sides[0]) == {"", "train"}


def test_brain_split(brains):
    settings = BrainSplit(kind="brain", train=["B01"], validation=["B02"], test=["B03"])
    split = make_split(brains, labels_of(brains), settings, 0)
    assert [set(sides) - {""} for sides in split.sides] == [{"train"}, {"validation"}, {"test"}]
    with pytest.raises(SplitError, match="brain B01 on two sides"):
        make_split(brains, labels_of(brains), BrainSplit(kind="brain", train=["B01"], test=["B01"]), 0)
    with pytest.raises(
        SplitError, match=r"split\.test: found no brain B09 in this run, expected among B01, B02, B03\."
    ):
        make_split(brains, labels_of(brains), BrainSplit(kind="brain", train=["B01"], test=["B09"]), 0)


def test_hemispheres_on_two_sides(brains):
    with pytest.raises(SplitError, match="hemisphere L on two sides"):
        make_split(brains, labels_of(brains), HemisphereSplit(kind="hemisphere", train=["L"], test=["L"]), 0)


def test_column_split(brains, synthetic):
    graphs = [synthetic.change(graph, block=np.digitize(graph.positions[:, 0], [-20, 20])) for graph in brains]
    settings = ColumnSplit(kind="column", column="block", train=["0"], validation=["1"], test=["2"])
    split = make_split(graphs, labels_of(graphs), settings, 0)
    for graph, side in zip(graphs, split.sides, strict=True):
        labelled = graph.annotation > 0
        names = np.array(["train", "validation", "test"])[np.asarray(graph.nodes["block"])]
        assert side[labelled].tolist() == names[labelled].tolist() and set(side[~labelled]) <= {""}


def test_a_column_must_be_there_and_keep_sides_apart(brains, synthetic):
    settings = ColumnSplit(kind="column", column="block", train=["0"], test=["1"])
    with pytest.raises(SplitError, match="no column 'block'"):
        make_split(brains, labels_of(brains), settings, 0)
    chance = np.random.default_rng(0)
    graphs = [synthetic.change(graph, block=chance.integers(0, 2, graph.n_nodes)) for graph in brains]
    with pytest.raises(SplitError, match="column 'block': found .* training node as neighbour"):
        make_split(graphs, labels_of(graphs), settings, 0)
    with pytest.raises(SplitError, match=r"split\.train: found no value of 'block' 3 in this run, .*among 0, 1$"):
        make_split(graphs, labels_of(graphs), settings.model_copy(update={"train": ["3"]}), 0)
