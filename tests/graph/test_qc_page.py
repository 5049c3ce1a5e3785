import copy
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from cytomesh.core.config import load_config
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.qc_page import quality_page

NAME = "B01_hemi-L"


@pytest.fixture(scope="module")
def qc(tmp_path_factory, write_ellipsoids):
    """The record of a built hemisphere with alignment and a missing section."""
    folder = tmp_path_factory.mktemp("page")
    manifest = write_ellipsoids(folder / "study", missing=(8,))
    overrides = ["surface.voxel_mm=0.7", "surface.edge_length_mm=2.0", "alignment.enabled=true"]
    build_graphs(manifest, folder / "run", load_config(BuildGraphConfig, None, overrides), workers=1)
    record = json.loads((folder / "run" / "graphs" / NAME / "qc.json").read_text())
    page = (folder / "run" / "graphs" / NAME / "qc.html").read_text()
    # JSON has no NaN; the sections that the checks name are shown as well
    named = {verdict["place"] for verdict in record["verdicts"] if verdict["place"]}
    assert quality_page(record).count("<svg") + len(named) == page.count("<svg")
    for place in named:
        (svg,) = re.findall(rf'<svg(?:(?!</svg>).)*aria-label="{place} with its contours.*?</svg>', page, re.S)
        assert 'href="data:image/jpeg' in svg and {"pial", "pial built"} <= set(
            re.findall(r'<path d="M[^"]+" class="([^"]+)"', svg)
        )
    return record


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_is_self_contained_and_whole(qc):
    page = quality_page(qc)
    parsed = Tags()
    parsed.feed(page)
    assert all(link.startswith("#") for link in parsed.links) and "script" not in parsed.tags
    assert len(page) < 60_000
    assert parsed.tags.count("svg") == 5
    assert "section 8: missing" in page and "checks passed" in page
    for svg in page.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + svg.split("</svg>")[0] + "</svg>")
    assert "NaN" not in page and "nan" not in page.replace("nan_", "")


def test_failures_are_said_first_and_names_are_escaped(qc):
    changed = copy.deepcopy(qc)
    changed["name"] = "<b>"
    changed["verdicts"][0] |= {"value": 0.0}
    page = quality_page(changed)
    assert "1 of" in page and "checks failed" in page and re.search(r'class="fail"[^>]*>fail<', page)
    assert "<b>" not in page and "&lt;b&gt;" in page


def test_without_alignment_there_are_no_corrections(qc):
    changed = copy.deepcopy(qc)
    for section in changed["sections"]:
        section.pop("shift_mm", None)
    assert quality_page(changed).count("<svg") == 3


def test_places_of_a_corrected_topology_are_listed(qc):
    changed = copy.deepcopy(qc)
    changed["report"]["pial"] |= {
        "euler_number_before": -8,
        "n_places": 5,
        "places_mm": [[float(n), 0.5, -1.0] for n in range(5)],
        "places_voxels": [9, 8, 7, 6, 5],
    }
    page = quality_page(changed)
    assert "and fewer at 2 other places (qc.html)" in page and "5 places" in page and page.count(">-1.0</td>") == 5
