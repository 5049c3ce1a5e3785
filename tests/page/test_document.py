import re

from cytomesh.page.document import asset, document, page
from cytomesh.page.html import Html, Part, missing, tag


def test_parts_are_in_the_contents() -> None:
    text = page("<t>", tag("h1", "head"), [Part("a", "A & B", tag("p", "x")), missing("b", "C", "not run")])
    assert "<title>&lt;t&gt;</title>" in text and "<script" not in text
    assert re.findall(r'href="#(\w)"( class="absent")?', text) == [("a", ""), ("b", ' class="absent"')]
    assert text.index("A &amp; B</h2>") < text.index('<p class="missing">not run</p>')


def test_scripts_cannot_end_early() -> None:
    text = document("t", Html(""), scripts=["x = '</script>'"])
    assert text.count("</script>") == 1 and "<\\/script>" in text


def test_every_colour_that_styles_name_is_defined() -> None:
    own = asset("cytomesh.report", "contours.css")
    style = re.search(r"<style>(.*?)</style>", document("t", Html(""), style=own), re.S)[1]
    assert set(re.findall(r"var\((--\w+)\)", style)) <= set(re.findall(r"(--\w+):", style))
