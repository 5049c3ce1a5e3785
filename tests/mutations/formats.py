"""Mutations of what the headers and values of binary formats say, by people who know the format."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.mutations.content import Evil, Mutation, bomb, content, deflated_zeros, value_mutations


def yaml_bombs() -> list[Mutation]:
    """Return YAML that is large, deep, or means more than it says."""
    names = "abcdefghij"
    rows = ["a: &a [1]", *(f"{b}: &{b} [{f'*{a},' * 9}]" for a, b in itertools.pairwise(names))]
    levels = "\n".join(rows)
    texts = {
        "aliases": levels,
        "alias of itself": "a: &a [*a]",
        "depth": "a: " + "[" * 5000,
        "tag": "!!python/object/apply:os.mkdir [/tmp/x]",
        "bad tag": "name: !!int x",
        "bad date": "name: 2020-13-45",
        "bad number": "name: 0b",
        "sexagesimal": "name: 1:99:1:1:1:1:1:1:1:1:1:1",
        "key twice": "name: a\nname: b",
        "key that is a list": "[1, 2]: 3",
        "merge": "<<: 3",
        "tabs": "name:\t\n\t- a",
        "two documents": "name: a\n---\nname: b",
        "NUL": "name: a\0b",
        "long key": "k" * 100_000 + ": 1",
        "100 MB": "#" * 100_000_000,
        "long number": "name: " + "9" * 100_000,
    }  # fmt: skip
    return [content(f"YAML: {name}", "type", lambda data, text=text: text.encode()) for name, text in texts.items()]


def set_words() -> list[Mutation]:
    """Return words after `--set`."""
    values = "[ *x -1 1e400 .inf .nan 2020-13-45 !!int !!python/name:os " + "9" * 30
    numbers = ("seed", "schedule.steps", "patches.size_px", "patches.um_per_px", "augment.std", "sampling.neighbours")
    words = [f"{name}={value}" for name in numbers for value in values.split()]
    words += [
        "a=[",
        "=",
        "==",
        "x",
        ".=1",
        "a..b=1",
        "schedule=3",
        "schedule.steps.x=1",
        "schedule.steps=[1]",
        "schedule.steps=",
        "seed=*x",
    ]
    words += ["encoder.name=../../x", "encoder.name=[]", "encoder.options={a:&a}", "encoder.in_chans=1000000000"]
    words += [
        "patches.size_px=1000000000",
        "schedule.steps=1e9",
        "sampling.seeds_per_batch=10000000000",
        "objectives={}",
    ]
    words += ["patches.um_per_px=0", "device=x", "device=cuda:99", "threads=-1", "threads=1000000000"]
    words += ["device=\0", "[" * 500, "a=" + "{a:" * 500]
    return [content(f"--set {word[:30]!r}", "number", lambda data, word=word: word.encode()) for word in words]


def _always(body: bytes) -> Callable[[bytes], bytes]:
    return lambda data: body


def nifti_mutations(is_packed: bool) -> list[Mutation]:
    """Return mutations of the header of NIfTI-1 (field offsets from nifti1.h)."""
    fields: list[tuple[str, int, str, tuple[Any, ...]]] = [
        ("sizeof_hdr", 0, "<i", (0, 540, -1)),
        ("dim[0]", 40, "<h", (0, 9, -1, 7, 1)),
        ("dim[1]", 42, "<h", (0, -5, 32767)),
        ("dim[2]", 44, "<h", (0, 32767)),
        ("dim[4]", 48, "<h", (0, 32767)),
        ("intent", 68, "<h", (-1, 1007, 2006, 32767)),
        ("datatype", 70, "<h", (0, 1, 128, 32, 2304, 1792, 9999, -1, 64, 1536)),
        ("bitpix", 72, "<h", (0, -1, 32767)),
        ("pixdim[0]", 76, "<f", (float("nan"), 7.0)),
        ("pixdim[1]", 80, "<f", (0.0, float("nan"), float("inf"), -1.0, 1e38)),
        ("vox_offset", 108, "<f", (0.0, -1e9, 1e30, float("nan"), float("inf"))),
        ("scl_slope", 112, "<f", (float("inf"), 1e38, -1.0)),
        ("scl_inter", 116, "<f", (float("nan"), float("inf"), 1e38)),
        ("xyzt_units", 123, "<B", (255, 7, 1)),
        ("qform_code", 252, "<h", (-1, 99)),
        ("sform_code", 254, "<h", (-1, 99, 0)),
        ("quatern_b", 256, "<f", (float("nan"), 1e38)),
        ("srow_x[0]", 280, "<f", (0.0, float("nan"), float("inf"), 1e38)),
        ("srow_y", 296, "<4f", ((0.0, 0.0, 0.0, 0.0),)),
        ("magic", 344, "<4s", (b"ni1\0", b"xxxx", b"n+2\0")),
    ]

    def change(data: bytes, at: int, word: bytes) -> bytes:
        raw = gzip.decompress(data) if is_packed else data
        raw = raw[:at] + word + raw[at + len(word) :]
        return gzip.compress(raw) if is_packed else raw

    found = []
    for name, at, kind, values in fields:
        for value in values:
            word = struct.pack(kind, *(value if isinstance(value, tuple) else (value,)))
            found.append(content(f"{name} {value}", "number", lambda d, at=at, word=word: change(d, at, word)))
    for value in (float("nan"), float("inf"), 3e38):
        word = struct.pack("<f", value) * 3
        found.append(content(f"values of {value}", "number", lambda d, word=word: change(d, 360, word)))
    if is_packed:
        huge = struct.pack("<8h", 4, 2000, 2000, 2000, 2, 1, 1, 1)
        found.append(
            content("a bomb of the size that it says", "type", lambda d: gzip.compress(_head(d, huge)) + bomb(8000))
        )
    return found


def _head(data: bytes, dims: bytes) -> bytes:
    raw = bytearray(gzip.decompress(data)[:352])
    raw[40:56], raw[70:74] = dims, struct.pack("<2h", 2, 8)
    return bytes(raw)


def png_mutations(data: bytes) -> list[Mutation]:
    """Return mutations of the chunks of a PNG, with right checksums."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = data[16:29]

    def with_head(**changes: int) -> bytes:
        names = ("width", "height", "depth", "colour", "packing", "filter", "interlace")
        facts = dict(zip(names, struct.unpack(">IIBBBBB", head), strict=True)) | changes
        return data[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", *facts.values())) + data[33:]

    facts = [
        {"width": 0}, {"width": 2**31 - 1}, {"width": 2**32 - 1}, {"height": 0}, {"height": 10**9},
        {"width": 40_000, "height": 50_000}, {"depth": 0}, {"depth": 3}, {"depth": 16}, {"depth": 1}, {"colour": 1},
        {"colour": 3}, {"colour": 4}, {"colour": 6}, {"colour": 99}, {"packing": 1}, {"filter": 9}, {"interlace": 7},
    ]  # fmt: skip
    found = [content(f"IHDR {change}", "number", lambda d, change=change: with_head(**change)) for change in facts]
    zeros, big = deflated_zeros(2**28), with_head(width=30_000, height=60_000)
    found += [
        content("IDAT bomb", "type", lambda d: big[:33] + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")),
        content("zTXt bomb", "text", lambda d: d[:33] + chunk(b"zTXt", b"a\0\0" + zeros) + d[33:]),
        content("iCCP bomb", "text", lambda d: d[:33] + chunk(b"iCCP", b"a\0\0" + zeros) + d[33:]),
        content("chunk of 2 GB", "cut", lambda d: d[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt" + d[33:]),
        content("no IEND", "cut", lambda d: d[:-12]),
        content("no IDAT", "cut", lambda d: d[:33] + chunk(b"IEND", b"")),
        content("two IHDR", "insert", lambda d: d[:33] + d[8:]),
    ]  # fmt: skip
    return found


def gifti_mutations() -> list[Mutation]:
    """Return mutations of the attributes and data of a GIFTI file."""

    def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
        return lambda data: data.replace(old, new)

    def attribute(name: bytes, value: bytes) -> Callable[[bytes], bytes]:
        import re

        return lambda data: re.sub(name + rb'="[^"]*"', name + b'="' + value + b'"', data)

    found = [
        content(f"{name.decode()} {value.decode()[:12]}", "number", attribute(name, value))
        for name, values in {
            b"Dim0": (b"0", b"-1", b"1000000000000", b"nan", b"x", b"1", b""),
            b"Dim1": (b"0", b"-3", b"1000000000", b"2"),
            b"Dimensionality": (b"0", b"9", b"-1", b"x", b"1000000"),
            b"DataType": (b"NIFTI_TYPE_RGB24", b"NIFTI_TYPE_FLOAT64", b"NIFTI_TYPE_INT32", b"x", b""),
            b"Encoding": (b"ASCII", b"Base64Binary", b"ExternalFileBinary", b"x"),
            b"Endian": (b"BigEndian", b"x"),
            b"Intent": (b"NIFTI_INTENT_NONE", b"NIFTI_INTENT_TRIANGLE", b"NIFTI_INTENT_POINTSET", b"x"),
            b"ArrayIndexingOrder": (b"ColumnMajorOrder", b"x"),
            b"NumberOfDataArrays": (b"0", b"1000000000", b"x"),
            b"ExternalFileName": (b"/dev/zero", b"../x"),
            b"Key": (b"x", b"-1", b"99999999999"),
            b"Red": (b"nan", b"x", b"9"),
        }.items()
        for value in values
    ]
    packed = zlib.compress(np.full((162, 3), np.nan, "<f4").tobytes())
    import base64
    import re

    def with_data(body: bytes) -> Callable[[bytes], bytes]:
        return lambda data: re.sub(rb"<Data>[^<]*</Data>", b"<Data>" + body + b"</Data>", data)

    found += [
        content("NaN", "number", with_data(base64.b64encode(packed))),
        content("bomb in Data", "type", with_data(base64.b64encode(deflated_zeros(2**30)))),
        content("no Data", "cut", with_data(b"")),
        content("no base64", "cut", with_data(b"!!!!")),
        content("entities", "type", swap(b"<GIFTI", b'<!DOCTYPE G [<!ENTITY a "b">]><GIFTI')),
        content("no arrays", "cut", lambda data: data.split(b"<DataArray")[0] + b"</GIFTI>"),
        content("deep", "type", lambda data: data.replace(b"<Data>", b"<Data>" + b"<a>" * 100_000)),
    ]
    return found


def _npy(descr: str, shape: str, order: str = "False", body: bytes = b"", version: int = 1) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H", len(text)) if version == 1 else struct.pack("<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + body


def npy_mutations(data: bytes) -> list[Mutation]:
    """Return mutations of a feature array."""
    array = np.load(io.BytesIO(data))
    n, d = array.shape
    body = array.tobytes()
    descr = repr(array.dtype.str)

    def saved(values: Any) -> bytes:
        stream = io.BytesIO()
        np.save(stream, values, allow_pickle=False)
        return stream.getvalue()

    rng = np.random.default_rng(0)
    half, bad = array.copy(), array.copy()
    half[n // 2 :] = 0
    bad[n // 2] = np.inf
    texts = {
        "huge shape": _npy(descr, f"({n}, 10000000000)", body=body),
        "huge both": _npy(descr, "(10000000000, 10000000000)", body=body),
        "negative": _npy(descr, f"(-{n}, {d})", body=body),
        "shape of text": _npy(descr, "('a',)", body=body),
        "shape is a number": _npy(descr, "3", body=body),
        "objects": _npy("'|O'", f"({n},)", body=pickle.dumps(Evil())),
        "text": _npy("'<U4'", f"({n}, {d})", body=body * 4),
        "records": _npy("[('a', '<f4'), ('b', '|O')]", f"({n},)", body=body),
        "complex": _npy("'<c8'", f"({n}, {d})", body=body * 2),
        "dates": _npy("'<M8[s]'", f"({n}, {d})", body=body * 2),
        "big endian": _npy("'>f4'", f"({n}, {d})", body=body),
        "Fortran": _npy(descr, f"({n}, {d})", "True", body),
        "integers": _npy("'<i4'", f"({n}, {d})", body=body),
        "bytes of a type": _npy("'|V1000000000'", f"({n}, {d})", body=body),
        "code": _npy("__import__('os')", f"({n}, {d})", body=body),
        "deep header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 200_000) + b"(" * 200_000,
        "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        "version 9": data[:6] + b"\x09" + data[7:],
        "one dimension": saved(array.ravel()),
        "fewer rows": saved(array[:-1]),
        "no columns": saved(array[:, :0]),
        "transposed": saved(array.T),
        "half zeros": saved(half),
        "infinite": saved(bad),
        "constant": saved(np.ones_like(array)),
        "those of another encoder": saved(rng.normal(size=(n, d)).astype(array.dtype)),
        "those of a wider encoder": saved(rng.normal(size=(n, 2 * d)).astype(array.dtype)),
    }
    return [content(f"npy: {name}", "type", lambda data, text=text: text) for name, text in texts.items()]


def npz_mutations(data: bytes) -> list[Mutation]:
    """Return mutations of the members of an archive of arrays."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def archive_of(changes: dict[str, bytes | None], packing: int = zipfile.ZIP_STORED) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", packing) as archive:
            for name, body in {**members, **changes}.items():
                if body is not None:
                    archive.writestr(name, body)
        return stream.getvalue()

    found = []
    for name in members:
        bodies = {
            "gone": None,
            "huge": _npy("'<f8'", "(10000000, 10000000, 2)"),
            "negative": _npy("'<f8'", "(-1,)"),
            "objects": _npy("'|O'", "(1,)", body=pickle.dumps(Evil())),
            "text": _npy("'<U1'", "(2,)", body=b"a\0\0\0b\0\0\0"),
            "NaN": _npy("'<f8'", "(2,)", body=np.full(2, np.nan).tobytes()),
            "1e308": _npy("'<f8'", "(2,)", body=np.full(2, 1e308).tobytes()),
            "no array": b"hello",
            "dates": _npy("'<M8[s]'", "(2,)", body=bytes(16)),
            "records": _npy("[('a', '<f8')]", "(2,)", body=bytes(16)),
            "scalar": _npy("'<f8'", "()", body=bytes(8)),
        }
        found += [
            content(f"{name} {what}", "number", lambda d, name=name, body=body: archive_of({name: body}))
            for what, body in bodies.items()
        ]
    zeros = _npy("'<f8'", "(20000, 10000, 2)") + bytes(2**26)
    found.append(
        content("zip bomb", "type", lambda d: archive_of({"displacement_px.npy": zeros}, zipfile.ZIP_DEFLATED))
    )
    return found


def parquet_mutations(data: bytes) -> list[Mutation]:
    """Return mutations of the columns of a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def saved(table: pa.Table) -> bytes:
        stream = io.BytesIO()
        pq.write_table(table, stream)
        return stream.getvalue()

    table = pq.read_table(io.BytesIO(data))
    n = len(table)
    found = {
        "no rows": table.slice(0, 0),
        "fewer rows": table.slice(0, n - 1),
        "no metadata": table.replace_schema_metadata(None),
        "metadata of bytes": table.replace_schema_metadata(dict.fromkeys(table.schema.metadata, b"\xff\xfe")),
        "huge width": table.replace_schema_metadata({**table.schema.metadata, b"sparse:pmap": b"1" + b"0" * 18}),
        "negative width": table.replace_schema_metadata({**table.schema.metadata, b"sparse:pmap": b"-1"}),
        "width of text": table.replace_schema_metadata({**table.schema.metadata, b"sparse:pmap": b"x"}),
        "sparse of nothing": table.replace_schema_metadata({**table.schema.metadata, b"sparse:area": b"3"}),
        "hemisphere": table.replace_schema_metadata({**table.schema.metadata, b"hemisphere": b"Q"}),
        "brain": table.replace_schema_metadata({**table.schema.metadata, b"brain": b"../../x"}),
    }
    others = {
        "nulls": pa.nulls(n),
        "text": pa.array(["x"] * n),
        "NaN": pa.array([float("nan")] * n),
        "1e308": pa.array([1e308] * n),
        "10^9": pa.array([10**9] * n),
        "lists": pa.array([[10**9, -1]] * n),
        "structs": pa.array([{"a": 1}] * n),
        "some nulls": pa.array([1.0] * (n - 1) + [None]),
    }
    for column in table.column_names:
        at = table.column_names.index(column)
        found[f"{column} gone"] = table.remove_column(at)
        for name, values in others.items():
            field = table.schema.field(column).with_type(values.type)
            found[f"{column} {name}"] = table.set_column(at, field, values)
    return [content(f"table: {name}", "number", _always(saved(other))) for name, other in found.items()]


def safetensors_mutations(data: bytes) -> list[Mutation]:
    """Return mutations of the head and of the numbers of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    head, body = json.loads(data[8 : 8 + size]), data[8 + size :]

    def saved(value: Any, body: bytes = body) -> bytes:
        text = json.dumps(value).encode()
        return len(text).to_bytes(8, "little") + text + body

    found = value_mutations(head, saved, random.Random(1), 40)
    record = json.loads(head.get("__metadata__", {}).get("cytomesh", "{}"))
    if record:
        with_record = lambda r: saved({**head, "__metadata__": {**head["__metadata__"], "cytomesh": json.dumps(r)}})  # noqa: E731
        found += value_mutations(record, with_record, random.Random(2), 30)
    numbers = np.frombuffer(body, "<f4").copy() if len(body) % 4 == 0 else np.zeros(0, "<f4")
    for name, values in {
        "NaN": np.full_like(numbers, np.nan),
        "zeros": 0 * numbers,
        "1e38": np.full_like(numbers, 1e38),
        "other": numbers[::-1],
    }.items():
        found.append(content(f"weights: {name}", "zeroed", lambda d, values=values: saved(head, values.tobytes())))
    one = numbers.copy()
    one[len(one) // 2 : len(one) // 2 + 1] = np.nan
    found.append(content("weights: one NaN", "zeroed", lambda d: saved(head, one.tobytes())))
    return found


def torch_mutations(path: Path) -> list[Mutation]:
    """Return mutations of what a checkpoint holds."""
    import torch

    before = torch.load(path, map_location="cpu", weights_only=True)
    key = "model" if "model" in before else "weights"

    def saved(value: Any) -> bytes:
        stream = io.BytesIO()
        torch.save(value, stream)
        return stream.getvalue()

    tensors = {
        name: torch.full_like(value, float("nan")) if value.is_floating_point() else value
        for name, value in before[key].items()
    }
    found: dict[str, Any] = {
        "NaN weights": {**before, key: tensors},
        "weights of text": {**before, key: "x"},
        "weights of numbers": {**before, key: dict.fromkeys(tensors, 1)},
        "list": [1, 2],
        "tensor": torch.zeros(3),
        "objects": Evil(),
        "objects inside": {**before, "key": Evil()},
    }
    for name in before:
        found[f"no {name}"] = {other: value for other, value in before.items() if other != name}
        for value in (None, -1, 10**9, 1e308, float("nan"), "x", [], {"a": 1}):
            found[f"{name} {value!r}"] = {**before, name: value}
    return [content(f"checkpoint: {name}", "number", _always(saved(value))) for name, value in found.items()]
