"""CRLs that others made and OCSP responses that an offline CA signed, as whoever takes them in reads them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from _fastpath import der
from _fastpath.certid import SHA1, SHA256, IssuerID, minimal_serial
from _fastpath.crl_reader import Crl
from _fastpath.errors import MalformedDer
from _fastpath.floor import Floor, sorted_hashes
from responder.crl_trust import UntrustedCrl
from responder.floor_crls import follow
from responder.floor_file import FloorState
from signer.crl.build import build_shard
from signer.crl.imported import read_signed
from signer.crl.verify_set import Found, Target, verify_one
from store.errors import UsageError
from store.imported import Unfit, read_response
from store.model import Issuer, public_key_bits, subject_name
from tests.fuzz.target import is_one_value, signed
from tests.property import crl_differences
from tests.signer.crl_authority import NOW, URL, crl_fields, make_authority, revoked_entries
from tests.store.offline import OfflineCA

__all__ = [
    "check_brought_crl",
    "check_floor_crl",
    "check_signed_response",
    "crl_files",
    "floor_issuer",
    "offline",
    "response_of",
    "signed_responses",
]

KEY = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())  # of make_authority
BASIC = bytes.fromhex("06092b0601050507300101")
SUCCESSFUL = bytes.fromhex("0a0100")
SEQUENCE, OCTETS, EXPLICIT_0 = 0x30, 0x04, 0xA0
ALGORITHMS = {SHA1: hashes.SHA1, SHA256: hashes.SHA256}


@cache
def floor_issuer() -> Issuer:
    certificate = make_authority().certificate
    identity = IssuerID(subject_name(certificate), public_key_bits(certificate))
    return Issuer("r1", certificate, identity)


def _crls() -> Iterator[bytes]:
    authority = make_authority()
    for number, url in enumerate((URL, None, URL), 1):
        yield build_shard(authority, crl_fields(number, url=url), revoked_entries(5 * number - 5))
    yield from crl_differences.DIFFERENCES.examples().values()


def crl_files() -> list[bytes]:
    """Each as it is, and what is signed of it, to be signed anew after damage."""
    found = list(_crls())
    pem = x509.load_der_x509_crl(found[0]).public_bytes(Encoding.PEM)
    return [
        b"\0" + pem,
        *(b"\0" + one for one in found),
        *(b"\1" + x509.load_der_x509_crl(one).tbs_certlist_bytes for one in found[:3]),
    ]


def _whole(data: bytes) -> bytes | None:
    """By the first octet a CRL, or what the CA is to sign."""
    if not data or not data[0] & 1:
        return data[1:]
    return signed(KEY, data[1:]) if is_one_value(data[1:]) else None


def check_brought_crl(data: bytes) -> None:
    """What `import-signed` and `crl verify` see: all that is wrong is told, and the readers agree on what is right."""
    content = _whole(data)
    if content is None:
        return
    try:
        crl = read_signed(Path("x"), content)
    except UsageError:
        if not content.startswith(b"-----BEGIN"):
            assert _strict(content) is None, "the strict reader takes it"
        return
    content = crl.data
    look = verify_one(Target(URL), lambda target: Found(content, NOW), floor_issuer().certificate)
    assert (look.size, look.sha256) == (len(content), crl.sha256.hex())
    strict = _strict(content)
    if strict is None:
        return
    assert (crl.this_update_seconds, crl.next_update_seconds) == (strict.this_update, strict.next_update)
    assert (crl.crl_number, crl.key_identifier) == (strict.crl_number, strict.authority_key_identifier)
    assert (crl.issuer, crl.tbs_cert_list) == (strict.issuer_name, strict.tbs_cert_list)
    assert crl.urls == ([] if strict.distribution_point_url is None else [strict.distribution_point_url])
    assert list(crl.entries()) == list(strict)


def _strict(content: bytes) -> Crl | None:
    try:
        return Crl(content)
    except MalformedDer:
        return None


def check_floor_crl(data: bytes) -> None:
    """Every serial that cryptography finds in a CRL of the CA is on the floor, and its neighbours are not (A2)."""
    content = _whole(data)
    if content is None:
        return
    state = FloorState(bytes(16))
    try:
        assert follow(state, floor_issuer(), "p", content)
    except UntrustedCrl:
        return
    ((crl, hashed),) = state.followed.values()
    floor = Floor(state.key, sorted_hashes([hashed]))
    theirs = x509.load_der_x509_crl(content)
    serials = {_octets(one.serial_number) for one in theirs}
    assert crl.entries == len(floor) == len(theirs)
    assert all(floor.contains(floor_issuer().id, serial) for serial in serials)
    others = {_octets(one.serial_number ^ 1) for one in theirs} - serials
    assert not any(floor.contains(floor_issuer().id, serial) for serial in others)


def _octets(serial: int) -> bytes:
    """As an OCSPRequest has it, which is read as unsigned."""
    size = max(1, (serial.bit_length() + 8) // 8)
    return minimal_serial(serial.to_bytes(size, "big", signed=True))


# Responses


@cache
def _offline() -> tuple[OfflineCA, tuple[x509.Certificate, ec.EllipticCurvePrivateKey]]:
    ca, key = OfflineCA(), ec.generate_private_key(ec.SECP256R1())
    return ca, (ca.delegate(key), key)


def _key_of(first: int) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """Who signs, and the certificate that goes along."""
    ca, (certificate, key) = _offline()
    if first & 2:
        chain = der.encode(SEQUENCE, certificate.public_bytes(Encoding.DER))
        return key, der.encode(EXPLICIT_0, chain)
    assert isinstance(ca.key, ec.EllipticCurvePrivateKey)
    return ca.key, b""


def signed_responses() -> list[bytes]:
    """ResponseData, after an octet that says who is to sign it."""
    ca, responder = _offline()
    made = [
        (b"\0", ca.response(0x5A17)),
        (b"\0", ca.response(0x5A17, SHA256, revoked=NOW - 9)),
        (b"\0", ca.response(0x5A17, revoked=NOW - 9, reason=None, by_name=True)),
        (b"\0", ca.response(0x5A17, extension=x509.OCSPNonce(b"x" * 16))),
        (b"\0", ca.response(0x5A17, ends=False)),
        (b"\2", ca.response(1 << 150, signer=responder)),
        (b"\2", ca.response(1, SHA256, signer=responder, by_name=True)),
    ]
    return [first + ocsp.load_der_ocsp_response(one).tbs_response_bytes for first, one in made]


def offline() -> OfflineCA:
    return _offline()[0]


def response_of(data: bytes) -> bytes | None:
    """The OCSPResponse around ResponseData; None if nobody would sign that."""
    if not data or not is_one_value(data[1:]):
        return None
    key, certificates = _key_of(data[0])
    octets = der.encode(OCTETS, signed(key, data[1:], certificates))
    wrapped = der.encode(EXPLICIT_0, der.encode(SEQUENCE, BASIC + octets))
    return der.encode(SEQUENCE, SUCCESSFUL + wrapped)


def check_signed_response(data: bytes) -> None:
    """What is admitted says what cryptography reads, field by field."""
    body = response_of(data)
    if body is None:
        return
    ca, _ = _offline()
    try:
        said = read_response(ca.issuer, body)
    except Unfit:
        return
    theirs = ocsp.load_der_ocsp_response(body)
    (single,) = theirs.responses
    assert single.next_update_utc is not None
    revoked = single.revocation_time_utc
    assert isinstance(single.hash_algorithm, ALGORITHMS[said.hash_algorithm])
    assert single.issuer_name_hash + single.issuer_key_hash == ca.issuer.id.lookup_key(said.hash_algorithm)
    assert said.serial == _octets(single.serial_number)
    assert said.this_update == single.this_update_utc.timestamp()
    assert said.produced_at == theirs.produced_at_utc.timestamp()
    assert said.next_update == single.next_update_utc.timestamp()
    assert said.revocation_time == (None if revoked is None else revoked.timestamp())
    assert said.revoked is (single.certificate_status is ocsp.OCSPCertStatus.REVOKED)
