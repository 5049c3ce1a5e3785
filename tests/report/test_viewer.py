"""The surface viewer in a browser: on a narrow, dark page, turned by keys."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cytomesh.graph.storage import load_graphs
from cytomesh.page.document import document
from cytomesh.report.maps import node_maps, with_values
from cytomesh.report.surfaces import viewer, viewer_scripts

LOOK = """
window.addEventListener("load", () => setTimeout(() => {
  const scenes = [...document.querySelectorAll(".scene")];
  const see = () => scenes.map((scene) => ({
    name: scene.getAttribute("aria-label"), tab: scene.tabIndex, width: scene.clientWidth, height: scene.clientHeight,
    ratio: scene._fullLayout.scene.aspectratio, eye: scene._fullLayout.scene.camera.eye,
    ground: scene._fullLayout.scene.bgcolor,
  }));
  const press = (key) => scenes[0].dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const first = see();
  press("ArrowRight"); press("+");
  const turned = see();
  press("Home");
  document.body.dataset.seen = JSON.stringify({ first, turned, home: see() });
}, 3000));
"""


@pytest.fixture(scope="module")
def seen(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    folder = tmp_path_factory.mktemp("viewer")
    graphs = load_graphs(run)
    maps = with_values({graph.name: node_maps(run, graph) for graph in graphs})
    body = viewer(run, graphs, maps, ("annotation", "cortical thickness"), "")
    style = "#viewer { width: 300px; }"  # a window cannot be made as narrow as a phone
    text = document("t", body, [*viewer_scripts(), LOOK], style)
    (folder / "page.html").write_text(text, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
    options += ["--blink-settings=preferredColorScheme=0", "--window-size=600,900", "--virtual-time-budget=12000"]
    command = ["chromium", *options, f"--user-data-dir={folder}/u", "--dump-dom", f"file://{folder}/page.html"]
    dom = subprocess.run(command, check=True, capture_output=True, timeout=120, text=True).stdout
    return json.loads(re.search(r'data-seen="(.*?)"', dom)[1].replace("&quot;", '"'))


def test_scenes_have_a_name_and_are_reached_by_keys(seen: dict) -> None:
    for scene, title in zip(seen["first"], ("annotation", "cortical thickness"), strict=True):
        assert scene["name"].startswith(f"{title}: midsurface, B01, left hemisphere")
        assert "Arrow keys" in scene["name"]
        assert scene["tab"] == 0


def test_a_narrow_scene_shows_the_whole_brain(seen: dict) -> None:
    for scene in seen["first"]:
        assert scene["width"] < 300 < scene["height"]
        # the height is as long as 2.1 units or so
        assert max(scene["ratio"].values()) <= 2.0 * scene["width"] / scene["height"]


def test_keys_turn_both_and_zoom_and_lead_back(seen: dict) -> None:
    for before, turned, home in zip(*seen.values(), strict=True):
        assert before["eye"]["x"] == pytest.approx(-1.6)
        assert turned["eye"]["x"] == pytest.approx(-1.6 * 0.9848, abs=1e-3)  # cos 10 degrees
        assert abs(turned["eye"]["y"]) == pytest.approx(1.6 * 0.1736, abs=1e-3)
        assert turned["ratio"]["y"] == pytest.approx(1.15 * before["ratio"]["y"])
        assert home["eye"]["x"] == pytest.approx(-1.6) and home["ratio"] == pytest.approx(before["ratio"])


def test_a_dark_page_has_dark_scenes(seen: dict) -> None:
    assert {scene["ground"] for scene in seen["first"]} == {"#12161b"}
