"""
Surfaces from section contours
==============================

Pial and white contours of serial sections become closed cortical surfaces whose vertices correspond, and a midsurface
between them, the mesh whose vertices are the nodes of everything that follows.
"""

import matplotlib.pyplot as plt
import numpy as np

from cytomesh import PlaneContours, SectionPlane, SurfaceConfig, reconstruct, surface_views
from cytomesh.phantom.geometry import template
from cytomesh.phantom.slicing import cut, polygons

# %%
# Contours are drawn by you, in QuPath say, and `cytomesh.read_contours` reads them. Here, the surfaces of fsaverage
# are cut every 4 mm by coronal planes. A plane is a 3 x 3 matrix: the step per pixel column (to the right), the step
# per pixel row (downwards) and the centre of pixel (0, 0), in mm, RAS.
brain = template("L")
positions_mm = np.arange(brain.pial[:, 1].min() + 2, brain.pial[:, 1].max() - 1, 4.0)
contours = []
for y_mm in positions_mm:
    plane = SectionPlane(np.array([[0.2, 0, -80], [0, 0, y_mm], [0, -0.2, 90]]))
    pial, white = (
        polygons(cut(plane.pixels(surface), brain.faces, plane.distance(surface)), min_area=20)
        for surface in (brain.pial, brain.white)
    )
    contours.append(PlaneContours(plane.to_world, pial, white))
print(f"{len(contours)} sections, {positions_mm[0]:.0f} to {positions_mm[-1]:.0f} mm")

# %%
# Voxels of 1.2 mm and edges of 3 mm keep this quick. By default voxels come from the spacing of the sections.
surfaces = reconstruct(contours, SurfaceConfig(voxel_mm=1.2, edge_length_mm=3.0))
midsurface = surfaces.midthickness
print(f"{midsurface.n_vertices:,} nodes, Euler number {midsurface.euler_number}")

# %%
# One section: the contours as they were drawn, and where its plane cuts the new surfaces. The midsurface runs half-way
# between pial and white.
middle = len(contours) // 2
plane = SectionPlane(contours[middle].to_world)
figure, axes = plt.subplots(figsize=(6, 5.5), layout="constrained")
for region, colour, name in ((contours[middle].pial, "#0072b2", "pial"), (contours[middle].white, "#d55e00", "white")):
    rings = [ring for part in region.geoms for ring in (part.exterior, *part.interiors)]
    for k, ring in enumerate(rings):
        axes.plot(
            *(np.asarray(ring.coords).T * 0.2), ":", lw=2, color=colour, label=f"{name} contour" if k == 0 else None
        )
for mesh, colour, name in (
    (surfaces.pial, "#0072b2", "pial surface"),
    (midsurface, "black", "midsurface"),
    (surfaces.white, "#d55e00", "white surface"),
):
    rings = cut(plane.pixels(mesh.vertices), mesh.faces, plane.distance(mesh.vertices))
    for k, ring in enumerate(rings):
        axes.plot(*(np.vstack([ring, ring[:1]]).T * 0.2), color=colour, lw=1, label=None if k else name)
axes.set(xlabel="column (mm), left to right", ylabel="row (mm), superior to inferior", aspect="equal")
axes.invert_yaxis()
axes.set_title(f"Left hemisphere, coronal section at y = {positions_mm[middle]:.0f} mm")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
plt.show()

# %%
# Each vertex of the midsurface has its partners on pial and white, and so a thickness.
surface_views(midsurface, surfaces.thickness_mm, "L", label="thickness (mm)", title="Thickness on the midsurface")
plt.show()
