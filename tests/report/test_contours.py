import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import MultiPolygon, box

from cytomesh.report.contours import contour_page
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.manifest import BrainConfig, Manifest, SpaceConfig, write_manifest
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections


@pytest.fixture
def study(tmp_path):
    """Sections: 1 without image, 2 good, 3 with an open pial ring (white lies outside), 4 without cortex, 5 undrawn."""
    sections = []
    for index in range(1, 6):
        plane = SectionPlane(np.array([[0.1, 0, -4.0], [0, 0, 0.5 * index], [0, -0.1, 3.0]]))
        image, rings = tmp_path / f"s{index}.png", tmp_path / f"s{index}.geojson"
        Image.fromarray(np.full((60, 80), 40 * index, np.uint8)).save(image)
        region = HemisphereContours(MultiPolygon([box(10, 10, 70, 50)]), MultiPolygon([box(20, 20, 60, 40)]))
        there = {} if index == 4 else {"L": region}
        write_contours(rings, SectionContours(there, MultiPolygon([box(5, 5, 8, 8)])))
        if index == 3:
            data = json.loads(rings.read_text())
            data["features"][1]["geometry"]["coordinates"][0].pop()
            rings.write_text(json.dumps(data))
        sections.append(
            Section("B01", index, image if index > 1 else None, 100.0, plane, contours=rings if index < 5 else None)
        )
    write_sections(tmp_path / "sections.tsv", sections)
    brain = BrainConfig(id="B01", role="train", sections="sections.tsv")
    manifest = Manifest(name="<small>", species="Homo", stain="Nissl", space=SpaceConfig(name="MNI"), brains=[brain])
    write_manifest(tmp_path / "study.yaml", manifest)
    return tmp_path / "study.yaml"


def test_page_shows_every_section_with_its_problems(study, tmp_path):
    summary = contour_page(study, tmp_path / "page.html")
    assert summary == {
        "page": str(tmp_path / "page.html"), "sections": 5, "with_contours": 4, "without_cortex": 1,
        "with_problems": 1, "problems": 2,
    }  # fmt: skip
    text = (tmp_path / "page.html").read_text()
    assert text.count("<figure") == 5 and text.count("data:image/jpeg;base64,") == 4
    assert "Contours of &lt;small&gt;" in text and "<small>" not in text
    for words in ("Section 4</strong>, plane at 2.00 mm", "no cortex drawn", "no contours", "no image", "1 mm</text>"):
        assert words in text, words
    assert len(re.findall(r'<figure id="B01-3" class="wrong">', text)) == 1
    assert "s3.geojson: feature 1 (&#x27;pial_L&#x27;): found an open ring" in text
    # nothing is fetched from anywhere
    assert "http" not in text.replace("http-equiv", "")


def test_rings_are_drawn_where_they_are(study, tmp_path):
    contour_page(study, tmp_path / "page.html")
    figure = re.search(r'<figure id="B01-2".*?</figure>', (tmp_path / "page.html").read_text(), re.S)[0]
    (pial,) = re.findall(r'<path d="([^"]*)" class="pial L">', figure)
    points = np.array(re.findall(r"-?[\d.]+", pial), float).reshape(-1, 2)
    assert points.min(axis=0).tolist() == [10, 10] and points.max(axis=0).tolist() == [70, 50]
    assert '<image href="data' in figure and 'x="-0.5" y="-0.5" width="80' in figure
    letters = re.findall(r">([RLAPSI])</text>", figure)
    assert letters == ["L", "R", "S", "I"]


def test_same_page_with_workers(study, tmp_path):
    contour_page(study, tmp_path / "one.html")
    contour_page(study, tmp_path / "two.html", workers=2)
    assert (tmp_path / "one.html").read_text() == (tmp_path / "two.html").read_text()


def test_images_that_cannot_be_read_are_reported(study, tmp_path):
    (tmp_path / "s2.png").write_bytes(b"nothing")
    assert contour_page(study, tmp_path / "page.html")["with_problems"] == 2
    assert "s2.png: found an image that cannot be read" in (tmp_path / "page.html").read_text()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_draws_it(study, tmp_path):
    contour_page(study, tmp_path / "page.html")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=900,900", f"--user-data-dir={tmp_path}/u"]
    picture = tmp_path / "page.png"
    command = ["chromium", *options, f"--screenshot={picture}", f"file://{tmp_path}/page.html"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    for colour in ((0, 114, 178), (213, 94, 0)):
        assert (np.abs(pixels - colour).max(axis=2) < 12).sum() > 200
