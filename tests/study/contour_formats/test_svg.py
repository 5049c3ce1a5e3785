import time

import numpy as np
import pytest
import shapely
from PIL import Image

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats import svg
from cytomesh.study.contours import read_contours

from .contour_section import section

HEAD = (
    '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" '
    'xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" viewBox="0 0 80 60">'
)
SQUARE = "M10 10H70V50H10Z"


def write(path, body, head=HEAD):
    path.write_text(f"{head}{body}</svg>")
    return path


def test_class_from_id_class_or_label_and_holes(tmp_path):
    body = (
        f'<path id="pial_L-1" d="{SQUARE} M20 20h5v5h-5z"/>'
        '<polygon class="thick white_L" points="30,30 40,30 40,40"/>'
        '<g inkscape:label="pial_R" id="layer7"><path id="path12" d="M71 1h5v5h-5z"/></g>'
    )
    contours = read_contours(section(write(tmp_path / "c.svg", body)))
    assert contours["L"].pial.bounds == (9.5, 9.5, 69.5, 49.5)
    assert contours["L"].pial.area == 2400 - 25 and contours["L"].white.area == 50
    assert contours["R"].pial.area == 25


def test_transforms_of_groups_and_units(tmp_path):
    body = '<g transform="translate(10 0)"><g transform="scale(2)"><path id="pial_L" d="M0 0h5v5h-5z"/></g></g>'
    contours = read_contours(section(write(tmp_path / "c.svg", body), svg_px_per_unit=3.0))
    assert contours["L"].pial.bounds == (29.5, -0.5, 59.5, 29.5)


def test_names_of_the_study_and_what_is_not_drawn(tmp_path):
    body = (
        '<defs><path id="a" d="M0 0h5v5z"/></defs><g style="fill:red; display : none"><path d="M0 0h1"/></g>'
        f'<path id="Cortex" d="{SQUARE}"/><g id="frame"><path d="M0 0h80"/></g><text>B01</text>'
    )
    contours = read_contours(section(write(tmp_path / "c.svg", body), classes={"Cortex": "pial_L", "frame": "ignore"}))
    assert contours["L"].pial.area == 2400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('<path id="pail_L" d="M0 0h5v5z"/>', r"path 'pail_L': found unknown class 'pail_L'.*did you mean 'pial_L'"),
        ('<path d="M0 0h5v5z"/>', "path 'number 0': found no classification"),
        ('<path id="pial_L" d="M0 0h5v5"/>', "an open ring"),
        ('<path id="pial_L" d="M0 0h5z"/>', "a ring of 2 different points"),
        ('<path id="pial_L" d="M0 0 1e400 3 5 5z"/>', "not finite"),
        ('<path id="pial_L" d="M0 0a1 1 0 0 0 2 2z"/>', "an arc; turn it into curves"),
        ('<circle id="pial_L" r="4"/>', "found a circle element"),
        ('<g transform="shear(3)"/>', "transform 'shear"),
        ('<polygon id="pial_L" points="1 2 3"/>', "3 numbers in points"),
    ],
)
def test_what_cannot_be_used(tmp_path, body, message):
    with pytest.raises(ContourError, match=message):
        read_contours(section(write(tmp_path / "c.svg", body)))


def test_not_svg(tmp_path):
    path = tmp_path / "c.svg"
    for text, message in (("<svg", "cannot be read"), ("<html/>", "without an svg element")):
        path.write_text(text)
        with pytest.raises(ContourError, match=message):
            read_contours(section(path))


def test_entities_are_refused(tmp_path):
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<!DOCTYPE svg [<!ENTITY l0 "ha">{laughs}]><svg><text>&l9;</text></svg>'
    outside = '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg><path id="&x;"/></svg>'
    for text in (bomb, outside):
        path = tmp_path / "bomb.svg"
        path.write_text(text)
        with pytest.raises(ContourError, match="a document type with declarations, expected SVG without entities"):
            read_contours(section(path))


def test_bare_document_type_of_drawing_programs_is_harmless(tmp_path):
    doctype = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
    path = write(tmp_path / "c.svg", f'<path id="pial_L" d="{SQUARE}"/>', doctype + "<svg>")
    assert read_contours(section(path))["L"].pial.area == 2400


def test_bombs_are_refused_at_once(tmp_path, monkeypatch):
    path = tmp_path / "bomb.svg"
    start = time.process_time()
    write(path, "<g>" * 200_000)
    with pytest.raises(ContourError, match="at most 64 levels .limit MAX_DEPTH"):
        read_contours(section(path))
    write(path, '<path id="pial_L" d="M' + "0 1 " * 10_000_000 + 'z"/>')
    with pytest.raises(ContourError, match=r"about 10,000,\d+ points, expected at most 2,000,000 .limit MAX_POINTS"):
        read_contours(section(path))
    assert time.process_time() - start < 10
    monkeypatch.setattr(svg, "MAX_FEATURES", 2)
    write(path, '<path id="pial_L" d="M0 0"/>' * 3)
    with pytest.raises(ContourError, match="limit MAX_FEATURES"):
        read_contours(section(path))


@pytest.mark.real
def test_real_drawing_lies_on_its_section(real_data):
    """A figure in points at 100 dpi: the outline of the cortex of one Nissl section (1151 x 780 px)."""
    folder = real_data / "mammal_nissl"
    image = folder / "badger_cor_cell.json.ctx-50%.png"
    classes = {"axes_1": "pial_L", "patch_1": "ignore", "figure_1": "ignore"}
    path = folder / "badger_cor_cell.json.svg"
    pial = read_contours(section(path, image, classes=classes, svg_px_per_unit=1 / 0.72, repair=True))["L"].pial
    grey = np.asarray(Image.open(image).convert("L"))
    inner, outer = (pial.buffer(by) for by in (-6, 6))
    points = shapely.points(np.random.default_rng(0).uniform((0, 0), (1150, 779), (4000, 2)))
    values = grey[tuple(shapely.get_coordinates(points).round().astype(int).T[::-1])]
    inside, outside = (values[shapely.contains(inner, points)], values[~shapely.contains(outer, points)])
    assert (inside < 235).mean() > 0.9 and (outside > 235).mean() > 0.9
