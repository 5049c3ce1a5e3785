import pytest

from cytomesh.study.contour_formats.svg_style import parse_properties, parse_rules, style_of

SHEET = """
/* what Illustrator and Inkscape write */
@charset "utf-8";
.st0 { fill: #FF0000; display: none }
g.st1, #layer1 { visibility: hidden; }
path { transform: scale(2) }
a:hover, b > c { fill: red }
"""


def test_rules_that_hide_or_move_come_sorted_by_strength():
    rules = parse_rules(SHEET)
    assert [(r.element, sorted(r.classes), sorted(r.ids), r.properties) for r in rules] == [
        ("path", [], [], {"transform": "scale(2)"}),
        ("", ["st0"], [], {"display": "none"}),
        ("g", ["st1"], [], {"visibility": "hidden"}),
        ("", [], ["layer1"], {"visibility": "hidden"}),
    ]


@pytest.mark.parametrize(
    ("element", "attributes", "style"),
    [
        ("g", {}, {}),
        ("g", {"class": "st1 x"}, {"visibility": "hidden"}),
        ("path", {"class": "st1", "transform": "scale(3)"}, {"transform": "scale(2)"}),
        ("path", {"style": "transform: none"}, {"transform": "none"}),
        ("g", {"class": "st0", "style": "fill:red;display:inline"}, {"display": "inline"}),
        ("g", {"id": "layer1", "visibility": "visible"}, {"visibility": "hidden"}),
    ],
)
def test_the_last_of_attribute_rules_and_style_wins(element, attributes, style):
    assert style_of(element, attributes, parse_rules(SHEET)) == style


def test_important_wins_over_what_comes_later():
    rules = parse_rules("#a{display:none ! important} .b{display:inline}")
    assert style_of("g", {"id": "a", "class": "b", "style": "display:block"}, rules) == {"display": "none"}
    assert style_of("g", {"id": "a", "style": "display:block!important"}, rules) == {"display": "block"}


@pytest.mark.parametrize("selector", ["g .a", "g > .a", ".a:hover", "[id=a]", "a + b", ".a,"])
def test_selectors_that_cannot_be_applied(selector):
    assert parse_rules(selector + "{fill:red}") == ()
    with pytest.raises(ValueError, match="a style rule for .* that sets display"):
        parse_rules(selector + "{display:none}")


def test_declarations_without_meaning_are_passed_over():
    assert parse_properties("display; : x; DISPLAY : none ;; fill:red") == {"display": "none"}
