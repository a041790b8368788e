"""Responses to write: signers of every kind in use, and what can be said of a certificate."""

import dataclasses
import functools
import hashlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import strategies as st

from _fastpath.certid import SHA1, SHA256, IssuerID, serial_from_int
from _fastpath.ocsp import SingleResponse
from _fastpath.template import Template
from tests.fastpath.authority import (
    ECDSA,
    NAME,
    RSA,
    Authority,
    issue,
    make_authority,
    public_key_bits,
    rsa_key,
)

LAST_TIME = 253_402_300_799
KINDS = [*ECDSA, "rsa-2048", "rsa-3072"]
REASONS = {  # CRLReason by the name that asn1crypto and cryptography give it; 0 is said by leaving it out
    0: None,
    1: "key_compromise",
    2: "ca_compromise",
    3: "affiliation_changed",
    4: "superseded",
    5: "cessation_of_operation",
    6: "certificate_hold",
    8: "remove_from_crl",
    9: "privilege_withdrawn",
    10: "aa_compromise",
}


def rsa_signer(bits: int) -> Authority:
    key = rsa_key(bits)
    bits_of_key = public_key_bits(key)
    template = Template(
        signature_algorithm=RSA["rsa-sha256"][1],
        signature_size=bits // 8,
        responder_key_hash=hashlib.sha1(bits_of_key, usedforsecurity=False).digest(),
        certificates=b"",
        validity=345_599,
    )
    certificate = issue(key, hashes.SHA256(), NAME, 1)
    return Authority(key, hashes.SHA256(), certificate, IssuerID(NAME.public_bytes(), bits_of_key), template)


@functools.cache
def signer(kind: str) -> Authority:
    """An authority of this kind that embeds no certificate."""
    if kind in ECDSA:
        return make_authority(kind, embed=False)
    return rsa_signer(int(kind.removeprefix("rsa-")))


@functools.cache
def embedding(kind: str) -> Authority:
    """The same with its certificate in every response."""
    bare = signer(kind)
    return dataclasses.replace(bare, template=with_certificate(bare))


def with_certificate(authority: Authority) -> Template:
    template = authority.template
    return Template(
        signature_algorithm=template.signature_algorithm,
        signature_size=template.signature_size,
        responder_key_hash=template.responder_key_hash,
        certificates=authority.certificate.public_bytes(serialization.Encoding.DER),
        validity=template.validity,
    )


def verify(authority: Authority, tbs: bytes, signature: bytes) -> None:
    """Raises InvalidSignature."""
    public_key = authority.key.public_key()
    if isinstance(public_key, rsa.RSAPublicKey):
        public_key.verify(signature, tbs, padding.PKCS1v15(), authority.hash_algorithm)
    else:
        public_key.verify(signature, tbs, ec.ECDSA(authority.hash_algorithm))


def said(
    serial: int, this_update: int, produced_after: int, valid_for: int, revoked: tuple[int, int] | None
) -> SingleResponse:
    """A SingleResponse; `revoked` is time and reason."""
    revocation_time, reason = revoked or (None, 0)
    return SingleResponse(
        serial_from_int(serial),
        this_update=this_update,
        produced_at=this_update + produced_after,
        next_update=this_update + produced_after + valid_for,
        revocation_time=revocation_time,
        reason=reason,
    )


def raw_signature(size: int, seed: int, zeros: int) -> bytes:
    """Octets for a signature that nobody verifies; both halves may start with zeros, as r and s do at times."""
    half = hashlib.shake_128(b"%d" % seed).digest(size // 2).replace(b"\0", b"\1")
    zeros = min(zeros, size // 2 - 1)
    return bytes(zeros) + half[zeros:] + bytes(zeros) + half[zeros:][::-1]


serials = st.integers(0, 2**160 - 1) | st.sampled_from([0, 127, 128, 255, 2**159, 2**160 - 1])
revocations = st.none() | st.tuples(st.integers(0, LAST_TIME), st.sampled_from(sorted(REASONS)))
hash_algorithms = st.sampled_from([SHA1, SHA256])
authorities = st.sampled_from([(maker, kind) for maker in (signer, embedding) for kind in KINDS]).map(
    lambda made: made[0](made[1])
)
single_responses = st.builds(
    said,
    serials,
    st.integers(0, LAST_TIME - 2_000_000),
    st.integers(0, 1_000_000),
    st.integers(1, 1_000_000),
    revocations,
)
