import pytest

from cytomesh.core.errors import ImageError
from cytomesh.study.units import micrometres, square_um


@pytest.mark.parametrize(
    ("um", "spellings"),
    [
        (1e-3, ("nm", "nanometer", "Nanometre", "nanometers")),
        (
            1.0,
            ("um", "\u00b5m", "\u03bcm", "micron", "microns", "micrometer", "micrometre", "Micrometers", " \u00b5m "),
        ),
        (1e3, ("mm", "millimeter", "millimetre")),
        (1e4, ("cm", "centimetre")),
        (1e6, ("m", "meter", "metre", "metres")),
        (None, ("", "pixel", "px", "s", "parsec", None, 1)),
    ],
)
def test_every_spelling_of_a_unit(um, spellings):
    assert [micrometres(name) for name in spellings] == [um] * len(spellings)


def test_pixels_are_square_to_within_rounding(tmp_path):
    assert square_um(tmp_path, 0.252, 0.2521) == 0.252
    assert square_um(tmp_path, 0.0, 1.0) is None and square_um(tmp_path, 1.0, float("nan")) is None
    with pytest.raises(ImageError, match=r"pixels of 100 x 200 um \(width x height\), expected square pixels.*Way out"):
        square_um(tmp_path, 100, 200)
