import gzip
import time
import unicodedata

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


SMALL = "M1 1h5v5h-5z"


@pytest.mark.parametrize(
    "hidden",
    [
        f'<g visibility="hidden"><path id="pial_L-2" d="{SMALL}"/></g>',
        f'<g style="visibility: collapse"><path id="pial_L-2" d="{SMALL}"/></g>',
        f'<style>.st0 {{ display:none; }}</style><path class="st0" id="pial_L-2" d="{SMALL}"/>',
        # a style sheet holds for what comes before it
        f'<g id="old"><path id="pial_L-2" d="{SMALL}"/></g>'
        "<style><![CDATA[ path {fill:red} #old{display:none} ]]></style>",
        f'<style>g.a, #b {{visibility:hidden}}</style><g class="x a"><path id="pial_L-2" d="{SMALL}"/></g>',
        f'<style>.a{{display:none!important}}</style><path class="a" id="pial_L-2" d="{SMALL}" style="display:block"/>',
        f'<style>#pial_L-2{{display:none}} path{{display:inline}}</style><path id="pial_L-2" d="{SMALL}"/>',
        f'<path display="inline" style="display:none" id="pial_L-2" d="{SMALL}"/>',
    ],
)
def test_what_is_hidden_is_left_out(tmp_path, hidden):
    path = write(tmp_path / "c.svg", f'<path id="pial_L" d="M10 10H70V50H10Z"/>{hidden}')
    assert read_contours(section(path))["L"].pial.area == 2400


@pytest.mark.parametrize(
    "shown",
    [
        f'<g visibility="hidden"><path visibility="visible" id="pial_L-2" d="{SMALL}"/></g>',
        f'<style>.b{{display:none}} .a{{opacity:.3}}</style><path class="a" id="pial_L-2" d="{SMALL}"/>',
        f'<style>path{{display:none}} .a{{display:inline}}</style><path class="a" id="pial_L-2" d="{SMALL}"/>',
        f'<style>@charset "utf-8"; path:hover{{fill:red}}</style><path id="pial_L-2" d="{SMALL}"/>',
        f'<style>@media print{{path{{fill:red}}}}</style><path id="pial_L-2" d="{SMALL}" style="display:inline"/>',
    ],
)
def test_what_is_shown_is_read(tmp_path, shown):
    path = write(tmp_path / "c.svg", f'{shown}<path class="b" id="c" style="visibility:hidden" d="M0 0h1"/>')
    assert read_contours(section(path))["L"].pial.area == 25


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "<style>g > .a{display:none}</style>",
            r"style: found a style rule for 'g > .a' that sets display.*Way out",
        ),
        ("<style>@media print{.a{visibility:hidden}}</style>", "under conditions"),
        ('<g style="transform:rotate3d(1,1,1,45deg)"/>', "transform 'rotate3d"),
        ('<g transform="scale(2)" transform-origin="5 5"/>', "transform-origin '5 5'"),
        ('<svg viewBox="0 0 9 9"/>', "without width and height"),
        ('<svg x="5%"/>', "length '5%'"),
        ('<use id="u" href="#pial_L"/>', "use 'u': found a use element"),
        ('<g id="pail_x5F_L"><path d="M0 0h5v5z"/></g>', "unknown class 'pail_L'.*did you mean 'pial_L'"),
    ],
)
def test_styles_and_views_that_cannot_be_applied(tmp_path, body, message):
    with pytest.raises(ContourError, match=message):
        read_contours(section(write(tmp_path / "c.svg", body)))


@pytest.mark.parametrize(
    ("around", "bounds"),
    [
        ('<g style="transform:translate(10px, 4px) scale(2)">', (12, 6, 22, 16)),
        ('<g transform="scale(9)" style="transform: none">', (1, 1, 6, 6)),
        ('<g transform="matrix(0 1 -1 0 20 3)" transform-origin="0px 0px">', (14, 4, 19, 9)),
    ],
)
def test_transforms_in_styles(tmp_path, around, bounds):
    path = write(tmp_path / "c.svg", f'{around}<path id="pial_L" d="{SMALL}"/></g>')
    np.testing.assert_allclose(read_contours(section(path))["L"].pial.bounds, np.array(bounds) - 0.5, atol=1e-9)


@pytest.mark.parametrize(
    ("attributes", "bounds"),
    [
        ('x="20" y="10"', (21, 11, 26, 16)),
        ('x="1in"', (97, 1, 102, 6)),
        # twice as large, in the middle of 40 x 20 px
        ('width="40" height="20" viewBox="0 0 10 10"', (12, 2, 22, 12)),
        ('width="40" height="20" viewBox="1 1 10 10" preserveAspectRatio="xMinYMax"', (0, 0, 10, 10)),
        ('width="40" height="20" viewBox="0 0 10 10" preserveAspectRatio="xMaxYMin slice"', (4, 4, 24, 24)),
        ('width="40" height="20" viewBox="0 0 10 10" preserveAspectRatio="none"', (4, 2, 24, 12)),
    ],
)
def test_svg_within_svg(tmp_path, attributes, bounds):
    path = write(tmp_path / "c.svg", f'<svg {attributes}><path id="pial_L" d="{SMALL}"/></svg>')
    np.testing.assert_allclose(read_contours(section(path))["L"].pial.bounds, np.array(bounds) - 0.5, atol=1e-9)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ('viewBox="0 0 80 60"', None),
        ('width="80" height="60px"', None),
        # "100%" says nothing, and neither does a file without a size
        ('width="100%" height="100%"', None),
        ("", None),
        ('viewBox="0 0 21.167 15.875"', r"21.167 x 15.875 px at \(0, 0\).*80 x 60 px.*svg_px_per_unit: 3.779"),
        ('width="60pt" height="45pt"', None),
        ('width="80mm" height="60mm"', r"found a page of 302.362 x 226.772 px"),
        ('viewBox="0 0 210 297"', "Resize Page"),
        ('viewBox="10 0 80 60"', r"80 x 60 px at \(10, 0\)"),
    ],
)
def test_the_page_is_the_sections_image(study_folder, tmp_path, root, message):
    path = write(tmp_path / "c.svg", f'<path id="pial_L" d="{SMALL}"/>', f"<svg {root}>")
    if message is None:
        assert read_contours(section(path, study_folder.image(1)))["L"].pial.area == 25
        return
    with pytest.raises(ContourError, match=message):
        read_contours(section(path, study_folder.image(1)))
    # where there is no image, there is nothing to compare with
    assert len(read_contours(section(path))) == 1


def test_an_image_placed_on_a_larger_page(study_folder, tmp_path):
    body = '<g transform="translate(-5)"><image x="5" width="80" height="60" href="s.png"/></g>'
    path = write(tmp_path / "c.svg", f'{body}<path id="pial_L" d="{SMALL}"/>', '<svg viewBox="0 0 210 297">')
    assert read_contours(section(path, study_folder.image(1)))["L"].pial.area == 25
    write(path, body.replace("-5", "3") + f'<path id="pial_L" d="{SMALL}"/>', '<svg viewBox="0 0 210 297">')
    with pytest.raises(ContourError, match="a page of 210 x 297 px"):
        read_contours(section(path, study_folder.image(1)))


def test_names_of_illustrator_and_macos(tmp_path):
    written = unicodedata.normalize("NFD", "Gro\u00dfhirnrinde f\u00fcr links")
    body = f'<path data-name="white_L" id="Pfad_x20_7" d="M20 20h5v5h-5z"/><g id="{written}"><path d="{SQUARE}"/></g>'
    names = {unicodedata.normalize("NFC", written): "pial_L"}
    contours = read_contours(section(write(tmp_path / "c.svg", body), classes=names))
    assert contours["L"].pial.area == 2400 and contours["L"].white.area == 25


def test_packed_svg(tmp_path):
    path = tmp_path / "c.svgz"
    path.write_bytes(gzip.compress(f'<svg><path id="pial_L" d="{SQUARE}"/></svg>'.encode()))
    assert read_contours(section(path))["L"].pial.area == 2400


def test_endless_style_sheets_and_elements_are_refused_at_once(tmp_path):
    path = tmp_path / "c.svg"
    start = time.process_time()
    for body, message in (
        ("<style>" + "/* " * 3_000_000 + "</style>", None),
        ("<style>" + "a" * 10_000_000 + "</style>", None),
        (
            "<style>" + ".a{display:none}" * 10_000 + "</style>" + "<g/>" * 1000,
            "1,00. elements, and 10,000 style rules",
        ),
        ("<g/>" * 6_000_000, "limit|MAX_STYLED"),
    ):
        write(path, f'<path id="pial_L" d="{SQUARE}"/>{body}')
        if message is None:
            assert read_contours(section(path))["L"].pial.area == 2400
            continue
        with pytest.raises(ContourError, match=message):
            read_contours(section(path))
    assert time.process_time() - start < 20


def test_three_hundred_thousand_curves_take_seconds(tmp_path):
    long = "".join(f"C{i % 7}e7 0 0 {i % 5}e7 {i} 1" for i in range(300_000))
    path = write(tmp_path / "c.svg", f'<path id="pial_L" d="M0 0{long}z"/>')
    start = time.process_time()
    with pytest.raises(ContourError, match=r"curves of 299,\d+,\d+ points, more than 2,000,000 .limit MAX_POINTS"):
        read_contours(section(path))
    assert time.process_time() - start < 40


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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_style_sheets_of_utf_16_hold(tmp_path, encoding):
    text = (
        '<?xml version="1.0" encoding="utf-16"?><svg xmlns="http://www.w3.org/2000/svg"><style>.a{display:none}</style>'
        f'<path id="pial_L" d="M10 10H70V50H10Z"/><path class="a" id="pial_L-2" d="{SMALL}"/></svg>'
    )
    (tmp_path / "c.svg").write_bytes(text.encode(encoding))
    assert read_contours(section(tmp_path / "c.svg"))["L"].pial.area == 2400


def test_style_sheets_elsewhere_are_refused(tmp_path):
    path = write(tmp_path / "c.svg", f'<style>@import url(a.css);</style><path id="pial_L" d="{SMALL}"/>')
    with pytest.raises(ContourError, match="a style sheet in another file"):
        read_contours(section(path))
    path.write_text('<?xml-stylesheet href="a.css"?>' + write(tmp_path / "d.svg", "<g/>").read_text())
    with pytest.raises(ContourError, match="a style sheet in another file"):
        read_contours(section(path))
