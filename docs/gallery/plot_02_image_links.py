"""
Image links: the patch of a node
================================

Every node of the midsurface knows its place in a section image: column, row, and the direction of the pial side.
A patch is a square around that place, turned so that the pial side is up, at any pixel size that is not finer than
the image's own.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Polygon

from cytomesh import LinkSection, Ribbon, link_positions, open_section, open_study, read_any_surface, read_patches

# %%
# Three simulated sections of one brain, 1 mm apart, at 40 µm/px.
changes = ["brains=[{id: B01, role: train}]", "areas.count=12", "areas.pmap_mm=6", "geometry.transform_mm=15"]
changes += ["sections.um_per_px=40", "sections.truth_um_per_px=240", "sections.annotation_um_per_px=240"]
changes += ["sections.spacing_mm=1", "sections.first_mm=70", "sections.last_mm=73.4"]
changes += ["artefacts={missing: 0, torn: 0, gradient: 0}"]
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
options = [word for change in changes for word in ("--set", change)]
command = [sys.executable, "-m", "cytomesh", "phantom", "--out", str(folder), "--workers", "1", "--no-baselines"]
subprocess.run([*command, *options], check=True)
brain = open_study(folder / "study.yaml").brains[0]

# %%
# The surfaces of this brain (`build-graph` makes them from contours), and the links of all nodes within 0.5 mm of a
# section. Angles are degrees counter-clockwise from the image's columns.
meshes = (
    read_any_surface(folder / "truth" / "sub-B01" / f"hemi-L_{kind}.surf.gii")
    for kind in ("pial", "midthickness", "white")
)
ribbon = Ribbon(*meshes)
sections = []
for section in brain.sections:
    with open_section(section) as image:
        sections.append(LinkSection(section.index, section.plane, image.shape))
links = link_positions(ribbon, sections, ribbon.midthickness.vertices, max_distance_mm=0.5, max_reach_mm=1.0)
print(f"{int(links.is_linked.sum()):,} of {len(links.section):,} nodes are linked")

# %%
# A node of a lateral bank, in the section in the middle, that is cut at a right angle.
section = brain.sections[1]
here = links.is_linked & (links.section == section.index) & (links.obliqueness_deg < 10)
lateral = np.flatnonzero(here)[np.argsort(links.pixels[here, 0])[40]]
column, row = links.pixels[lateral]
angle = float(links.angle_deg[lateral])

figure, panels = plt.subplot_mosaic([["section"] * 3, [40, 80, 160]], figsize=(7, 8), height_ratios=[1.7, 1])
with open_section(section) as image:
    height, width = image.shape
    shown = image.read(0, 0, height, 0, width)[::8, ::8, 0]
    extent_mm = (0, 0.04 * width, 0.04 * height, 0)
    panels["section"].imshow(shown, cmap="gray", extent=extent_mm, vmin=0, vmax=255)
    up = np.array([np.cos(np.radians(angle)), -np.sin(np.radians(angle))])  # rows count downwards
    across = np.array([-up[1], up[0]])
    for um_per_px, colour in ((40, "#0072b2"), (80, "#d55e00"), (160, "#009e73")):
        half_mm = um_per_px * 48 / 1000
        corners = [
            0.04 * links.pixels[lateral] + half_mm * (a * across + b * up)
            for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))
        ]
        panels["section"].add_patch(Polygon(corners, fill=False, color=colour, lw=2))
        patch = read_patches(image, section.um_per_px, links.pixels[[lateral]], np.array([angle]), 96, um_per_px)[0, 0]
        panel = panels[um_per_px]
        panel.imshow(patch, cmap="gray", extent=(-half_mm, half_mm, -half_mm, half_mm), vmin=0, vmax=255)
        panel.set_title(f"{um_per_px} µm/px", color=colour)
        panel.set(xlabel="along the cortex (mm)")
        panel.text(0, 0.98 * half_mm, "pial", ha="center", va="top", color=colour)
panels[40].set(ylabel="towards pial (mm)")
panels["section"].plot(0.04 * column, 0.04 * row, ".", color="#cc79a7")
panels["section"].set(
    xlabel="column (mm)", ylabel="row (mm)", title=f"Section {section.index}, left hemisphere, coronal"
)
for letter, place in (("S", (0.5, 0.97)), ("I", (0.5, 0.03)), ("L", (0.02, 0.5)), ("R", (0.98, 0.5))):
    panels["section"].text(*place, letter, transform=panels["section"].transAxes, ha="center", va="center")
figure.tight_layout()
plt.show()
temporary.cleanup()
