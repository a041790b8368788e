"""A CA without a ledger, and files of certificates that it might have issued: one in twenty is revoked."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from signer.demo.authority import create_authority

__all__ = ["HEADER", "create_authority_for_imports", "write_csv", "write_index"]

DAY = 86_400
REVOKED_EVERY = 20
SHARDS = 128
HEADER = "serial,not_after,status,revoked_at,reason"
CONFIG = f"""\
[[issuer]]
name = "bench"
certificate = "ca.pem"
signer = {{ key = "responder.key", certificate = "responder.pem" }}
crl = {{ key = "ca.key", shards = {SHARDS}, url = "http://127.0.0.1/crl/{{issuer}}/{{series}}-{{index}}.crl" }}
"""


class _Certificate(NamedTuple):
    serial: str  # hexadecimal, lower case
    end: datetime
    revoked: datetime | None


def create_authority_for_imports(directory: Path) -> Path:
    """Its ocsp.toml."""
    directory.mkdir()
    create_authority(
        directory, 2, int(time.time()), "http://127.0.0.1/", lambda serial: "http://127.0.0.1/0.crl", 1
    )
    config = directory / "ocsp.toml"
    config.write_text(CONFIG)
    return config


def write_index(path: Path, count: int, seed: int) -> None:
    """As `openssl ca` writes it. The same seed and count are the same certificates."""
    with path.open("w") as file:
        for number, (serial, end, revoked) in enumerate(_certificates(count, seed)):
            status = "V" if revoked is None else "R"
            since = "" if revoked is None else f"{revoked:%y%m%d%H%M%SZ},superseded"
            file.write(
                f"{status}\t{end:%y%m%d%H%M%SZ}\t{since}\t{serial.upper()}\tunknown\t/CN=host-{number}.example\n"
            )


def write_csv(path: Path, count: int, seed: int) -> None:
    """With a header. The same seed and count are the same certificates."""
    with path.open("w") as file:
        file.write(HEADER + "\n")
        for serial, end, revoked in _certificates(count, seed):
            status = "good,," if revoked is None else f"revoked,{revoked:%Y-%m-%dT%H:%M:%SZ},superseded"
            file.write(f"{serial},{end:%Y-%m-%dT%H:%M:%SZ},{status}\n")


def _certificates(count: int, seed: int) -> Iterator[_Certificate]:
    """16-octet serials without order, as random serials come."""
    chooser = random.Random(seed)
    now = int(time.time())
    for number in range(count):
        serial = f"{0x40 << 120 | chooser.getrandbits(120):x}"
        end = _moment(now + chooser.randrange(90 * DAY))
        since = now - chooser.randrange(60, 30 * DAY)
        yield _Certificate(serial, end, None if number % REVOKED_EVERY else _moment(since))


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
