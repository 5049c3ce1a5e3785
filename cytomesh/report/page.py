"""The page around the parts: head, table of contents, style, scripts; nothing is loaded from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from cytomesh.report.html import Html, Part, join, tag

# The browser itself refuses every request: the page works offline and tells nobody that it was opened.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; form-action 'none'"
)


def page(title: str, head: Html, parts: Sequence[Part]) -> str:
    """Return the whole page.

    Parameters
    ----------
    title : str
        Title of the window.
    head : Html
        What comes before the first part.
    parts : sequence of Part
        In the order in which they are read.
    """
    from plotly.offline import get_plotlyjs

    scripts = [get_plotlyjs(), _asset("page.js"), _asset("viewer.js")]
    # an end tag inside a string literal would end the script element
    safe = [Html(script.replace("</script", "<\\/script")) for script in scripts]
    contents = tag("nav", tag("ol", *(_entry(part) for part in parts)), aria_label="contents")
    body = [tag("section", tag("h2", part.title), part.body, id=part.anchor) for part in parts]
    document = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("style", Html(_asset("page.css"))),
        ),
        tag(
            "body",
            tag("div", contents, tag("main", tag("header", head), *body), class_="layout"),
            *(tag("script", script) for script in safe),
        ),
        lang="en",
    )
    return str(join([Html("<!doctype html>\n"), document, "\n"]))


def _entry(part: Part) -> Html:
    return tag("li", tag("a", part.title, href=f"#{part.anchor}", class_="absent" if part.is_absent else None))


def _asset(name: str) -> str:
    return files("cytomesh.report").joinpath("assets", name).read_text(encoding="utf-8")
