"""Mutations of any file: bytes, what stands under its name, and the values of JSON, YAML and text formats."""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import pickle
import random
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MARKER = Path(tempfile.gettempdir()) / f"cytomesh-mutation-ran-{os.getuid()}"
BAD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**9, 10**30, 1e308, -1e308, float("nan"), float("inf"), "", "x", "1", "a\0b", "n" * 5000,
    "../../../etc/passwd", [], [[]], {}, {"a": 1}, [None] * 3, [1e308, -1e308],
)  # fmt: skip
BAD_NUMBERS = ("nan", "inf", "1e308", "-1e308", "1e999", "1000000000", "9" * 400, "-1", "0", "", "x", "0x10", "\0")


@dataclass(frozen=True)
class Mutation:
    """One way to spoil a file.

    Parameters
    ----------
    name : str
    harm : str
        Its kind, see `Target.guards`.
    write : callable
        Takes the path, where nothing stands, and the content that was there.
    """

    name: str
    harm: str
    write: Callable[[Path, bytes], object]


def content(name: str, harm: str, change: Callable[[bytes], bytes]) -> Mutation:
    """Return a mutation of the content."""
    return Mutation(name, harm, lambda path, data: path.write_bytes(change(data)))


class Evil:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(MARKER),)


def special_files() -> list[Mutation]:
    """Return what is no file, or none of its own."""

    def loop(path: Path, _: bytes) -> None:
        other = MARKER.with_name(f"{MARKER.name}-loop")
        other.unlink(missing_ok=True)
        other.symlink_to(path)
        path.symlink_to(other)

    return [
        Mutation("absent", "type", lambda path, _: None),
        Mutation("empty", "type", lambda path, _: path.write_bytes(b"")),
        Mutation("folder", "type", lambda path, _: path.mkdir()),
        Mutation("pipe", "type", lambda path, _: os.mkfifo(path)),
        Mutation("link to a device", "type", lambda path, _: path.symlink_to("/dev/zero")),
        Mutation("link to a terminal", "type", lambda path, _: path.symlink_to("/dev/tty")),
        Mutation("link to itself", "type", lambda path, _: path.symlink_to(path)),
        Mutation("loop of links", "type", loop),
        Mutation("link to nothing", "type", lambda path, _: path.symlink_to(path.with_name("nowhere"))),
    ]


def other_types() -> dict[str, bytes]:
    """Return files of other types."""
    objects, arrays = io.BytesIO(), io.BytesIO()
    np.save(objects, np.array([Evil()], object), allow_pickle=True)
    np.save(arrays, np.arange(6.0))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("data.pkl", pickle.dumps(Evil()))
        members.writestr("archive/data.pkl", pickle.dumps(Evil()))
        members.writestr("archive/version", "3\n")
        members.writestr("displacement_px.npy", objects.getvalue())
        members.writestr("a.roi", b"Iout" + b"\xff" * 200)
    return {
        "pickle": pickle.dumps(Evil()),
        "old pickle": pickle.dumps(Evil(), 0),
        "npy of objects": objects.getvalue(),
        "npy": arrays.getvalue(),
        "zip": archive.getvalue(),
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) (w) file\nshowpage\n%%EOF\n",
        "gzip of nothing": gzip.compress(b""),
        "ELF": b"\x7fELF\x02\x01\x01" + bytes(100),
        "HTML": b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>\n",
        "LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "UTF-16": "index\tname\n1\tä\n".encode("utf-16"),
        "JSON": b'{"a": [1, 2, {"b": null}]}',
        "JSON list": b"[[1, 2], [3]]",
        "JSON number": b"1e400",
        "YAML": b"a: &a [1]\nb: *a\n",
        "NULs": bytes(4096),
        "ones": b"\xff" * 4096,
        "gigabytes, sparse": b"",
        "nested lists": b"[" * 100_000,
        "safetensors": (2).to_bytes(8, "little") + b"{}",
        "safetensors with a huge head": (2**62).to_bytes(8, "little") + b"{}",
        "entity bomb": (
            b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
            + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
            + b"]><svg>&j;</svg>"
        ),
        "XXE": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "file:///dev/zero">]><svg>&a;</svg>',
    }


def bomb(n_megabytes: int = 3000) -> bytes:
    """Return gzip that unpacks to so many zeros; made from members that repeat, since packing them takes a minute."""
    return gzip.compress(bytes(2**24), 9) * (n_megabytes // 16)


def byte_mutations(data: bytes, rng: random.Random) -> list[Mutation]:
    """Return mutations of bytes, and other types under the name."""
    found: list[Mutation] = []
    n = max(2, len(data))
    for share in (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97):
        found.append(content(f"cut at {share}", "cut", lambda data, k=int(n * share): data[:k]))
    for k in (1, 4, 40):
        found.append(content(f"last {k} bytes lost", "cut", lambda data, k=k: data[:-k]))
        found.append(content(f"first {k} bytes lost", "cut", lambda data, k=k: data[k:]))
    for i in range(36):
        at, bit = rng.randrange(min(n, 400) if i % 2 else n), 1 << rng.randrange(8)
        found.append(content(f"bit {bit} of byte {at}", "flip", lambda data, at=at, bit=bit: _xor(data, at, bit)))
    for i in range(16):
        at = rng.randrange(min(n, 400) if i % 4 else n)
        for name, word in (("ff", b"\xff" * 4), ("7f", b"\xff\xff\xff\x7f"), ("00", bytes(4)))[i % 3 : i % 3 + 1]:
            found.append(content(f"{name} at {at}", "flip", lambda d, at=at, word=word: d[:at] + word + d[at + 4 :]))
    for _ in range(6):
        at, more = rng.randrange(n), rng.randbytes(rng.choice((1, 7, 300)))
        found.append(
            content(f"{len(more)} bytes in at {at}", "insert", lambda d, at=at, more=more: d[:at] + more + d[at:])
        )
    for start, stop in ((0.5, 1), (0.25, 0.5), (0, 0.5), (0.8, 0.9)):
        a, b = int(n * start), int(n * stop)
        found.append(
            content(f"zeros from {a} to {b}", "zeroed", lambda d, a=a, b=b: d[:a] + bytes(len(d[a:b])) + d[b:])
        )
    found.append(content("twice", "insert", lambda data: data + data))
    noise = rng.randbytes(n)
    found.append(content("random", "type", lambda data: noise))
    found.append(content("gzip of it", "pack", gzip.compress))
    found.append(content("gzip of it, cut", "cut", lambda data: gzip.compress(data)[:-9]))
    found.append(content("gzip bomb", "type", lambda data: bomb()))
    for name, other in other_types().items():
        if name == "gigabytes, sparse":
            found.append(Mutation(name, "type", lambda path, _: os.truncate(_touched(path), 2**33)))
        else:
            found.append(content(name, "type", lambda data, other=other: other))
    return found


def _touched(path: Path) -> Path:
    path.touch()
    return path


def _xor(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :] if at < len(data) else data


def text_mutations(data: bytes, rng: random.Random, count: int = 60) -> list[Mutation]:
    """Return mutations of the numbers and words of a text format."""
    places = list(re.finditer(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?|[A-Za-z_]{3,}", data))
    found = []
    for place in rng.choices(places, k=count):
        word = rng.choice(BAD_NUMBERS).encode()
        found.append(
            content(
                f"{word[:12]!r} for {place[0][:12]!r} at {place.start()}",
                "number",
                lambda data, place=place, word=word: data[: place.start()] + word + data[place.end() :],
            )
        )
    return found


def value_mutations(value: Any, dump: Callable[[Any], bytes], rng: random.Random, count: int = 60) -> list[Mutation]:
    """Return mutations of the values of a nested structure: others in their place, gone, and one more."""
    places = list(_places(value))
    found = []
    for place in rng.choices(places, k=count):
        changed = copy.deepcopy(value)
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        if not place:
            changed = rng.choice(BAD_VALUES)
            name = f"{changed!r:.20} for all"
        elif rng.random() < 0.15:
            del holder[place[-1]]
            name = f"no {place}"
        else:
            holder[place[-1]] = rng.choice(BAD_VALUES)
            name = f"{holder[place[-1]]!r:.20} for {place}"
        try:
            text = dump(changed)
        except (ValueError, TypeError, OverflowError):
            continue
        found.append(content(name, "number", lambda data, text=text: text))
    return found


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*place, key))


def json_mutations(data: bytes, rng: random.Random, count: int = 60) -> list[Mutation]:
    """Return mutations of the values of a JSON file."""
    found = value_mutations(json.loads(data), lambda value: json.dumps(value).encode(), rng, count)
    return [*found, content("digits without end", "number", lambda data: b'{"format": ' + b"1" * 10_000 + b"}")]


def deflated_zeros(n_bytes: int) -> bytes:
    """Return a zlib stream of zeros."""
    packer = zlib.compressobj(9)
    block = bytes(2**20)
    return b"".join(packer.compress(block) for _ in range(n_bytes >> 20)) + packer.flush()
