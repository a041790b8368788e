"""OCSPRequests as cryptography and asn1crypto make them, described so that a test knows what is in them."""

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence

from asn1crypto import algos, core
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as x509_ocsp
from hypothesis import strategies as st

from _fastpath.certid import OTHER, SHA1, SHA256

HASHES: dict[str, tuple[hashes.SHA1 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512, int]] = {
    "sha1": (hashes.SHA1(), SHA1),
    "sha256": (hashes.SHA256(), SHA256),
    "sha384": (hashes.SHA384(), OTHER),
    "sha512": (hashes.SHA512(), OTHER),
}
NONCE = "1.3.6.1.5.5.7.48.1.2"
# Of RFC 6960 section 4.4 for requests: known, so critical or not.
KNOWN = {
    "1.3.6.1.5.5.7.48.1.4": "3000",
    "1.3.6.1.5.5.7.48.1.7": "300430003000",
    "1.3.6.1.5.5.7.48.1.8": "3000",
}
UNKNOWN = [
    "1.2.3.4",
    "1.3.6.1.5.5.7.48.1.3",
    "1.3.6.1.5.5.7.48.1.9",
    "1.3.6.1.5.5.7.48.2.4",
    "2.5.29.35",
    "2.999.1",
]


@dataclasses.dataclass(frozen=True, slots=True)
class AskedExtension:
    oid: str
    value: bytes
    critical: bool

    @property
    def refused(self) -> bool:
        return self.critical and self.oid not in (NONCE, *KNOWN)


@dataclasses.dataclass(frozen=True, slots=True)
class AskedCertID:
    """`parameters` is DER, or None for absent; `extensions` are those of its own request."""

    algorithm: str
    parameters: bytes | None
    name_hash: bytes
    key_hash: bytes
    serial: int
    extensions: tuple[AskedExtension, ...] = ()

    @property
    def hash_algorithm(self) -> int:
        """What our reader says of it: parameters NULL or absent, and hashes of the algorithm's size (Q-05)."""
        digest, ours = HASHES[self.algorithm]
        sizes = {len(self.name_hash), len(self.key_hash)}
        return ours if self.parameters in (None, b"\x05\x00") and sizes == {digest.digest_size} else OTHER


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    cert_ids: tuple[AskedCertID, ...]
    requestor_name: tuple[str, str] | None
    extensions: tuple[AskedExtension, ...]
    nonce: bytes | None
    signed: bool

    @property
    def refused(self) -> bool:
        below = [one for cert_id in self.cert_ids for one in cert_id.extensions]
        return any(one.refused for one in (*self.extensions, *below))


serials = (
    st.integers(0, 2**160) | st.integers(0, 2**255 - 1) | st.sampled_from([0, 127, 128, 255, 256, 2**160 - 1])
)
EXTENSIONS = [
    *(
        AskedExtension(oid, bytes.fromhex(value), critical)
        for oid, value in KNOWN.items()
        for critical in (False, True)
    ),
    *(AskedExtension(oid, value, False) for oid in UNKNOWN for value in (b"", b"\x05\x00", bytes(200))),
]
REFUSED = [AskedExtension(oid, b"\x05\x00", True) for oid in UNKNOWN]
# One draw each: a strategy for every field would cost more than the reading.
EXTENSION_LISTS: list[tuple[AskedExtension, ...]] = [
    *[()] * 20,
    *((one,) for one in EXTENSIONS),
    *itertools.permutations(EXTENSIONS[::3], 2),
    *((one, refused) for one in EXTENSIONS[::5] for refused in REFUSED[:2]),
    *((refused,) for refused in REFUSED),
]
extension_lists = st.sampled_from(EXTENSION_LISTS)
nonces = (
    st.none() | st.binary(max_size=40) | st.sampled_from([bytes(size) for size in (127, 128, 129, 255, 256)])
)


SHAPES = [  # algorithm, parameters, by how many octets the name hash is too long
    (algorithm, parameters, surplus)
    for algorithm in HASHES
    for parameters in (b"\x05\x00", None, b"\x05\x00", None, b"\x04\x01p", b"\x30\x00")
    for surplus in (0, 0, 0, 0, 0, 0, -1, 1)
]
PLAIN_SHAPES = [(algorithm, b"\x05\x00", 0) for algorithm in HASHES]


def asked_cert_id(
    shape: tuple[str, bytes | None, int], serial: int, extensions: tuple[AskedExtension, ...] = ()
) -> AskedCertID:
    """The hashes follow from the serial: they differ from each other and from one CertID to the next."""
    algorithm, parameters, surplus = shape
    size = HASHES[algorithm][0].digest_size
    name, key = (hashlib.shake_128(b"%s %d" % (what, serial)) for what in (b"name", b"key"))
    return AskedCertID(
        algorithm, parameters, name.digest(size + surplus), key.digest(size), serial, extensions
    )


NAME_FORMS = ["rfc822_name", "dns_name", "uniform_resource_identifier", "directory_name"]
requestor_names = st.sampled_from(
    [None] * 6 + [(form, "a.b" * size) for form in NAME_FORMS for size in (1, 8, 41, 43)]
)
asked_of_asn1crypto = st.builds(
    Asked,
    st.lists(
        st.builds(asked_cert_id, st.sampled_from(SHAPES), serials, extension_lists), min_size=1, max_size=5
    ).map(tuple),
    requestor_names,
    extension_lists,
    nonces,
    st.booleans(),
)
# What its builder can say: one CertID, nothing but extensions around it, none twice.
asked_of_cryptography = st.builds(
    Asked,
    st.builds(asked_cert_id, st.sampled_from(PLAIN_SHAPES), serials).map(lambda one: (one,)),
    st.none(),
    extension_lists.filter(lambda some: len({one.oid for one in some}) == len(some)),
    nonces,
    st.just(False),
)


class AnyAlgorithm(core.Sequence):  # type: ignore[misc]
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", core.Any, {"optional": True})]


class AnyCertID(asn1_ocsp.CertId):  # type: ignore[misc]
    """A CertID whose AlgorithmIdentifier may have parameters that its algorithm does not allow."""

    _fields = [("hash_algorithm", AnyAlgorithm), *asn1_ocsp.CertId._fields[1:]]


class OpaqueRequest(asn1_ocsp.Request):  # type: ignore[misc]
    """A Request as octets: as a tree it would be written again for every field that is set around it."""

    _fields = [(name, core.Any, *options) for name, _, *options in asn1_ocsp.Request._fields]


def asn1_extensions(extensions: Sequence[AskedExtension]) -> list[dict[str, object]]:
    return [
        {"extn_id": one.oid, "critical": one.critical, "extn_value": core.ParsableOctetString(one.value)}
        for one in extensions
    ]


def nonce_extension(nonce: bytes | None) -> tuple[AskedExtension, ...]:
    return () if nonce is None else (AskedExtension(NONCE, core.OctetString(nonce).dump(), False),)


def asn1_request(cert_id: AskedCertID) -> asn1_ocsp.Request:
    algorithm: dict[str, object] = {"algorithm": algos.DigestAlgorithmId.unmap(cert_id.algorithm)}
    if cert_id.parameters is not None:
        algorithm["parameters"] = core.Any.load(cert_id.parameters)
    request: dict[str, object] = {
        "req_cert": AnyCertID(
            {
                "hash_algorithm": algorithm,
                "issuer_name_hash": cert_id.name_hash,
                "issuer_key_hash": cert_id.key_hash,
                "serial_number": cert_id.serial,
            }
        )
    }
    if cert_id.extensions:
        request["single_request_extensions"] = asn1_extensions(cert_id.extensions)
    return OpaqueRequest.load(asn1_ocsp.Request(request).dump())


def made_by_asn1crypto(asked: Asked) -> bytes:
    tbs: dict[str, object] = {"request_list": [asn1_request(one) for one in asked.cert_ids]}
    if asked.requestor_name is not None:
        kind, text = asked.requestor_name
        value = asn1_x509.Name.build({"common_name": text}) if kind == "directory_name" else text
        tbs["requestor_name"] = asn1_x509.GeneralName(kind, value)
    extensions = (*asked.extensions, *nonce_extension(asked.nonce))
    if extensions:
        tbs["request_extensions"] = asn1_extensions(extensions)
    signature = {"signature_algorithm": {"algorithm": "sha256_ecdsa"}, "signature": b"s" * 70, "certs": []}
    signed = {"optional_signature": signature} if asked.signed else {}
    return bytes(asn1_ocsp.OCSPRequest({"tbs_request": tbs} | signed).dump())


def made_by_cryptography(asked: Asked) -> bytes:
    (cert_id,) = asked.cert_ids
    digest = HASHES[cert_id.algorithm][0]
    builder = x509_ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        cert_id.name_hash, cert_id.key_hash, cert_id.serial, digest
    )
    for one in asked.extensions:
        unrecognized = x509.UnrecognizedExtension(x509.ObjectIdentifier(one.oid), one.value)
        builder = builder.add_extension(unrecognized, one.critical)
    if asked.nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(asked.nonce), False)
    return builder.build().public_bytes(serialization.Encoding.DER)
