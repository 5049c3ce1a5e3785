import numpy as np

from cytomesh.analyze.cells.formats.reader import CellReader
from cytomesh.analyze.cells.table import CellTable
from cytomesh.core.errors import CellError


class SpotReader(CellReader):
    """Lines of text: column, row and area of a cell, in pixels that are counted from the corner of the first one."""

    suffixes = (".spots",)

    def read(self, path):
        lines = [line.split() for line in path.read_text().splitlines()]
        wrong = next((number for number, line in enumerate(lines, 1) if len(line) != 3), None)
        if wrong is not None:
            raise CellError(path, f"line {wrong}", found="another number of words", expected="column, row and area")
        values = np.array(lines, float).reshape(-1, 3)
        return CellTable(values[:, :2], "px", True, {"area": values[:, 2]})
