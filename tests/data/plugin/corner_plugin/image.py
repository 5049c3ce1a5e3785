import numpy as np

from cytomesh.study.image_formats.reader import ImageHeader, ImageLevel, ImageReader, known_dtype


class ArrayFileReader(ImageReader):
    """A section as NumPy saves an array: mapped, not read."""

    suffixes = (".npy",)

    @classmethod
    def read_header(cls, path):
        array = np.load(path, mmap_mode="r")
        return ImageHeader(path, 1, (ImageLevel("0", array.shape),), dtype=known_dtype(path, array.dtype))

    def decode(self, level, rows, columns):
        return np.array(np.load(self.header.path, mmap_mode="r")[rows, columns, None])
