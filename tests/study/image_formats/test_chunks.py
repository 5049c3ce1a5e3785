"""Tiles, strips and chunks that are read one by one, against tifffile and zarr that read the whole."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec

from cytomesh.study.image_formats.chunks import ChunkedArray, DiskFile
from cytomesh.study.image_formats.tiff import TiffReader
from cytomesh.study.image_formats.zarr_chunks import ZarrChunks, open_array

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (211, 307), np.uint8)
COLOURS = RANDOM.integers(0, 256, (211, 307, 3), np.uint8)
DEEP = RANDOM.integers(0, 65536, (211, 307), np.uint16)


class InMemory(ChunkedArray):
    def __init__(self, values, chunks):
        super().__init__(values.shape, chunks, values.dtype)
        self.values, self.decoded = values, []

    def decode(self, place):
        self.decoded.append(place)
        corner = [i * size for i, size in zip(place, self.chunks, strict=True)]
        return self.values[tuple(slice(at, at + size) for at, size in zip(corner, self.chunks, strict=True))]


def test_windows_of_any_place_and_size():
    values = RANDOM.integers(0, 99, (3, 50, 41))
    array = InMemory(values, (1, 16, 20))
    for _ in range(100):
        bounds = [np.sort(RANDOM.integers(0, n + 1, 2)) for n in values.shape]
        window = tuple(slice(int(a), int(b)) for a, b in bounds)
        array.decoded.clear()
        found = array[window]
        np.testing.assert_array_equal(found, values[window])
        assert found.dtype == values.dtype and len(set(array.decoded)) == len(array.decoded)
    assert array[:, 3:3, :].shape == (3, 0, 41) and array[:, 5:3, :].shape == (3, 0, 41)


def of_reader(path, level=0):
    """Windows and the whole of an image by its reader, from several threads, against each other."""
    reader = TiffReader(TiffReader.read_header(path))
    height, width = reader.header.levels[level].shape
    whole = reader.read(level, slice(0, height), slice(0, width))
    with ThreadPoolExecutor(4) as threads:
        rows = [(top, min(top + 37, height)) for top in range(0, height, 37)]
        windows = list(threads.map(lambda part: reader.read(level, slice(*part), slice(11, width - 5)), rows))
    np.testing.assert_array_equal(np.concatenate(windows), whole[:, 11 : width - 5])
    reader.close()
    return whole


@pytest.mark.parametrize(
    ("pixels", "facts"),
    [
        (GREY, {"tile": (64, 80), "compression": "zstd"}),
        (GREY, {"tile": (64, 80)}),
        (GREY, {}),
        (GREY, {"rowsperstrip": 7, "compression": "lzw", "predictor": True}),
        (DEEP, {"tile": (64, 64), "compression": "zlib", "predictor": True}),
        (DEEP, {"rowsperstrip": 1, "byteorder": ">"}),
        (DEEP.astype(np.float32), {"tile": (64, 64), "compression": "zstd", "predictor": 3}),
        (COLOURS, {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb"}),
        (COLOURS, {"tile": (64, 64), "compression": "jpeg2000", "photometric": "rgb"}),
        (COLOURS, {"rowsperstrip": 16, "compression": "deflate", "photometric": "rgb"}),
        (COLOURS, {"tile": (64, 64), "compression": "webp", "photometric": "rgb"}),
        (np.moveaxis(COLOURS, 2, 0), {"tile": (64, 64), "photometric": "rgb", "planarconfig": "separate"}),
        (np.moveaxis(COLOURS, 2, 0), {"photometric": "minisblack", "metadata": {"axes": "CYX"}}),
        (np.moveaxis(COLOURS, 2, 0), {"tile": (64, 64), "photometric": "minisblack", "metadata": {"axes": "CYX"}}),
        (np.moveaxis(COLOURS, 2, 0), {"ome": True, "photometric": "minisblack", "metadata": {"axes": "CYX"}}),
        (np.moveaxis(COLOURS, 2, 0), {"imagej": True, "metadata": {"axes": "CYX"}}),
        (COLOURS, {"imagej": True, "photometric": "rgb", "metadata": {"axes": "YXS"}}),
    ],
)
def test_every_layout_of_tiff(tmp_path, pixels, facts):
    path = tmp_path / "a.tif"
    kind = {key: facts[key] for key in ("ome", "imagej", "byteorder") if key in facts}
    with tifffile.TiffWriter(path, **kind) as tiff:
        tiff.write(pixels, **{key: value for key, value in facts.items() if key not in kind})
    expected = tifffile.imread(path)
    expected = np.moveaxis(expected, 0, 2) if expected.shape[0] == 3 else np.atleast_3d(expected)
    np.testing.assert_array_equal(of_reader(path), expected)


def test_a_tile_that_is_not_stored_is_what_the_file_says_of_no_data(tmp_path):
    path = tmp_path / "a.tif"
    values = GREY.copy()
    values[64:128, 80:160] = 0
    tiles = [values[y : y + 64, x : x + 80] for y in range(0, 211, 64) for x in range(0, 307, 80)]
    empty = 1 * 4 + 1
    with tifffile.TiffWriter(path) as tiff:
        given = (
            None if i == empty else np.pad(t, ((0, 64 - t.shape[0]), (0, 80 - t.shape[1]))) for i, t in enumerate(tiles)
        )
        tiff.write(given, shape=values.shape, dtype=np.uint8, tile=(64, 80))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].databytecounts[empty] == 0
    np.testing.assert_array_equal(of_reader(path)[..., 0], values)


def test_levels_of_a_pyramid(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(GREY, tile=(64, 64), subifds=2, compression="zstd")
        tiff.write(GREY[::2, ::2], tile=(64, 64), subfiletype=1, compression="zstd")
        tiff.write(GREY[::4, ::4], tile=(64, 64), subfiletype=1, compression="zstd")
    for level in range(3):
        np.testing.assert_array_equal(of_reader(path, level)[..., 0], GREY[:: 2**level, :: 2**level])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_processes_read_the_same_open_file(tmp_path):
    """They share its position: reading from where it stands would mix them up."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, tile=(16, 16))
    reader = TiffReader(TiffReader.read_header(path))
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            wrong = sum((reader.read(0, slice(0, 211), slice(0, 307))[..., 0] != GREY).any() for _ in range(30))
            os._exit(int(wrong > 0))
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    reader.close()


def test_bytes_beyond_the_end_are_an_error(tmp_path):
    (tmp_path / "a").write_bytes(b"abcdef")
    with DiskFile(tmp_path / "a") as file:
        assert file.read_at(1, 5) == b"bcdef" and file.tell() == 0
        with pytest.raises(EOFError, match="4 bytes from 2 instead of 5"):
            file.read_at(2, 5)


def sharded(inner, **facts):
    return [ShardingCodec(chunk_shape=(30, 40), codecs=[BytesCodec(), *inner], **facts)]


V3 = {
    "raw": [BytesCodec()],
    "big-endian": [BytesCodec(endian="big"), ZstdCodec()],
    "gzip": [BytesCodec(), GzipCodec()],
    "blosc": [BytesCodec(), BloscCodec(typesize=2)],
    "zstd": [BytesCodec(), ZstdCodec(checksum=True)],
    "sharded": sharded([ZstdCodec()]),
    "sharded, raw": sharded([]),
    "sharded, index first": sharded([ZstdCodec()], index_location="start"),
}
LEFT_TO_ZARR = {
    "transposed": [TransposeCodec(order=(1, 0)), BytesCodec(), ZstdCodec()],
    "checksums": [BytesCodec(), Crc32cCodec()],
    "sharded, index without checksum": sharded([ZstdCodec()], index_codecs=[BytesCodec()]),
}


def written_v3(folder, codecs, values=DEEP):
    facts = {"store": str(folder), "shape": values.shape, "dtype": values.dtype, "chunks": (60, 80), "fill_value": 7}
    array = zarr.create(**facts, codecs=codecs, zarr_format=3, config={"write_empty_chunks": False})
    array[:] = values
    return array


def check_windows(array, expected):
    for _ in range(20):
        (a, b), (c, d) = (np.sort(RANDOM.integers(0, n + 1, 2)).tolist() for n in expected.shape)
        found = np.asarray(array[slice(a, b), slice(c, d)])
        np.testing.assert_array_equal(found, expected[a:b, c:d])


@pytest.mark.parametrize("name", [*V3, *LEFT_TO_ZARR])
def test_every_coding_of_zarr_3(tmp_path, name):
    written_v3(tmp_path / "0", (V3 | LEFT_TO_ZARR)[name])
    array = open_array(tmp_path / "0")
    assert isinstance(array, ZarrChunks) == (name in V3)
    check_windows(array, DEEP)


@pytest.mark.parametrize("facts", [{}, {"compressors": None}, {"dtype": ">u2"}, {"order": "F"}, {"filters": "delta"}])
def test_every_coding_of_zarr_2(tmp_path, facts):
    import numcodecs

    facts = {"dtype": DEEP.dtype} | facts
    if "filters" in facts:
        facts["filters"] = [numcodecs.Delta("<u2")]
    array = zarr.create_array(str(tmp_path / "0"), shape=DEEP.shape, chunks=(60, 80), zarr_format=2, **facts)
    array[:] = DEEP
    found = open_array(tmp_path / "0")
    assert isinstance(found, ZarrChunks) == (array.metadata.order == "C" and not array.metadata.filters)
    check_windows(found, DEEP)


def test_a_chunk_that_its_shard_lacks_has_the_fill_value(tmp_path):
    values = DEEP.copy()
    values[30:60, 40:80] = 7
    written_v3(tmp_path / "0", V3["sharded"], values)
    array = open_array(tmp_path / "0")
    check_windows(array, values)
    assert array._part((1, 1)) is None and array._part((0, 1)) is not None


def test_a_damaged_index_of_a_shard_is_an_error(tmp_path):
    written_v3(tmp_path / "0", V3["sharded"])
    shard = tmp_path / "0" / "c" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ValueError, match="index is damaged"):
        open_array(tmp_path / "0")[0:5, 0:5]


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("shards", [None, (128, 160)])
def test_chunks_that_are_no_files_are_not_waited_for(tmp_path, kind, shards):
    zarr.create_array(str(tmp_path / "a"), data=GREY, chunks=(64, 80), shards=shards, compressors=[])
    array = open_array(tmp_path / "a")
    assert isinstance(array, ZarrChunks)
    chunk = tmp_path / "a" / "c" / "0" / "0"
    chunk.unlink()
    if kind == "pipe":
        os.mkfifo(chunk)
    else:
        chunk.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="a pipe, socket or device"):
        array[:10, :10]
    np.testing.assert_array_equal(array[200:, 300:], GREY[200:, 300:])
