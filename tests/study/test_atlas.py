import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from cytomesh.core.errors import AtlasError
from cytomesh.core.labels import LabelTable
from cytomesh.study import atlas as atlas_module
from cytomesh.study.atlas import Atlas, load_atlas, read_labels, write_labels, write_probability_maps
from cytomesh.study.manifest import AtlasConfig

LABELS = LabelTable.from_names(["V1", "V2", "M1"])


@pytest.fixture
def maps(tmp_path):
    """Random probabilities on an oblique 2 mm grid: (path, values, affine)."""
    rng = np.random.default_rng(3)
    values = rng.uniform(0, 0.5, (8, 9, 10, 3)).astype(np.float32)
    values[..., 2] = 0
    values[2:4, 2:4, 2:4, 2] = 0.25
    affine = np.array([[2.0, 0.1, 0, -8], [-0.1, 2.0, 0, -9], [0, 0, 2.0, -10], [0, 0, 0, 1]])
    write_probability_maps(tmp_path / "pmaps.nii.gz", values, affine)
    return tmp_path / "pmaps.nii.gz", values, nib.load(tmp_path / "pmaps.nii.gz").affine


def by_scipy(values, affine, positions):
    grid = (np.c_[positions, np.ones(len(positions))] @ np.linalg.inv(affine).T)[:, :3].T
    return np.stack([map_coordinates(values[..., j], grid, order=1, mode="grid-constant") for j in range(3)], 1)


@pytest.mark.parametrize("block_bytes", [1, 1 << 28])
def test_sampling_equals_scipy(maps, block_bytes, monkeypatch):
    monkeypatch.setattr(atlas_module, "BLOCK_BYTES", block_bytes)
    path, values, affine = maps
    positions = np.random.default_rng(0).uniform(-9, 9, (500, 3))
    sampled = Atlas(LABELS, path, "MNI").sample(positions)
    assert sampled.shape == (500, 3) and sampled.dtype == np.float32
    np.testing.assert_allclose(sampled.toarray(), by_scipy(values, affine, positions), atol=1e-5)
    assert sampled[:, 2].nnz < 100  # absent areas are not stored


def test_one_file_an_area_equals_one_file(maps, tmp_path):
    path, values, affine = maps
    for j, name in enumerate(("V1", "V2")):
        nib.save(nib.Nifti1Image(values[..., j], affine), tmp_path / f"{name}.nii")
    positions = np.random.default_rng(0).uniform(-7, 7, (50, 3))
    separate = Atlas(LABELS, {"V2": tmp_path / "V2.nii", "V1": tmp_path / "V1.nii"}, "MNI")
    separate.check()
    both = Atlas(LABELS, path, "MNI").sample(positions).toarray()
    np.testing.assert_allclose(separate.sample(positions).toarray()[:, :2], both[:, :2])
    assert separate.sample(positions)[:, 2].nnz == 0


def test_maps_are_found_by_names_with_accents_written_apart(maps, tmp_path):
    labels = LabelTable.from_names(["pr\u00e9-SMA"])
    nib.save(nib.Nifti1Image(maps[1][..., 0], maps[2]), tmp_path / "a.nii.gz")
    settings = AtlasConfig(labels="labels.tsv", probability_maps={"pre\u0301-SMA": "a.nii.gz"}, space="MNI")
    atlas = load_atlas(settings, labels, "MNI", tmp_path / "study.yaml")
    assert atlas.sample(np.zeros((1, 3))).nnz == 1


def test_unknown_area_name(tmp_path):
    with pytest.raises(AtlasError, match="atlas.probability_maps: found unknown area 'V9', expected one of V1, V2, M1"):
        Atlas(LABELS, {"V9": tmp_path / "V9.nii"}, "MNI")


def test_map_in_another_space(maps, tmp_path):
    settings = AtlasConfig(labels="labels.tsv", probability_maps="pmaps.nii.gz", space="Colin27")
    with pytest.raises(AtlasError, match="atlas.space: found 'Colin27', expected the study's space 'MNI'"):
        load_atlas(settings, LABELS, "MNI", tmp_path / "study.yaml")


def test_positions_elsewhere_mean_another_space(maps):
    with pytest.raises(AtlasError, match=r"100 % of the positions outside the map's grid.*to_reference"):
        Atlas(LABELS, maps[0], "MNI").sample(np.full((10, 3), 80.0))


@pytest.mark.parametrize("value", [50.0, -0.2, np.nan])
def test_values_that_are_no_probabilities(maps, value):
    path, values, affine = maps
    values[1, 2, 3, 1] = value
    write_probability_maps(path, values, affine)
    atlas = Atlas(LABELS, path, "MNI")
    for use in (atlas.check, lambda: atlas.sample(np.zeros((1, 3)))):
        with pytest.raises(AtlasError, match="area 'V2': found values from"):
            use()


def test_maps_that_do_not_fit(maps, tmp_path):
    path, values, _ = maps
    with pytest.raises(AtlasError, match=r"expected a 4D map with 2 volumes"):
        Atlas(LabelTable.from_names(["a", "b"]), path, "MNI").check()
    with pytest.raises(AtlasError, match="expected a 3D map"):
        Atlas(LABELS, {"V1": path}, "MNI").check()
    with pytest.raises(AtlasError, match="no such probability map"):
        Atlas(LABELS, tmp_path / "none.nii", "MNI").check()
    (tmp_path / "bad.nii").write_bytes(b"nothing")
    with pytest.raises(AtlasError, match="cannot be read"):
        Atlas(LABELS, tmp_path / "bad.nii", "MNI").check()
    image = nib.Nifti1Image(values[..., 0], None)
    nib.save(image, tmp_path / "nowhere.nii")
    with pytest.raises(AtlasError, match="no orientation"):
        Atlas(LABELS, {"V1": tmp_path / "nowhere.nii"}, "MNI").check()


def test_atlas_may_be_labels_only(tmp_path):
    assert load_atlas(AtlasConfig(labels="l.tsv", space="MNI"), LABELS, "MNI", tmp_path / "study.yaml") is None


def test_label_tables_round_trip(tmp_path):
    write_labels(tmp_path / "labels.tsv", LABELS)
    read = read_labels(tmp_path / "labels.tsv")
    assert read.names == LABELS.names and read.indices == LABELS.indices
    np.testing.assert_allclose(read.colours, LABELS.colours, atol=0.5 / 255)
    empty = LabelTable((), (), np.empty((0, 4)))  # of a graph, in a study without areas
    write_labels(tmp_path / "empty.tsv", empty)
    assert len(read_labels(tmp_path / "empty.tsv")) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index\tname\tr\tg\tb\n1\tV1\t0\t0\t0\n", "no column a"),
        ("index\tname\tr\tg\tb\ta\nx\tV1\t0\t0\t0\t255\n", "line 2"),
        ("index\tname\tr\tg\tb\ta\n1\tV1\t0\t0\t999\t255\n", "line 2: found colour or name out of range"),
        ("index\tname\tr\tg\tb\ta\n1\tV1\t0\t0\t9\t255\n1\tV2\t0\t0\t9\t255\n", "positive, unique"),
        ("index\tname\tr\tg\tb\ta\n1\tV1\t0\t0\t9\t255\n2\tV1\t0\t0\t9\t255\n", "names listed twice: V1"),
        ("index\tname\tr\tg\tb\ta\n\n1\tV1\t0\t0\t9\t255\n\nx\tV2\t0\t0\t9\t255\n", "line 5"),
        ("", "no column"),
    ],
)
def test_wrong_label_tables(tmp_path, text, message):
    path = tmp_path / "labels.tsv"
    path.write_text(text)
    with pytest.raises(AtlasError, match=message):
        read_labels(path)
    with pytest.raises(AtlasError, match="no such label table"):
        read_labels(tmp_path / "none.tsv")


def test_maps_in_micrometres_are_sampled_at_the_same_places(maps, tmp_path):
    _, values, affine = maps
    image = nib.Nifti1Image(values, np.diag([1000.0, 1000, 1000, 1]) @ affine)
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "um.nii.gz")
    positions = np.random.default_rng(0).uniform(-9, 9, (200, 3))
    found = Atlas(LABELS, tmp_path / "um.nii.gz", "MNI").sample(positions).toarray()
    np.testing.assert_allclose(found, by_scipy(values, affine, positions), atol=1e-4)
    assert found[:, :2].std() > 0.1


def test_rows_of_the_label_table_come_in_any_order(maps, tmp_path):
    path, values, affine = maps
    table = LabelTable((7, 2, 5), ("M1", "V1", "V2"), LABELS.colours)
    write_labels(tmp_path / "labels.tsv", table)
    write_probability_maps(tmp_path / "other.nii.gz", values[..., [2, 0, 1]], affine)
    positions = np.random.default_rng(0).uniform(-9, 9, (50, 3))
    read = read_labels(tmp_path / "labels.tsv")
    one, other = (Atlas(*both, "MNI").sample(positions) for both in ((LABELS, path), (read, tmp_path / "other.nii.gz")))
    for label, name in ((2, "V1"), (5, "V2"), (7, "M1")):
        column = read.columns(np.array([label]))[0]
        np.testing.assert_array_equal(other[:, column].toarray(), one[:, LABELS.names.index(name)].toarray())


def test_probabilities_that_add_up_to_more_than_one_are_named(tmp_path):
    labels = LabelTable.from_names(["A", "B"])
    values = np.full((4, 4, 4, 2), 0.5, np.float32)
    write_probability_maps(tmp_path / "maps.nii.gz", values, np.eye(4))
    Atlas(labels, tmp_path / "maps.nii.gz", "own").check()
    values[:2] = 0.9
    write_probability_maps(tmp_path / "maps.nii.gz", values, np.eye(4))
    with pytest.raises(AtlasError, match=r"32 voxels \(50%\) where probabilities add up, to 1.80"):
        Atlas(labels, tmp_path / "maps.nii.gz", "own").check()


def test_maps_of_nothing_are_refused_and_others_say_where_areas_are(tmp_path):
    labels = LabelTable.from_names(["V1", "V2"])
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    maps = np.zeros((5, 5, 5, 2), np.float32)
    write_probability_maps(tmp_path / "p.nii.gz", maps, affine)
    with pytest.raises(AtlasError, match="zero throughout"):
        Atlas(labels, tmp_path / "p.nii.gz", "MNI").check()
    maps[1, 2, 3, 0] = 0.8
    write_probability_maps(tmp_path / "p.nii.gz", maps, affine)
    assert Atlas(labels, tmp_path / "p.nii.gz", "MNI").check().tolist() == [[2.0, 4.0, 6.0]]
