import numpy as np

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.features import ContourFeature, close
from cytomesh.study.contour_formats.reader import ContourReader


class CornerReader(ContourReader):
    """Lines of text: a class, then the columns and rows of a ring's corners."""

    suffixes = (".corners",)

    def read(self, drawing):
        found = []
        for number, line in enumerate(drawing.path.read_text().splitlines(), 1):
            name, *numbers = line.split()
            if len(numbers) % 2:
                raise ContourError(drawing.path, f"line {number}", found="a column without a row", expected="pairs")
            ring = close(np.array(numbers, float).reshape(-1, 2))
            found.append(ContourFeature(f"line {number}", (name,), ((ring,),)))
        return found
