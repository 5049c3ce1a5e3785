"""Flat pictures of surfaces: what is seen, where it points, in which colour."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from cytomesh.core.labels import LabelTable
from cytomesh.report.views import BORDER, NONE, axes_of, surface_views
from tests.conftest import sphere_mesh

mpl.use("Agg")


def letters(panel):
    """The letters of a panel by where they stand: left, right, below, above."""
    places = {tuple(np.round(text.get_position(), 2)): text.get_text() for text in panel.texts[:4]}
    return "".join(places[place] for place in ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98)))


def colours(panel):
    (faces,) = [item for item in panel.collections if isinstance(item, PolyCollection)]
    return faces


@pytest.mark.parametrize(
    ("side", "view", "expected"),
    [
        ("L", "lateral", "APIS"),
        ("L", "medial", "PAIS"),
        ("R", "lateral", "PAIS"),
        ("R", "medial", "APIS"),
        ("L", "dorsal", "LRPA"),
        ("L", "ventral", "RLPA"),
        ("R", "anterior", "RLIS"),
        ("R", "posterior", "LRIS"),
    ],
)
def test_letters_say_where_a_view_points(side, view, expected):
    mesh = sphere_mesh(2)
    figure = surface_views(mesh, np.zeros(mesh.n_vertices), side, views=(view,))
    panel, *_ = figure.axes
    assert letters(panel) == expected
    right, up, eye = axes_of(view, side)
    np.testing.assert_allclose(np.cross(right, up), eye)
    mpl.pyplot.close(figure)


def test_what_faces_the_viewer_is_drawn_from_the_back_to_the_front():
    mesh = sphere_mesh(2)
    figure = surface_views(mesh, mesh.vertices[:, 0], "L", label="x (mm)", limits=(-50, 50), colours="gray")
    lateral, medial, bar = figure.axes
    assert bar.get_ylabel() == "x (mm)"
    bright = [colours(panel).get_facecolor()[-1, 0] for panel in (lateral, medial)]
    assert bright[0] < 0.1 and bright[1] > 0.9  # the nearest face: far left, far right
    assert len(colours(lateral).get_paths()) == pytest.approx(len(mesh.faces) / 2, rel=0.1)
    mpl.pyplot.close(figure)


def test_areas_have_borders_and_nothing_is_grey():
    mesh = sphere_mesh(3)
    labels = np.where(mesh.vertices[:, 2] > 0, 1, 2).astype(np.int32)
    labels[mesh.vertices[:, 1] > 30] = 0
    table = LabelTable.from_names(["up", "down"])
    figure = surface_views(mesh, labels, "L", table=table, views=("lateral",))
    (panel,) = figure.axes
    named = {text.get_text(): text.get_position() for text in panel.texts}
    assert named["up"][1] > 5 and named["down"][1] < -5
    hues = colours(panel).get_facecolor()[:, :3]
    hues = np.round(hues / hues.max(axis=1, keepdims=True), 2)  # without the shade
    found = {tuple(hue) for hue in hues}
    expected = [*table.colours[:, :3], NONE[:3], BORDER[:3]]
    assert found == {tuple(np.round(np.array(colour) / max(colour), 2)) for colour in expected}
    mpl.pyplot.close(figure)


def test_vertices_without_a_number_are_grey():
    mesh = sphere_mesh(2)
    values = np.where(mesh.vertices[:, 2] > 0, np.nan, 1.0)
    figure = surface_views(mesh, values, "L", limits=(0, 2), colours="viridis", views=("dorsal",))
    panel, *_ = figure.axes
    rgb = colours(panel).get_facecolor()[:, :3]
    assert (np.ptp(rgb, axis=1) < 1e-6).all()
    mpl.pyplot.close(figure)
