import numpy as np
import pytest

from cytomesh.phantom.config import DisplacementConfig
from cytomesh.phantom.displacement import RADIAN_MM, association, displaced

SETTINGS = DisplacementConfig(primary_mm=3.0, association_mm=8.0)


def moved_mm(cortex, places):
    """Great-circle distance from each vertex to its place, mm along the sheet."""
    return RADIAN_MM * np.arccos(np.clip((places * cortex.sphere).sum(axis=1), -1, 1))


def test_borders_move_by_the_stated_millimetres_and_less_at_primary_cortex(cortex):
    squares = np.mean([moved_mm(cortex, displaced(cortex, SETTINGS, 0, f"B{i}")) ** 2 for i in range(4)], axis=0)
    share = association(cortex)
    primary, far = (np.sqrt(squares[where].mean() / 2) for where in (share < 0.1, share > 0.95))  # of each direction
    assert 2.2 < primary < 4.0
    assert 6.8 < far < 8.8


def test_primary_cortex_is_around_calcarine_and_central_sulcus_and_on_heschls_gyrus(cortex):
    share = association(cortex)
    at = {
        "calcarine": (-12, -82, 5),
        "hand knob": (-36, -26, 58),
        "auditory": (-42, -23, 9),
        "angular gyrus": (-48, -62, 36),
        "frontal pole": (-22, 58, 6),
        "temporal pole": (-36, 14, -34),
    }
    found = {
        name: share[np.argmin(np.linalg.norm(cortex.midsurface - place, axis=1))] > 0.5 for name, place in at.items()
    }
    assert [name for name, is_far in found.items() if is_far] == ["angular gyrus", "frontal pole", "temporal pole"]


def test_nothing_folds_over(cortex):
    places = displaced(cortex, SETTINGS, 0, "B01")
    a, b, c = (places[cortex.faces[:, i]] for i in range(3))
    assert (np.einsum("ij,ij->i", np.cross(a, b), c) > 0).all()


def test_a_brain_keeps_its_displacement(cortex):
    first, again, other = (displaced(cortex, SETTINGS, 0, brain) for brain in ("B01", "B01", "B02"))
    assert (first == again).all()
    assert moved_mm(cortex, first).mean() > 3
    assert np.linalg.norm(first - other, axis=1).mean() * RADIAN_MM > 3
    # half the millimetres lead the same way
    half = displaced(cortex, DisplacementConfig(primary_mm=1.5, association_mm=4.0), 0, "B01")
    a, b = first - cortex.sphere, half - cortex.sphere
    cosine = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    assert np.median(cosine) > 0.9


def test_without_settings_nothing_moves(cortex):
    assert displaced(cortex, DisplacementConfig(), 0, "B01") is cortex.sphere


def test_millimetres_have_limits():
    with pytest.raises(ValueError, match="less than or equal to 12"):
        DisplacementConfig(association_mm=50)
