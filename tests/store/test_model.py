"""Certificates in files: what cannot be used is told, whatever is odd about it (F6)."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from store.errors import ConfigError
from store.model import load_certificate, load_issuer
from tests.store.offline import OfflineCA

# What is changed in a CA certificate, and what is told.
ODD = {
    "version": (bytes.fromhex("a003020102"), bytes.fromhex("a003020105"), "not a PEM or DER certificate: 5"),
    "issuer": (b"Offline root", b"Offline r\xffot", "not a PEM or DER certificate: error parsing"),
    "curve": (bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030177"), "not a PEM or DER"),
}


@pytest.mark.invariant("F6")
@pytest.mark.parametrize("odd", ODD)
def test_what_is_read_late_is_told_at_once(tmp_path: Path, odd: str) -> None:
    """Found by fuzzing: each ended a command with a traceback."""
    before, after, message = ODD[odd]
    path = tmp_path / "ca.der"
    path.write_bytes(OfflineCA().certificate.public_bytes(Encoding.DER).replace(before, after))
    for load in (load_certificate, lambda path: load_issuer("r1", path)):
        with pytest.raises(ConfigError, match=message):
            load(path)


def test_names_that_cryptography_does_not_know(tmp_path: Path) -> None:
    """An x400Address in the subjectAltName."""
    names = x509.SubjectAlternativeName([x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))])
    ca = OfflineCA()
    found = ca.issue("Other", ec.generate_private_key(ec.SECP256R1()), [(names, False)])
    path = tmp_path / "ca.der"
    path.write_bytes(found.public_bytes(Encoding.DER).replace(b"\x88\x02\x2a\x03", b"\xa3\x02\x05\x00"))
    with pytest.raises(ConfigError, match="unreadable extensions"):
        load_issuer("r1", path)
