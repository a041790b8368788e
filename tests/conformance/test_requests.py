"""Group Q over the wire: what a request may look like, and that it changes nothing but who is asked about."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import SignatureAlgorithmOID

from _fastpath.certid import SHA1, SHA256, serial_from_int
from _fastpath.der import encode
from _fastpath.ocsp import MALFORMED_REQUEST, UNAUTHORIZED
from responder.config import load_settings
from responder.counters import Counters
from tests.conformance.conftest import World
from tests.conformance.http import Client
from tests.fastpath.test_request import (
    FALSE,
    ID_PKIX_OCSP,
    INTEGER,
    NONCE,
    OCTET_STRING,
    OID,
    SEQUENCE,
    SHA1_ALGORITHM,
    SHA256_ALGORITHM,
    TRUE,
    UNKNOWN_OIDS,
    Parts,
    extension,
    in_extensions,
)
from tests.responder.ca import CA, Shelf, good, revoked
from tests.responder.conftest import GOOD, GOOD_TOO, REVOKED, serving

SIG_REQUIRED = bytes.fromhex("30030a0105")
REQUESTOR_NAME = bytes.fromhex("a10f") + b"\xa4\x0d\x30\x0b\x31\x09\x30\x07\x06\x03\x55\x04\x03\x0c\x00"
SIGNATURE = encode(
    0xA0,
    encode(SEQUENCE, bytes.fromhex("300a06082a8648ce3d040302") + encode(0x03, b"\0" + b"s" * 70)),
)


@pytest.fixture
def cert_id(world: World) -> bytes:
    """The CertID of a good certificate, as most clients write it."""
    return world.ca.issuer.id.encode_cert_id(SHA1, serial_from_int(GOOD))


@pytest.fixture
def plain(web: Client, cert_id: bytes) -> bytes:
    """The answer to the plainest request for it."""
    body = web.ask(Parts(cert_ids=(cert_id,)).encode())
    assert ocsp.load_der_ocsp_response(body).serial_number == GOOD
    return body


@pytest.mark.conformance("Q-01")
@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()], ids=["sha1", "sha256"])
def test_get_and_post_give_the_same_octets(world: World, algorithm: hashes.HashAlgorithm) -> None:
    web, ca = world.web, world.ca
    bodies = {web.ask(ca.request(serial, algorithm)) for serial in (GOOD, REVOKED, GOOD_TOO)}
    assert len(bodies) == 3
    assert web.ask(ca.request(GOOD + 1, algorithm)) == UNAUTHORIZED


@pytest.mark.invariant("G2")
@pytest.mark.conformance("Q-03")
@pytest.mark.parametrize(
    ("name", "signature"),
    [(REQUESTOR_NAME, b""), (b"", SIGNATURE), (REQUESTOR_NAME, SIGNATURE)],
    ids=["name", "signature", "both"],
)
def test_who_asks_changes_nothing(
    web: Client, plain: bytes, cert_id: bytes, name: bytes, signature: bytes
) -> None:
    asked = Parts(cert_ids=(cert_id,), requestor_name=name, signature=signature).encode()
    assert web.ask(asked) == plain


@pytest.mark.conformance("Q-03")
def test_no_signature_is_ever_asked_for(web: Client) -> None:
    stranger = CA("demo").issuer.id.encode_cert_id(SHA1, b"\x01")
    for cert_ids in ((), (stranger,)):
        for name in (b"", REQUESTOR_NAME):
            assert web.ask(Parts(cert_ids=cert_ids, requestor_name=name).encode()) != SIG_REQUIRED


@pytest.mark.conformance("Q-04")
def test_one_name_with_two_keys_and_one_key_with_two_names_are_three_cas(
    tmp_path: Path, world: World
) -> None:
    way, base = ("slow", 11) if world.web.always else ("fast", 21)  # the store is the same
    first = CA(f"first-{way}", "One name")
    cas = (first, CA(f"second-{way}", "One name"), CA(f"third-{way}", "Another name", first.key))
    shelves = [Shelf(one, world.shelf.client, template_number=base + n) for n, one in enumerate(cas)]
    for shelf, status in zip(shelves, (good(GOOD), revoked(GOOD), good(GOOD_TOO)), strict=True):
        shelf.put(status)
    lines = [f'[store]\nurl = "{world.store.url}"\n[responder]\nlookup_timeout_ms = 5000']
    for one in cas:
        (tmp_path / f"{one.name}.pem").write_bytes(one.certificate.public_bytes(Encoding.PEM))
        lines.append(f'[[issuer]]\nname = "{one.name}"\ncertificate = "{one.name}.pem"')
    (tmp_path / "ocsp.toml").write_text("\n".join(lines))
    with serving(load_settings(tmp_path / "ocsp.toml"), Counters.private(), world.clock) as port:
        for algorithm in (SHA1, SHA256):
            _check_three_cas(Client(port, world.web.always), cas, algorithm)


def _check_three_cas(web: Client, cas: tuple[CA, CA, CA], algorithm: int) -> None:
    cert_ids = [one.issuer.id.encode_cert_id(algorithm, serial_from_int(GOOD)) for one in cas]
    good_body, revoked_body, unknown = (web.ask(Parts(cert_ids=(one,)).encode()) for one in cert_ids)
    statuses = [ocsp.load_der_ocsp_response(body).certificate_status for body in (good_body, revoked_body)]
    assert statuses == [ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED]
    assert unknown == UNAUTHORIZED
    # The name of the third with the key of the second: both are configured, and no CA has both.
    hashes_ = [one.issuer.id.lookup_key(algorithm) for one in cas]
    half = len(hashes_[0]) // 2
    crossed = cert_ids[2].replace(hashes_[2][half:], hashes_[1][half:])
    assert web.ask(Parts(cert_ids=(crossed,)).encode()) == UNAUTHORIZED


def without_parameters(cert_id: bytes) -> bytes:
    """The same CertID with absent instead of NULL parameters (RFC 5754 section 2)."""
    content = cert_id[2:]
    for algorithm in (SHA1_ALGORITHM, SHA256_ALGORITHM):
        content = content.replace(algorithm, encode(SEQUENCE, algorithm[2:-2]))
    return encode(SEQUENCE, content)


@pytest.mark.conformance("Q-05")
@pytest.mark.parametrize(("algorithm", "name"), [(SHA1, "sha1"), (SHA256, "sha256")], ids=["sha1", "sha256"])
def test_parameters_may_be_null_or_absent(world: World, algorithm: int, name: str) -> None:
    null = world.ca.issuer.id.encode_cert_id(algorithm, serial_from_int(GOOD))
    absent = without_parameters(null)
    assert len(absent) == len(null) - 2
    bodies = {world.web.ask(Parts(cert_ids=(cert_id,)).encode()) for cert_id in (null, absent)}
    (response,) = (ocsp.load_der_ocsp_response(body) for body in bodies)
    assert (response.hash_algorithm.name, response.serial_number) == (name, GOOD)


@pytest.mark.conformance("Q-05")
@pytest.mark.parametrize(
    ("algorithm", "size"),
    [
        ("300d06096086480165030402030500", 64),
        ("300b0609608648016503040202", 48),
        ("300c06082a864886f70d02050500", 16),
        ("300906052b0e03021a0500", 32),
        ("300d06096086480165030402010500", 20),
        ("300906052b0e03021a0500", 0),
        ("300a06052b0e03021a040100", 20),
    ],
    ids=["sha512", "sha384", "md5", "sha1 of 32", "sha256 of 20", "no octets", "odd parameters"],
)
def test_other_hashes_are_unauthorized(web: Client, algorithm: str, size: int) -> None:
    content = bytes.fromhex(algorithm) + 2 * encode(OCTET_STRING, b"h" * size) + encode(INTEGER, b"\x05")
    assert web.ask(Parts(cert_ids=(encode(SEQUENCE, content),)).encode()) == UNAUTHORIZED


@pytest.mark.invariant("G2")
@pytest.mark.conformance("Q-06")
@pytest.mark.parametrize("oid", UNKNOWN_OIDS)
def test_unknown_extensions_are_ignored_unless_critical(
    web: Client, plain: bytes, cert_id: bytes, oid: str
) -> None:
    for critical, expected in ((b"", plain), (FALSE, plain), (TRUE, MALFORMED_REQUEST)):
        for parts in in_extensions(extension(bytes.fromhex(oid), b"\x05\x00", critical)):
            assert web.ask(replace(parts, cert_ids=(cert_id,)).encode()) == expected


@pytest.mark.conformance("Q-06")
@pytest.mark.parametrize(
    ("arc", "value"),
    [
        ("04", encode(SEQUENCE, encode(OID, bytes.fromhex(ID_PKIX_OCSP + "01")))),
        ("07", bytes.fromhex("3004300200000000")),
        ("08", b"\x30\x00"),
    ],
    ids=["acceptable responses", "service locator", "preferred algorithms"],
)
def test_what_clients_send_is_understood_critical_or_not(
    web: Client, plain: bytes, cert_id: bytes, arc: str, value: bytes
) -> None:
    for critical in (b"", FALSE, TRUE):
        for parts in in_extensions(extension(bytes.fromhex(ID_PKIX_OCSP + arc), value, critical)):
            assert web.ask(replace(parts, cert_ids=(cert_id,)).encode()) == plain


@pytest.mark.conformance("Q-07")
def test_several_certids_are_one_certificate_or_unauthorized(
    world: World, plain: bytes, cert_id: bytes
) -> None:
    web, ca, counters = world.web, world.ca, world.counters
    wide = ca.issuer.id.encode_cert_id(SHA256, serial_from_int(GOOD))
    other = ca.issuer.id.encode_cert_id(SHA1, serial_from_int(REVOKED))
    unissued = ca.issuer.id.encode_cert_id(SHA1, serial_from_int(GOOD + 1))
    stranger = CA("demo").issuer.id.encode_cert_id(SHA1, serial_from_int(GOOD))
    for cert_ids in ((cert_id, cert_id), (cert_id, wide), (cert_id, wide, cert_id)):
        assert web.ask(Parts(cert_ids=cert_ids).encode()) == plain
    before = counters.value("ocsp_unauthorized_total", "several_certificates")
    mixed = [
        (cert_id, other),
        (other, cert_id),
        (cert_id, unissued),
        (cert_id, stranger),
        (stranger, cert_id),
    ]
    for cert_ids in mixed:
        assert web.ask(Parts(cert_ids=cert_ids).encode()) == UNAUTHORIZED
    after = counters.value("ocsp_unauthorized_total", "several_certificates")
    assert after - before == 2 * len(mixed)


@pytest.mark.invariant("G2")
@pytest.mark.conformance("Q-08")
@pytest.mark.parametrize("size", [0, 1, 8, 16, 23, 32, 33, 128, 129])
def test_a_nonce_changes_nothing(web: Client, plain: bytes, cert_id: bytes, size: int) -> None:
    for critical in (b"", TRUE):
        nonce = extension(NONCE, encode(OCTET_STRING, b"N" * size), critical)
        for parts in in_extensions(nonce):
            assert web.ask(replace(parts, cert_ids=(cert_id,)).encode()) == plain
    assert len(ocsp.load_der_ocsp_response(plain).extensions) == 0


@pytest.mark.conformance("Q-10")
@pytest.mark.parametrize(
    "serial", [0x80, 0xF5 << 152, GOOD << 96], ids=["one octet", "twenty", "twenty, low"]
)
def test_serials_are_found_by_value(world: World, serial: int) -> None:
    """A serial of 20 octets with its leading zero, a serial without the zero that it needs, and zeros too many."""
    world.shelf.put(good(serial))
    octets = serial_from_int(serial)
    hashes_ = SHA1_ALGORITHM + _hashes_of(world.ca)
    bodies = {
        world.web.ask(Parts(cert_ids=(encode(SEQUENCE, hashes_ + encode(INTEGER, content)),)).encode())
        for content in (b"\0" + octets, octets, b"\0" * 3 + octets)
    }
    (body,) = bodies
    assert ocsp.load_der_ocsp_response(body).serial_number == serial


def _hashes_of(ca: CA) -> bytes:
    key = ca.issuer.id.lookup_key(SHA1)
    return encode(OCTET_STRING, key[:20]) + encode(OCTET_STRING, key[20:])


@pytest.mark.invariant("G2")
@pytest.mark.conformance("Q-11")
@pytest.mark.parametrize(
    "algorithms",
    [
        ["300d06092a864886f70d0101050500", "300a06082a8648ce3d040302"],
        ["300906072a8648ce3d0401"],
        ["300506032b6570", "300d06092a864886f70d01010b0500"],
    ],
    ids=["rsa with sha1 first", "ecdsa with sha1", "ed25519 and rsa"],
)
def test_a_preference_for_an_algorithm_is_no_order(
    web: Client, plain: bytes, cert_id: bytes, algorithms: list[str]
) -> None:
    listed = b"".join(encode(SEQUENCE, bytes.fromhex(algorithm)) for algorithm in algorithms)
    preferred = extension(bytes.fromhex(ID_PKIX_OCSP + "08"), encode(SEQUENCE, listed))
    extensions = encode(0xA2, encode(SEQUENCE, preferred))
    assert web.ask(Parts(cert_ids=(cert_id,), extensions=extensions).encode()) == plain
    assert (
        ocsp.load_der_ocsp_response(plain).signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
    )


@pytest.mark.conformance("Q-12")
@pytest.mark.parametrize(
    ("framing", "code"),
    [
        (b"Content-Length: 16384\r\n\r\n" + b"0" * 16384, 200),
        (b"Content-Length: 16385\r\n\r\n", 413),
        (b"Content-Length: 18446744073709551615\r\n\r\n", 413),
        (b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\n" + b"0" * 20_000, 413),
    ],
    ids=["at the limit", "above it", "2^64 - 1", "a chunk of 2^60 - 1"],
)
def test_a_length_is_judged_before_its_octets_come(web: Client, framing: bytes, code: int) -> None:
    response = web.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing)
    assert response.code == code
    assert response.body == (MALFORMED_REQUEST if code == 200 else b"")


@pytest.mark.conformance("Q-12")
@pytest.mark.parametrize(("size", "code"), [(8192, 200), (8193, 414)])
def test_a_target_of_8192_octets_is_the_longest(web: Client, size: int, code: int) -> None:
    assert web.request("GET", "/M" + "A" * (size - 2)).code == code
