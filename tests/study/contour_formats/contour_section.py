"""A section on a coronal plane with 0.1 mm pixels, for tests of contour files."""

from pathlib import Path

import numpy as np

from cytomesh.study.manifest import ContourSettings
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

PLANE = SectionPlane(np.array([[0.1, 0, -4.0], [0, 0, 1.5], [0, -0.1, 3.0]]))


def section(path: Path, image: Path | None = None, **settings: object) -> Section:
    return Section("B01", 1, image, 100.0, PLANE, contours=path, contour_settings=ContourSettings(**settings))
