"""What the clients ask about: two CAs kept with openssl, signed and served, and certificates fit for TLS servers."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.hop import Hop, recording_hop
from tests.integration.openssl_ca import LEAF, OpensslCa
from tests.integration.service import Service
from tests.integration.test_openssl_ca import ISSUERS, issuer_table
from tests.ports import free_port

__all__ = ["STATUSES", "Subject", "World", "world"]

STATUSES = ("good", "revoked", "unknown")
SHARDS = 2
SERVER = """
keyUsage = critical,{usage}
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = DNS:localhost,IP:127.0.0.1
authorityInfoAccess = OCSP;URI:{ocsp}
"""
# NSS does not take an RSA key for a server's without the second.
KEY_USAGE = {"ec": "digitalSignature", "rsa": "digitalSignature,keyEncipherment"}
SERIALS = {  # positive as they stand, 16 octets
    "good": bytes.fromhex("5a17c0ffee0000000000000000000001"),
    "revoked": bytes.fromhex("5a17c0ffee0000000000000000000002"),
    "unknown": bytes.fromhex("5a17c0ffee0000000000000000000003"),
}


@dataclass(frozen=True)
class Subject:
    """One certificate with its key, and the CA that made it."""

    ca: OpensslCa
    path: Path
    serial: bytes

    @property
    def issuer(self) -> Path:
        return self.ca.directory / "ca.pem"

    @property
    def key(self) -> Path:
        return self.ca.directory / "leaf.key"


@dataclass(frozen=True)
class World:
    """A running service; URLs in the certificates lead to it through the hop."""

    service: Service
    hop: Hop
    authorities: dict[str, OpensslCa]
    subjects: dict[tuple[str, str], Subject]  # by CA and status


def _authority(name: str, directory: Path, hop: Hop) -> OpensslCa:
    ca = OpensslCa.create(name, directory, ISSUERS[name], SHARDS, f"127.0.0.1:{hop.port}")
    ca.leaf_extensions = LEAF + SERVER.format(ocsp=hop.url, usage=KEY_USAGE[name])
    for status in ("good", "revoked"):
        ca.issue(SERIALS[status])
    ca.revoke(ca.certificates[1], ("-crl_reason", "keyCompromise"))
    return ca


def _sign(service: Service, authorities: dict[str, OpensslCa]) -> None:
    service.write_config("".join(issuer_table(ca) for ca in authorities.values()))
    for name, ca in authorities.items():
        service.signer("import", "--issuer", name, str(ca.directory / "index.txt"))
    service.signer("sign", "--all")
    service.signer("crl", "build")
    for ca in authorities.values():
        ca.issue(SERIALS["unknown"])  # after the import: nobody told the ledger


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Issue, import, sign, publish and serve."""
    service = Service(directory, free_port())
    with socket.create_server(("127.0.0.1", 0)) as listener, recording_hop(listener, service.port) as hop:
        authorities = {name: _authority(name, directory / name, hop) for name in ISSUERS}
        _sign(service, authorities)
        subjects = {
            (name, status): Subject(ca, certificate.path, certificate.serial)
            for name, ca in authorities.items()
            for status, certificate in zip(STATUSES, ca.certificates, strict=True)
        }
        with service.serving():
            yield World(service, hop, authorities, subjects)
