"""A CA that has revoked everything it issued: its index.txt, its ledger, and the same entries in memory."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from signer.crl.build import CrlEntry
from signer.demo.authority import create_authority

__all__ = ["NEXT_UPDATE", "Corpus", "create_corpus", "import_into_ledger"]

DAY = 86_400
NEXT_UPDATE = 7 * DAY - 1  # seconds after thisUpdate
# CRLReason values of BR 7.2.2 in turn, as index.txt names them; 0 is left out.
REASONS = {0: "", 1: ",keyCompromise", 3: ",affiliationChanged", 4: ",superseded", 5: ",cessationOfOperation"}

ISSUERS = """\
[[issuer]]
name = "{name}"
certificate = "ca.pem"
signer = {{ key = "responder.key", certificate = "responder.pem" }}
crl = {{ key = "ca.key", shards = {shards}, url = "http://127.0.0.1/crl/{{issuer}}/{{series}}-{{index}}.crl" }}
"""
OPENSSL = """\
[ca]
default_ca = here
[here]
database = index.txt
crlnumber = crlnumber
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_crl_days = 7
crl_extensions = shard
[shard]
authorityKeyIdentifier = keyid
issuingDistributionPoint = critical,@point
[point]
fullname = URI:http://127.0.0.1/crl/bench/0-0.crl
onlyuser = TRUE
"""


@dataclass(frozen=True, slots=True)
class Corpus:
    """One CA on disk with an ocsp.toml and an openssl.cnf; 16-octet serials, sorted."""

    directory: Path
    entries: list[CrlEntry]

    @property
    def config(self) -> Path:
        return self.directory / "ocsp.toml"


def create_corpus(directory: Path, count: int, shards: int = 1) -> Corpus:
    """The CA with `count` revoked certificates in index.txt; the ledger is still empty."""
    directory.mkdir()
    now = int(time.time())
    create_authority(directory, 2, now, "http://127.0.0.1/", lambda serial: "http://127.0.0.1/0.crl", count)
    # An issuer with nothing to say brings the process to the state in which it waits for work.
    issuers = (ISSUERS.format(name=name, shards=number) for name, number in (("warm", 1), ("bench", shards)))
    (directory / "ocsp.toml").write_text("".join(issuers))
    (directory / "openssl.cnf").write_text(OPENSSL)
    (directory / "crlnumber").write_text("01\n")
    entries = list(_entries(count, now))
    with (directory / "index.txt").open("w") as index:
        index.writelines(_rows(entries, now))
    return Corpus(directory, entries)


def _entries(count: int, now: int) -> Iterator[CrlEntry]:
    chooser = random.Random(count)
    reasons = list(REASONS)
    serials = sorted({0x40 << 120 | chooser.getrandbits(120) for _ in range(count)})
    for number, serial in enumerate(serials):
        yield serial.to_bytes(16), now - chooser.randrange(60, 30 * DAY), reasons[number % len(reasons)]


def _rows(entries: list[CrlEntry], now: int) -> Iterator[str]:
    end = _time(now + 60 * DAY)
    for number, (serial, revoked, reason) in enumerate(entries):
        yield (
            f"R\t{end}\t{_time(revoked)}{REASONS[reason]}\t{serial.hex().upper()}\tunknown\t/CN=host-{number}\n"
        )


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%y%m%d%H%M%SZ}"


def import_into_ledger(corpus: Corpus) -> None:
    """As an operator would."""
    command = [str(Path(sys.executable).with_name("ocsp-signer")), "import", "--config", str(corpus.config)]
    command += ["--issuer", "bench", "--format", "openssl-index", str(corpus.directory / "index.txt"), "-q"]
    done = subprocess.run(command, cwd=corpus.directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
