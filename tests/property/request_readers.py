"""An OCSPRequest as we, cryptography and a plain walk through the tree see it, and where the first two differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import ocsp as x509_ocsp

from _fastpath.certid import OTHER, SHA1, SHA256
from _fastpath.request import OCSPRequest, parse_request
from tests.property.der_tree import Node, read_nodes, read_tree
from tests.property.differences import Table, Unread, WeRead, WeRefuse, read_by_cryptography, read_by_us

# By OID content: our name of the hash algorithm, octets of its hashes.
ALGORITHMS = {bytes.fromhex("2b0e03021a"): (SHA1, 20), bytes.fromhex("608648016503040201"): (SHA256, 32)}
NULL = b"\x05\x00"
ID_PKIX_OCSP = bytes.fromhex("2b06010505073001")
KNOWN_EXTENSIONS = [ID_PKIX_OCSP + bytes([arc]) for arc in (2, 4, 7, 8)]


@dataclass(frozen=True, slots=True)
class SeenCertID:
    hash_algorithm: int
    name_hash: bytes
    key_hash: bytes
    serial: int


# The plain walk. It takes the shape for granted: our reader or cryptography's has looked at it.


def tbs_request(root: Node) -> Node:
    return (root.children or ())[0]


def single_requests(root: Node) -> tuple[Node, ...]:
    request_list = tbs_request(root).child(0x30)
    assert request_list is not None
    return request_list.children or ()


def extension_lists(root: Node) -> Iterator[Node]:
    """Every Extensions there is, of single requests and of the whole."""
    for node, tag in (*((one, 0xA0) for one in single_requests(root)), (tbs_request(root), 0xA2)):
        wrapped = node.child(tag)
        if wrapped is not None:
            yield (wrapped.children or ())[0]


def cert_id_fields(request: Node) -> tuple[Node, ...]:
    return (request.children or ())[0].children or ()


def see_cert_id(request: Node) -> SeenCertID:
    algorithm, name_hash, key_hash, serial = cert_id_fields(request)
    oid, *parameters = algorithm.children or ()
    ours, size = ALGORITHMS.get(oid.content, (OTHER, 0))
    known = [one.encode() for one in parameters] in ([], [NULL]) and {
        len(name_hash.content),
        len(key_hash.content),
    } == {size}
    return SeenCertID(
        ours if known else OTHER, name_hash.content, key_hash.content, int.from_bytes(serial.content, "big")
    )


def see_nonce(root: Node) -> bytes | None:
    """Of the first nonce that is one OCTET STRING; cryptography also takes the bare octets of others."""
    wrapped = tbs_request(root).child(0xA2)
    for extension in () if wrapped is None else (wrapped.children or ())[0].children or ():
        fields = extension.children or ()
        if fields[0].content == KNOWN_EXTENSIONS[0]:
            try:
                inner = read_nodes(fields[-1].content)
            except ValueError:
                continue
            if [one.tag for one in inner] == [b"\x04"]:
                return inner[0].content
    return None


# What cryptography says, as far as it says it.


@dataclass(frozen=True, slots=True)
class SeenByCryptography:
    cert_id: SeenCertID
    nonce: bytes | None


def cryptography_hash(request: x509_ocsp.OCSPRequest) -> int:
    """By our name. Raises nothing for an algorithm it does not know, which to us is OTHER."""
    try:
        name = request.hash_algorithm.name
    except UnsupportedAlgorithm:
        return OTHER
    ours, size = {"sha1": (SHA1, 20), "sha256": (SHA256, 32)}.get(name, (OTHER, 0))
    return ours if {len(request.issuer_name_hash), len(request.issuer_key_hash)} == {size} else OTHER


def unsigned(serial: int) -> int:
    """The INTEGER content read without its sign (Q-10)."""
    return serial if serial >= 0 else serial + (1 << 8 * ((-serial - 1).bit_length() // 8 + 1))


def see_by_cryptography(data: bytes) -> SeenByCryptography:
    request = x509_ocsp.load_der_ocsp_request(data)
    try:
        nonces = [one.value.nonce for one in request.extensions if isinstance(one.value, x509.OCSPNonce)]
    except ValueError as error:
        raise Unread(f"extension value: {error}") from error
    cert_id = SeenCertID(
        cryptography_hash(request),
        request.issuer_name_hash,
        request.issuer_key_hash,
        unsigned(request.serial_number),
    )
    return SeenByCryptography(cert_id, nonces[0] if nonces else None)


# Grounds of our refusals.


def has_no_cert_id(root: Node) -> bool:
    return not single_requests(root)


def has_long_serial(root: Node) -> bool:
    return any(len(cert_id_fields(one)[3].content) > 32 for one in single_requests(root))


def has_unknown_critical_extension(root: Node) -> bool:
    for extension in (one for extensions in extension_lists(root) for one in extensions.children or ()):
        fields = extension.children or ()
        if len(fields) == 3 and fields[1].content == b"\xff" and fields[0].content not in KNOWN_EXTENSIONS:
            return True
    return False


def has_empty_extensions(root: Node) -> bool:
    return any(not one.children for one in extension_lists(root))


def has_parameters_with_long_tag(root: Node) -> bool:
    algorithms = [cert_id_fields(one)[0].children or () for one in single_requests(root)]
    return any(len(one.tag) > 1 for fields in algorithms for one in fields[1:])


def request_of(tbs: str) -> str:
    """Hex of an OCSPRequest with this content of its TBSRequest."""
    return Node(b"\x30", b"", (Node(b"\x30", bytes.fromhex(tbs)),)).encode().hex()


def single(algorithm: str = "300906052b0e03021a0500", serial: str = "020105", more: str = "") -> str:
    """Hex of one Request with two hashes of 20 octets."""
    cert_id = Node(b"\x30", bytes.fromhex(f"{algorithm}0414{'6e' * 20}0414{'6b' * 20}{serial}")).encode()
    return Node(b"\x30", cert_id + bytes.fromhex(more)).encode().hex()


def request_list(*singles: str) -> str:
    return Node(b"\x30", bytes.fromhex("".join(singles))).encode().hex()


PLAIN = request_list(single())

DIFFERENCES = Table(
    we_read={
        "several-certids": WeRead(
            "Q-07: several CertIDs are legal; cryptography reads requests of one",
            "NotImplementedError",
            request_of(request_list(single(), single())),
        ),
        "explicit-v1": WeRead(
            "some clients spell the default version out",
            "EncodedDefault.*TBSRequest::version",
            request_of("a003020100" + PLAIN),
        ),
        "explicit-not-critical": WeRead(
            "some clients spell critical FALSE out",
            "EncodedDefault.*Extension::critical",
            request_of(PLAIN + "a20f300d300b06022a030101000402" + "0500"),
        ),
        "serial-not-minimal": WeRead(
            "Q-10: a serial counts by its unsigned value, however it is spelled",
            "InvalidValue.*CertID::serial_number",
            request_of(request_list(single(serial="02020005"))),
        ),
        "requestor-name-content": WeRead(
            "Q-03: a requestorName is ignored, so only its outer tag is looked at",
            "TBSRequest::requestor_name|GeneralName::",
            request_of("a104a4020500" + PLAIN),
        ),
        "hash-parameters": WeRead(
            "Q-05: parameters that the hash does not have make it OTHER, answered unauthorized",
            "CertID::hash_algorithm",
            request_of(request_list(single("300906052b0e03021a0400"))),
        ),
        "extension-oid-limits": WeRead(
            "cryptography limits OIDs to 63 octets and arcs to 128 bits; an extension we do not know is passed over",
            "Extension::extn_id",
            request_of(PLAIN + "a24b3049304706412a" + "03" * 64 + "04020500"),
        ),
        "extension-twice": WeRead(
            "Q-06, Q-08: extensions are ignored, so one may stand there twice; of two nonces the first counts",
            "DuplicateExtension",
            request_of(PLAIN + "a2143012300706022a03040105" + "300706022a03040105"),
        ),
        "extension-value": WeRead(
            "Q-06: the value of an extension that is ignored is not looked into",
            "extension value",
            request_of(PLAIN + "a2133011300f06092b060105050730010404020500"),
        ),
    },
    we_refuse={
        "no-certid": WeRefuse(
            "there is nothing to answer; cryptography says it is more than one",
            has_no_cert_id,
            request_of("3000"),
        ),
        "long-serial": WeRefuse(
            "a serial of more than 32 octets is nobody's (RFC 5280 allows 20)",
            has_long_serial,
            request_of(request_list(single(serial="0221" + "11" * 33))),
        ),
        "unknown-critical-extension": WeRefuse(
            "Q-06: an unknown critical extension is malformedRequest; cryptography leaves that to its caller",
            has_unknown_critical_extension,
            request_of(PLAIN + "a20d300b300906022a030101ff0400"),
        ),
        "empty-extensions": WeRefuse(
            "RFC 5280 section 4.1: Extensions are at least one",
            has_empty_extensions,
            request_of(PLAIN + "a2023000"),
        ),
        "long-tag": WeRefuse(
            "tags above 30 occur in no type that is read here",
            has_parameters_with_long_tag,
            request_of(request_list(single("300806022a031f220161"))),
        ),
    },
)


def explain(data: bytes) -> list[str]:
    """The differences that the data shows; where both read, they read the same."""
    ours = read_by_us(parse_request, data)
    theirs = read_by_cryptography(see_by_cryptography, data)
    if isinstance(ours, OCSPRequest):
        compare_to_tree(ours, data)
        if isinstance(theirs, SeenByCryptography):
            assert [theirs.cert_id] == seen(ours)
            assert ours.nonce in (None, theirs.nonce)
    return DIFFERENCES.explain(data, ours, theirs)


def seen(request: OCSPRequest) -> list[SeenCertID]:
    return [
        SeenCertID(
            one.hash_algorithm,
            one.issuer_name_hash,
            one.issuer_key_hash,
            int.from_bytes(one.serial_number, "big"),
        )
        for one in request.cert_ids
    ]


def compare_to_tree(request: OCSPRequest, data: bytes) -> None:
    tree = read_tree(data)
    assert seen(request) == [see_cert_id(one) for one in single_requests(tree)]
    assert all(one.serial_number[0] or one.serial_number == b"\0" for one in request.cert_ids)
    assert request.nonce == see_nonce(tree)
