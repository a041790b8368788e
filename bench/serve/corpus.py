"""What is asked about: a CA whose certificates are imported and signed by our own commands."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from _fastpath.certid import serial_from_int
from _fastpath.page import hash32
from bench.serve.questions import Questions
from signer.demo.authority import create_authority

__all__ = ["Corpus", "create_corpus", "write_config"]

CONFIG = """\
[responder]
listen = "127.0.0.1:{port}"
admin = "127.0.0.1:{admin}"
cache = "{cache}"
{more}

[[issuer]]
name = "bench"
certificate = "ca.pem"
signer = {{ key = "responder.key", certificate = "responder.pem" }}
crl = {{ key = "ca.key", url = "http://127.0.0.1/crl/{{issuer}}/{{series}}-{{index}}.crl" }}
"""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A CA on disk, and the serials it issued in an order of no meaning."""

    directory: Path
    serials: list[int]
    responder: x509.Certificate
    questions: Questions

    def by_page(self) -> list[int]:
        """Serials so that those of one page of the store follow each other."""
        return sorted(self.serials, key=lambda serial: hash32(serial_from_int(serial)))


def write_config(directory: Path, name: str, port: int, admin: int, cache: str, more: str = "") -> Path:
    """An ocsp.toml, with these lines behind [responder]; all in one directory share store and ledger."""
    path = directory / f"{name}.toml"
    path.write_text(CONFIG.format(port=port, admin=admin, cache=cache, more=more))
    return path


def create_corpus(directory: Path, certificates: int, seed: int) -> Corpus:
    """Make the CA, import its index.txt and sign everything, as an operator would. The store must be running."""
    authority = create_authority(
        directory,
        certificates,
        int(time.time()),
        "http://o.example/",
        lambda serial: "http://c.example/0.crl",
        seed,
    )
    config = str(write_config(directory, "signer", 1, 2, "1MiB"))
    index = str(authority.index)
    _sign(directory, ["import", "--config", config, "--issuer", "bench", "--format", "openssl-index", index])
    _sign(directory, ["sign", "--config", config, "--workers", "1"])
    serials = [int(line.split("\t")[3], 16) for line in authority.index.read_text().splitlines()]
    ca, responder = (
        x509.load_pem_x509_certificate((directory / name).read_bytes())
        for name in ("ca.pem", "responder.pem")
    )
    return Corpus(directory, serials, responder, Questions(ca))


def _sign(directory: Path, arguments: list[str]) -> None:
    command = [str(Path(sys.executable).with_name("ocsp-signer")), *arguments, "-q"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
