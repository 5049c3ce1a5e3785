import numpy as np
import pytest
from PIL import Image

from cytomesh.core.errors import AtlasError
from cytomesh.core.labels import LabelTable
from cytomesh.graph.annotate import sample_probabilities, section_roles, transfer_annotation
from cytomesh.graph.links import LinkSection, link_positions
from cytomesh.study.atlas import Atlas, write_probability_maps
from cytomesh.study.sections import Section

LABELS = LabelTable.from_names(["west", "east"])


@pytest.fixture
def linked(shapes, tmp_path):
    """A sphere cut at y = 0 and y = 1; the first section is annotated at half resolution: west 1, east 2, top none."""
    areas = np.full((500, 500), 2, np.uint8)
    areas[:, :250] = 1
    areas[:100] = 0
    Image.fromarray(areas).save(tmp_path / "areas.png")
    planes = [shapes.coronal(0.0), shapes.coronal(1.0)]
    sections = [
        Section("B", 0, None, 50.0, planes[0], None, tmp_path / "areas.png", "train", "ok", 100.0),
        Section("B", 1, None, 50.0, planes[1], role="test"),
    ]
    ribbon = shapes.sphere(5)
    nodes = ribbon.midthickness.vertices
    links = link_positions(
        ribbon, [LinkSection(i, plane, (1000, 1000)) for i, plane in enumerate(planes)], nodes, 0.5, 1
    )
    return sections, links, nodes


def test_areas_come_from_the_link_pixel_and_only_from_annotated_sections(linked):
    sections, links, _ = linked
    annotation = transfer_annotation(sections, links, LABELS)
    assert annotation.dtype == np.int32
    on_first = links.section == 0
    assert on_first.any() and (links.section == 1).any()
    assert (annotation[~on_first] == 0).all()
    expected = np.where(links.points[on_first, 0] < 0.0, 1, 2)
    clear = np.abs(links.points[on_first, 0]) > 0.1
    assert (annotation[on_first][clear] == expected[clear]).all()


def test_a_label_outside_the_table_is_an_error_that_names_the_file(linked):
    sections, links, _ = linked
    with pytest.raises(AtlasError, match=r"areas\.png.*outside the label table"):
        transfer_annotation(sections, links, LabelTable.from_names(["west"]))


def test_roles_follow_the_section(linked):
    sections, links, _ = linked
    roles = section_roles(sections, links)
    assert set(roles[links.section == 0]) == {"train"}
    assert set(roles[links.section == 1]) == {"test"}
    assert set(roles[~links.is_linked]) == {"none"}


def test_probabilities_are_sampled_in_reference_space(tmp_path):
    values = np.zeros((4, 4, 4, 2), np.float32)
    values[:2, ..., 0] = 1.0
    values[2:, ..., 1] = 0.5
    write_probability_maps(tmp_path / "maps.nii.gz", values, np.eye(4))
    found = sample_probabilities(Atlas(LABELS, tmp_path / "maps.nii.gz", "own"), np.array([[0.0, 1, 1], [3.0, 1, 1]]))
    assert found.toarray() == pytest.approx(np.array([[1.0, 0.0], [0.0, 0.5]]))
    assert sample_probabilities(None, np.zeros((1, 3))) is None
