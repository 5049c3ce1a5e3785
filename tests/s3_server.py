"""A real S3 server on the loopback: moto's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BUCKET = "brains"


@dataclass(frozen=True, slots=True)
class S3Server:
    """`client`: of boto3; `environment`: what programs find the server by."""

    client: Any
    environment: dict[str, str]

    def upload(self, path: Path) -> None:
        """Put a file, or all below a folder, into the bucket, by its name."""
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file():
                self.client.upload_file(str(file), BUCKET, file.relative_to(path.parent).as_posix())

    def names(self, below: str = "") -> set[str]:
        """Return the names of objects."""
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=below)
        return {item["Key"] for item in listed.get("Contents", [])}


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start a server with one bucket; skip where packages for it are not installed."""
    server_kind = pytest.importorskip("moto.server", reason="moto[server] is not installed").ThreadedMotoServer
    boto3 = pytest.importorskip("boto3")
    filesystem = pytest.importorskip("s3fs").S3FileSystem
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_kind(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        filesystem.clear_instance_cache()  # of another server
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield S3Server(client, environment)
    server.stop()
