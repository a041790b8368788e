"""The OCSPRequest reader against requests made by cryptography and asn1crypto, and against their mutations."""

import dataclasses
from collections.abc import Iterator

import pytest
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as x509_ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.certid import OTHER, SHA1, SHA256
from _fastpath.der import encode
from _fastpath.errors import MalformedRequest
from _fastpath.request import OCSPRequest, parse_request
from tests.fastpath.authority import make_authority

SEQUENCE, INTEGER, OCTET_STRING, OID = 0x30, 0x02, 0x04, 0x06
ID_PKIX_OCSP = "2b06010505073001"
NONCE = bytes.fromhex(ID_PKIX_OCSP + "02")
KNOWN_OIDS = {
    "nonce": "02",
    "acceptable-responses": "04",
    "service-locator": "07",
    "preferred-algorithms": "08",
}
UNKNOWN_OIDS = ["2b0601050507300103", "2b0601050507300109", "551d23", "2a0304"]
SHA1_ALGORITHM = bytes.fromhex("300906052b0e03021a0500")
SHA256_ALGORITHM = bytes.fromhex("300d06096086480165030402010500")
TRUE, FALSE = b"\x01\x01\xff", b"\x01\x01\x00"


def cert_id(
    algorithm: bytes = SHA1_ALGORITHM,
    name: bytes = b"n" * 20,
    key: bytes = b"k" * 20,
    serial: bytes = b"\x05",
) -> bytes:
    hashes_ = encode(OCTET_STRING, name) + encode(OCTET_STRING, key)
    return encode(SEQUENCE, algorithm + hashes_ + encode(INTEGER, serial))


def extension(oid: bytes, value: bytes, critical: bytes = b"") -> bytes:
    return encode(SEQUENCE, encode(OID, oid) + critical + encode(OCTET_STRING, value))


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """An OCSPRequest in its encoded parts, each of which a test can replace."""

    version: bytes = b""
    requestor_name: bytes = b""
    cert_ids: tuple[bytes, ...] = (cert_id(),)
    single_extensions: bytes = b""
    extensions: bytes = b""
    signature: bytes = b""

    def encode(self) -> bytes:
        request_list = b"".join(encode(SEQUENCE, one + self.single_extensions) for one in self.cert_ids)
        fields = self.version + self.requestor_name + encode(SEQUENCE, request_list) + self.extensions
        return encode(SEQUENCE, encode(SEQUENCE, fields) + self.signature)


def in_extensions(*extensions: bytes) -> Iterator[Parts]:
    """A request with these extensions as singleRequestExtensions, and one with them as requestExtensions."""
    encoded = encode(SEQUENCE, b"".join(extensions))
    yield Parts(single_extensions=encode(0xA0, encoded))
    yield Parts(extensions=encode(0xA2, encoded))


def parse(parts: Parts) -> OCSPRequest:
    return parse_request(parts.encode())


def refused(parts: Parts) -> bool:
    with pytest.raises(MalformedRequest):
        parse(parts)
    return True


serials = st.integers(0, 2**159 - 1)
asn1_cert_ids = st.builds(
    lambda algorithm, name, key, serial: asn1_ocsp.CertId(
        {
            "hash_algorithm": {"algorithm": algorithm},
            "issuer_name_hash": name * (20 if algorithm == "sha1" else 32),
            "issuer_key_hash": key * (20 if algorithm == "sha1" else 32),
            "serial_number": serial,
        }
    ),
    st.sampled_from(["sha1", "sha256"]),
    st.binary(min_size=1, max_size=1),
    st.binary(min_size=1, max_size=1),
    serials,
)
ignorable = st.sampled_from(
    [
        {"extn_id": "acceptable_responses", "critical": False, "extn_value": ["basic_ocsp_response"]},
        {"extn_id": "1.2.3.4", "critical": False, "extn_value": b"\x05\x00"},
        {"extn_id": "preferred_signature_algorithms", "critical": True, "extn_value": []},
    ]
)


@pytest.mark.conformance("Q-03", "Q-08")
@given(
    cert_ids=st.lists(asn1_cert_ids, min_size=1, max_size=5),
    name=st.none() | st.text("abc", min_size=1, max_size=200),
    extensions=st.lists(ignorable, max_size=2),
    nonce=st.none() | st.binary(max_size=130),
    sign=st.booleans(),
)
@settings(max_examples=150)
def test_requests_by_asn1crypto(
    cert_ids: list[asn1_ocsp.CertId],
    name: str | None,
    extensions: list[dict[str, object]],
    nonce: bytes | None,
    sign: bool,
) -> None:
    tbs: dict[str, object] = {"request_list": [{"req_cert": one} for one in cert_ids]}
    if name is not None:
        tbs["requestor_name"] = asn1_x509.GeneralName(
            "directory_name", asn1_x509.Name.build({"common_name": name})
        )
    with_nonce = [] if nonce is None else [{"extn_id": "nonce", "critical": False, "extn_value": nonce}]
    if extensions or with_nonce:
        tbs["request_extensions"] = [*extensions, *with_nonce]
    signature = {"signature_algorithm": {"algorithm": "sha256_ecdsa"}, "signature": b"s" * 70, "certs": []}
    request = {"tbs_request": tbs} | ({"optional_signature": signature} if sign else {})
    parsed = parse_request(asn1_ocsp.OCSPRequest(request).dump())
    assert parsed.nonce == nonce
    assert len(parsed.cert_ids) == len(cert_ids)
    for ours, theirs in zip(parsed.cert_ids, cert_ids, strict=True):
        assert (
            ours.hash_algorithm
            == {"sha1": SHA1, "sha256": SHA256}[theirs["hash_algorithm"]["algorithm"].native]
        )
        assert ours.issuer_name_hash == theirs["issuer_name_hash"].native
        assert ours.issuer_key_hash == theirs["issuer_key_hash"].native
        assert int.from_bytes(ours.serial_number, "big") == theirs["serial_number"].native


@given(serial=serials, nonce=st.binary(min_size=1, max_size=128), critical=st.booleans(), wide=st.booleans())
@settings(max_examples=100)
def test_requests_by_cryptography(serial: int, nonce: bytes, critical: bool, wide: bool) -> None:
    digest = hashes.SHA256() if wide else hashes.SHA1()
    size = digest.digest_size
    request = (
        x509_ocsp.OCSPRequestBuilder()
        .add_certificate_by_hash(b"n" * size, b"k" * size, serial, digest)
        .add_extension(x509.OCSPNonce(nonce), critical)
        .build()
    )
    parsed = parse_request(request.public_bytes(serialization.Encoding.DER))
    (ours,) = parsed.cert_ids
    assert (ours.issuer_name_hash, ours.issuer_key_hash) == (b"n" * size, b"k" * size)
    assert int.from_bytes(ours.serial_number, "big") == serial
    assert parsed.nonce == nonce


@pytest.mark.conformance("Q-08")
@pytest.mark.parametrize("size", [0, 1, 15, 16, 32, 33, 127, 128, 129])
def test_nonces_of_any_size_are_read(size: int) -> None:
    nonce = bytes(range(size))
    for parts in in_extensions(extension(NONCE, encode(OCTET_STRING, nonce))):
        assert parse(parts).nonce == (nonce if parts.extensions else None)


@pytest.mark.conformance("Q-08")
def test_known_answer_of_a_nonce() -> None:
    start = bytes.fromhex("302f06092b060105050730010204220420")
    encoded = extension(NONCE, encode(OCTET_STRING, b"N" * 32))
    assert encoded.startswith(start)
    assert parse(Parts(extensions=encode(0xA2, encode(SEQUENCE, encoded)))).nonce == b"N" * 32


@pytest.mark.conformance("Q-08")
@pytest.mark.parametrize(
    "value", [b"", b"N" * 16, b"\x04\x11" + b"N" * 16, b"\x04\x01N\x04\x01N", b"\x0c\x01N"]
)
@pytest.mark.parametrize("critical", [b"", TRUE], ids=["not-critical", "critical"])
def test_a_nonce_that_is_no_octet_string_is_ignored(value: bytes, critical: bytes) -> None:
    parts = Parts(extensions=encode(0xA2, encode(SEQUENCE, extension(NONCE, value, critical))))
    assert parse(parts).nonce is None


def test_of_two_nonces_the_first_counts() -> None:
    both = extension(NONCE, encode(OCTET_STRING, b"a")) + extension(NONCE, encode(OCTET_STRING, b"b"))
    assert parse(Parts(extensions=encode(0xA2, encode(SEQUENCE, both)))).nonce == b"a"


@pytest.mark.conformance("Q-06")
@pytest.mark.parametrize("arc", KNOWN_OIDS.values(), ids=KNOWN_OIDS.keys())
@pytest.mark.parametrize("critical", [b"", FALSE, TRUE], ids=["absent", "false", "true"])
def test_known_extensions_may_be_critical(arc: str, critical: bytes) -> None:
    for parts in in_extensions(extension(bytes.fromhex(ID_PKIX_OCSP + arc), b"\x05\x00", critical)):
        assert len(parse(parts).cert_ids) == 1


@pytest.mark.conformance("Q-06")
@pytest.mark.parametrize("oid", UNKNOWN_OIDS)
def test_an_unknown_extension_may_not_be_critical(oid: str) -> None:
    octets = bytes.fromhex(oid)
    for critical in (b"", FALSE):
        for parts in in_extensions(extension(octets, b"", critical)):
            assert len(parse(parts).cert_ids) == 1
    for parts in in_extensions(extension(NONCE, b""), extension(octets, b"", TRUE)):
        assert refused(parts)


@pytest.mark.conformance("Q-02")
@pytest.mark.parametrize(
    "bad",
    [
        b"",
        encode(SEQUENCE, b""),
        encode(SEQUENCE, encode(OID, NONCE)),
        encode(SEQUENCE, encode(OID, b"") + encode(OCTET_STRING, b"")),
        encode(SEQUENCE, encode(OID, b"\x2a\x80\x01") + encode(OCTET_STRING, b"")),
        encode(SEQUENCE, encode(OID, b"\x2a\x81") + encode(OCTET_STRING, b"")),
        encode(SEQUENCE, encode(OID, NONCE) + b"\x01\x01\x01" + encode(OCTET_STRING, b"")),
        encode(SEQUENCE, encode(OID, NONCE) + b"\x01\x00" + encode(OCTET_STRING, b"")),
        encode(SEQUENCE, encode(OID, NONCE) + b"\x01\x02\xff\xff" + encode(OCTET_STRING, b"")),
        encode(SEQUENCE, encode(OID, NONCE) + encode(OCTET_STRING, b"") + b"\x05\x00"),
        encode(SEQUENCE, encode(OID, NONCE) + encode(0x24, b"")),
        encode(0x31, encode(OID, NONCE) + encode(OCTET_STRING, b"")),
    ],
    ids=[
        "none",
        "empty",
        "no-value",
        "empty-oid",
        "padded-arc",
        "open-arc",
        "true-as-01",
        "empty-boolean",
        "long-boolean",
        "trailing",
        "constructed-value",
        "set",
    ],
)
def test_malformed_extensions(bad: bytes) -> None:
    for parts in in_extensions(bad):
        assert refused(parts)


def test_extensions_under_another_tag() -> None:
    encoded = encode(SEQUENCE, extension(NONCE, b""))
    assert refused(Parts(single_extensions=encode(0xA1, encoded)))
    assert refused(Parts(extensions=encode(0xA3, encoded)))
    assert refused(Parts(extensions=encode(0xA2, encoded + encoded)))


@pytest.mark.conformance("Q-10")
@pytest.mark.parametrize(
    ("content", "serial"),
    [
        ("00", "00"),
        ("05", "05"),
        ("0080", "80"),
        ("80", "80"),
        ("ff", "ff"),
        ("000005", "05"),
        ("0000", "00"),
        ("00" + "ab" * 20, "ab" * 20),
        ("ab" * 20, "ab" * 20),
        ("7f" * 32, "7f" * 32),
        ("00" * 12 + "ab" * 20, "ab" * 20),
    ],
)
def test_serials_are_read_as_unsigned_values(content: str, serial: str) -> None:
    (ours,) = parse(Parts(cert_ids=(cert_id(serial=bytes.fromhex(content)),))).cert_ids
    assert ours.serial_number == bytes.fromhex(serial)


@pytest.mark.conformance("Q-10")
@pytest.mark.parametrize("content", [b"", bytes(33), b"\x01" * 33])
def test_serials_without_octets_or_with_too_many(content: bytes) -> None:
    assert refused(Parts(cert_ids=(cert_id(serial=content),)))


@pytest.mark.conformance("Q-05")
@pytest.mark.parametrize(
    ("algorithm", "size", "expected"),
    [
        ("300906052b0e03021a0500", 20, SHA1),
        ("300706052b0e03021a", 20, SHA1),
        ("300d06096086480165030402010500", 32, SHA256),
        ("300b0609608648016503040201", 32, SHA256),
        ("300906052b0e03021a0500", 32, OTHER),
        ("300d06096086480165030402010500", 20, OTHER),
        ("300a06052b0e03021a040100", 20, OTHER),
        ("300a06052b0e03021a050100", 20, OTHER),
        ("300d06096086480165030402030500", 64, OTHER),
        ("30080406" + "2b0e03021a00", 20, None),
        ("30020600", 20, None),
        ("300b06052b0e03021a05000500", 20, None),
        ("300806052b0e03021a05", 20, None),
        ("3000", 20, None),
    ],
)
def test_hash_algorithms_and_their_parameters(algorithm: str, size: int, expected: int | None) -> None:
    parts = Parts(cert_ids=(cert_id(bytes.fromhex(algorithm), b"n" * size, b"k" * size),))
    if expected is None:
        assert refused(parts)
    else:
        assert parse(parts).cert_ids[0].hash_algorithm == expected


@pytest.mark.conformance("Q-05")
@pytest.mark.parametrize("sizes", [(20, 19), (19, 20), (21, 20), (0, 0), (20, 32)])
def test_hashes_of_another_length_are_not_of_a_known_algorithm(sizes: tuple[int, int]) -> None:
    parts = Parts(cert_ids=(cert_id(name=b"n" * sizes[0], key=b"k" * sizes[1]),))
    (ours,) = parse(parts).cert_ids
    assert ours.hash_algorithm == OTHER
    assert (len(ours.issuer_name_hash), len(ours.issuer_key_hash)) == sizes


@pytest.mark.parametrize("version", [encode(0xA0, b"\x02\x01\x00"), b""], ids=["v1", "absent"])
def test_version_1(version: bytes) -> None:
    assert len(parse(Parts(version=version)).cert_ids) == 1


@pytest.mark.conformance("Q-02")
@pytest.mark.parametrize(
    "version",
    ["a003020101", "a0020200", "a00402020000", "a003040100", "a000", "800100", "a003020100a003020100"],
)
def test_other_versions(version: str) -> None:
    assert refused(Parts(version=bytes.fromhex(version)))


@pytest.mark.conformance("Q-03")
@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("a1028200", True),
        ("a104a4023000", True),
        ("a1038801ff", True),
        ("a1028900", False),
        ("a1020c00", False),
        ("a100", False),
        ("a10482008200", False),
        ("8100", False),
        ("a10282", False),
    ],
)
def test_requestor_names_are_skipped(name: str, accepted: bool) -> None:
    parts = Parts(requestor_name=bytes.fromhex(name))
    assert (len(parse(parts).cert_ids) == 1) if accepted else refused(parts)


@pytest.mark.conformance("Q-03")
@pytest.mark.parametrize(
    ("signature", "accepted"),
    [
        ("a0023000", True),
        ("a0053003020105", True),
        ("a000", False),
        ("a00430003000", False),
        ("a0020500", False),
        ("3000", False),
        ("a00230000500", False),
    ],
)
def test_signatures_are_skipped(signature: str, accepted: bool) -> None:
    parts = Parts(signature=bytes.fromhex(signature))
    assert (len(parse(parts).cert_ids) == 1) if accepted else refused(parts)


@pytest.mark.conformance("Q-07")
def test_several_cert_ids_keep_their_order() -> None:
    wide = cert_id(SHA256_ALGORITHM, b"N" * 32, b"K" * 32, b"\x09")
    parsed = parse(Parts(cert_ids=(cert_id(serial=b"\x01"), wide, cert_id(serial=b"\x02"))))
    assert [one.serial_number for one in parsed.cert_ids] == [b"\x01", b"\x09", b"\x02"]
    assert [one.hash_algorithm for one in parsed.cert_ids] == [SHA1, SHA256, SHA1]


@pytest.mark.conformance("Q-02")
def test_an_empty_request_list() -> None:
    assert refused(Parts(cert_ids=()))


@pytest.mark.conformance("Q-07")
def test_a_later_cert_id_is_checked_as_well() -> None:
    assert refused(Parts(cert_ids=(cert_id(), cert_id(serial=b""))))


def test_a_request_is_only_made_by_parsing() -> None:
    with pytest.raises(TypeError, match="parse_request"):
        OCSPRequest()


FULL = Parts(
    version=encode(0xA0, b"\x02\x01\x00"),
    requestor_name=bytes.fromhex("a1028200"),
    cert_ids=(cert_id(), cert_id(SHA256_ALGORITHM, b"N" * 32, b"K" * 32, b"\x00\x80")),
    single_extensions=encode(0xA0, encode(SEQUENCE, extension(b"\x2a\x03", b"", FALSE))),
    extensions=encode(0xA2, encode(SEQUENCE, extension(NONCE, encode(OCTET_STRING, b"N" * 16), TRUE))),
    signature=encode(0xA0, encode(SEQUENCE, b"\x05\x00")),
).encode()


@pytest.mark.conformance("Q-02")
def test_every_truncation_and_every_addition_is_malformed() -> None:
    assert len(parse_request(FULL).cert_ids) == 2
    for size in range(len(FULL)):
        with pytest.raises(MalformedRequest):
            parse_request(FULL[:size])
    for octet in (0, 0x30, 0xFF):
        with pytest.raises(MalformedRequest):
            parse_request(FULL + bytes([octet]))


@pytest.mark.conformance("Q-02")
def test_a_mutation_of_any_octet_is_read_or_malformed() -> None:
    read = malformed = 0
    for position in range(len(FULL)):
        for octet in range(256):
            mutated = FULL[:position] + bytes([octet]) + FULL[position + 1 :]
            try:
                read += len(parse_request(mutated).cert_ids) == 2
            except MalformedRequest:
                malformed += 1
    # Content octets of hashes, serials, names and the nonce do not change the syntax; tags and lengths do.
    assert read > 100 * 256
    assert malformed > 60 * 200


@pytest.mark.conformance("Q-02")
@given(data=st.binary(max_size=60))
@settings(max_examples=200)
def test_arbitrary_octets_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parse_request(data)


ASKED = Parts(cert_ids=(make_authority().issuer.encode_cert_id(SHA1, b"\x7f" * 16),)).encode()


@given(position=st.integers(0, len(ASKED) - 1), octet=st.integers(0, 255))
@settings(max_examples=200)
def test_what_cryptography_reads_differently_we_do_not_read(position: int, octet: int) -> None:
    """Of one mutated request both readers get the same CertID, or ours is stricter, or OTHER says it is unknown."""
    mutated = ASKED[:position] + bytes([octet]) + ASKED[position + 1 :]
    try:
        (ours,) = parse_request(mutated).cert_ids
        theirs = x509_ocsp.load_der_ocsp_request(mutated)
    except ValueError:  # MalformedRequest is one, and so is cryptography's ParseError
        return
    assert ours.issuer_name_hash == theirs.issuer_name_hash
    assert ours.issuer_key_hash == theirs.issuer_key_hash
    unsigned = theirs.serial_number % 2 ** (8 * len(ours.serial_number))
    assert int.from_bytes(ours.serial_number, "big") == unsigned
