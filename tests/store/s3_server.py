"""A real S3 server on loopback: SeaweedFS, master, volumes, filer and gateway in one process."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import obstore
from obstore.exceptions import BaseError

from store.config import ObjectTarget
from store.objects import open_object_store
from tests.ports import free_port

__all__ = ["ACCESS_KEY", "SECRET_KEY", "S3Server", "running_s3_server"]

ACCESS_KEY = "crl-publisher"
SECRET_KEY = "never-in-a-log-line"
START = 60.0  # seconds; about three on an idle machine
PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
    "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where it listens, how to sign in, and its process."""

    endpoint: str
    access_key_file: Path
    secret_key_file: Path
    process: "subprocess.Popen[bytes]"

    def target(self, bucket: str, prefix: str = "prefix") -> ObjectTarget:
        """A bucket, made when it is first written to; each takes some seven volumes of the server."""
        return ObjectTarget(
            f"s3://{bucket}/{prefix}",
            self.endpoint,
            "local",
            self.access_key_file,
            self.secret_key_file,
            allow_http=True,
        )


@contextmanager
def running_s3_server(directory: Path) -> Iterator[S3Server]:
    """Start it over an empty directory; it is killed at the end, its data are nobody's."""
    access, secret, log = directory / "access", directory / "secret", directory / "weed.log"
    access.write_text(f"{ACCESS_KEY}\n")
    secret.write_text(f"{SECRET_KEY}\n")
    ports = [free_port() for _ in PORTS]
    with log.open("wb") as output:
        process = subprocess.Popen(_command(directory, ports), stdout=output, stderr=output)
    server = S3Server(f"http://127.0.0.1:{ports[PORTS.index('s3.port')]}", access, secret, process)
    try:
        _wait(server, log)
        yield server
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()  # it does not end by itself in any short time
        process.wait()


def _command(directory: Path, ports: list[int]) -> list[str]:
    identity = {
        "name": "publisher",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (directory / "identities.json").write_text(json.dumps({"identities": [identity]}))
    (directory / "data").mkdir()
    return [
        str(Path(sys.executable).with_name("weed")), f"-logdir={directory}", "server",
        f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.peers=none",
        "-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64", "-volume.max=100", "-filer", f"-filer.localSocket={directory / 'filer'}",
        "-s3", f"-s3.localSocket={directory / 's3'}", f"-s3.config={directory / 'identities.json'}",
        "-s3.port.iceberg=0", "-s3.port.lance=0",
        *(f"-{name}={port}" for name, port in zip(PORTS, ports, strict=True)),
    ]  # fmt: skip


def _wait(server: S3Server, log: Path) -> None:
    """Until an object can be written: that takes all its parts."""
    deadline = time.monotonic() + START
    while not _listens(server) or not _writes(server):
        assert server.process.poll() is None, log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < deadline, (
            f"no S3 server after {START} s: {log.read_text(errors='replace')[-2000:]}"
        )
        time.sleep(0.1)


def _listens(server: S3Server) -> bool:
    try:
        urlopen(server.endpoint).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True


def _writes(server: S3Server) -> bool:
    try:
        obstore.put(open_object_store(server.target("started")), "started", b"")
    except BaseError:
        return False
    return True
