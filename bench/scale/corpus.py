"""A CA without a ledger, and the index.txt of any number of certificates that it might have issued."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from bench.serve.corpus import Corpus
from bench.serve.questions import Questions
from signer.demo.authority import create_authority

__all__ = ["ISSUER", "Drawn", "create_ca", "drawn_corpus", "write_index"]

ISSUER = "bench"  # as bench-serve names it
SHARDS = 128
REVOKED_EVERY = 20
ROWS = 1 << 16  # made at a time
OCTETS = 16  # of a serial
DIGITS = 2 * OCTETS
HOUR = 3_600
LIVES = range(24, 90 * 24)  # hours that certificates have left
AGES = range(1, 30 * 24)  # hours since they were revoked

CONFIG = f"""\
[signer]
admin = "127.0.0.1:{{admin}}"

[intake]
tokens = "intake.tokens"

[[issuer]]
name = "{ISSUER}"
certificate = "ca.pem"
signer = {{{{ key = "responder.key", certificate = "responder.pem" }}}}
crl = {{{{ key = "ca.key", shards = {SHARDS}, url = "http://127.0.0.1/crl/{{{{issuer}}}}/{{{{series}}}}-{{{{index}}}}.crl" }}}}
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One of the certificates, and what has to be answered about it."""

    serial: int
    revoked: bool


def create_ca(directory: Path, admin: int, token: str, page_bits: int | None = None) -> Path:
    """Its ocsp.toml, with an intake API for the bearer of `token` on the port `admin`."""
    create_authority(
        directory, 2, int(time.time()), "http://127.0.0.1/", lambda serial: "http://127.0.0.1/0.crl", 1
    )
    tokens = directory / "intake.tokens"
    tokens.touch(0o600)
    tokens.write_text(f"bench {token}\n")
    config = directory / "ocsp.toml"
    pages = "" if page_bits is None else f"ocsp = {{ page_bits = {page_bits} }}\n"
    config.write_text(CONFIG.format(admin=admin) + pages)
    return config


def write_index(
    path: Path, count: int, seed: int, draw: int = 0, revoked_every: int = REVOKED_EVERY
) -> list[Drawn]:
    """As `openssl ca` writes it, one in twenty revoked or, with 0, none; `draw` of them at most, spread over all.

    The same seed and count are the same serials.
    """
    drawn: list[Drawn] = []
    every = (max(count // draw, 1) - 1 | 1) if draw else count + 1  # odd, or all would be revoked
    with path.open("w") as file:
        for first, lines in _parts(count, seed, revoked_every):
            file.writelines(lines)
            drawn += [_read(lines[at - first]) for at in _multiples(every, first, first + len(lines))]
    return drawn[:draw]


def drawn_corpus(directory: Path, drawn: Sequence[Drawn]) -> Corpus:
    """What bench-serve asks about."""
    ca, responder = (
        x509.load_pem_x509_certificate((directory / name).read_bytes())
        for name in ("ca.pem", "responder.pem")
    )
    return Corpus(directory, [one.serial for one in drawn], responder, Questions(ca))


def _parts(count: int, seed: int, revoked_every: int) -> Iterator[tuple[int, list[str]]]:
    """Lines, and the number of the first of them. A microsecond each: there are millions."""
    chooser = random.Random(seed)
    now = int(time.time())
    ends = [_moment(now + hours * HOUR) for hours in LIVES]
    revocations = [_moment(now - hours * HOUR) for hours in AGES]
    for first in range(0, count, ROWS):
        size = min(ROWS, count - first)
        digits = chooser.randbytes(OCTETS * size).hex().upper()
        serials = ["4" + digits[at + 1 : at + DIGITS] for at in range(0, len(digits), DIGITS)]
        lines = [
            f"V\t{end}\t\t{serial}\tunknown\t/CN=host-{number}.example\n"
            for number, (serial, end) in enumerate(
                zip(serials, chooser.choices(ends, k=size), strict=True), start=first
            )
        ]
        for at in _multiples(revoked_every, first, first + size) if revoked_every else ():
            status, end, _, rest = lines[at - first].split("\t", 3)
            lines[at - first] = f"R\t{end}\t{chooser.choice(revocations)},superseded\t{rest}"
        yield first, lines


def _multiples(of: int, start: int, stop: int) -> range:
    return range(-(-start // of) * of, stop, of)


def _read(line: str) -> Drawn:
    fields = line.split("\t")
    return Drawn(int(fields[3], 16), fields[0] == "R")


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%y%m%d%H%M%SZ}"
