import json

from cytomesh.page.html import Cell, Html, Number, choice, embed_json, table, tag, without_empty


def test_text_and_attributes_are_escaped_once() -> None:
    inner = tag("b", "<x> & 'y'", title='"quoted"')
    assert inner == '<b title="&quot;quoted&quot;">&lt;x&gt; &amp; &#x27;y&#x27;</b>'
    assert tag("p", inner) == f"<p>{inner}</p>"


def test_attributes_that_are_off_are_left_out() -> None:
    assert tag("input", hidden=True, checked=False, data_view=None, class_="a") == '<input hidden class="a">'


def test_data_cannot_end_its_block() -> None:
    block = embed_json({"name": "</script><script>alert(1)</script>"})
    assert block.count("</script>") == 1
    assert json.loads(block.removeprefix('<script type="application/json">').removesuffix("</script>"))[
        "name"
    ].startswith("</")


def test_table_sorts_by_values() -> None:
    html = table(["a", Number("b", "mm", ".1f")], [["x", 1.23]], caption="c", sortable=True)
    assert 'data-value="1.23">1.2<' in html
    assert html.count("<button") == 2


def test_single_panel_needs_no_selector() -> None:
    assert choice("Brain", [("B01", Html("<p></p>"))]) == "<p></p>"
    assert choice("Brain", [("B01", Html("")), ("B02", Html(""))]).count("<option") == 2


def test_columns_without_a_value_are_left_out() -> None:
    columns, rows = without_empty(
        ["a", Number("b"), Number("c"), "d"], [["x", None, 0, Cell("")], ["y", None, None, ""]]
    )
    assert columns == ["a", Number("c")] and rows == [["x", 0], ["y", None]]
    assert without_empty(["a"], []) == (["a"], [])
