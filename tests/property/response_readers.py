"""A successful OCSPResponse taken apart by us and by cryptography, and where the two differ.

Ours takes apart what we signed ourselves, to verify it: of the signed ResponseData and of certs it looks at no
more than the outer tag, so cryptography is the stricter one there.
"""

from __future__ import annotations

from cryptography.x509 import ocsp as x509_ocsp

from _fastpath.ocsp import split_response
from tests.property.der_tree import Node, read_nodes
from tests.property.differences import Table, Unread, WeRead, WeRefuse, read_by_cryptography, read_by_us

ECDSA_SHA256 = "300a06082a8648ce3d040302"
SIGNATURE = "030300ffff"
KEY_HASH = "a2160414" + "6b" * 20
AT = "180f32303236303130313030303030305a"


def sequence(content: str, tag: str = "30") -> str:
    return Node(bytes.fromhex(tag), bytes.fromhex(content)).encode().hex()


CERT_ID = sequence("300906052b0e03021a05000414" + "6e" * 20 + "0414" + "6b" * 20 + "020105")
CONTENT = KEY_HASH + AT + sequence(sequence(CERT_ID + "8000" + AT))
DATA = sequence(CONTENT)


def response(
    data: str = DATA,
    algorithm: str = ECDSA_SHA256,
    signature: str = SIGNATURE,
    certs: str = "",
    status: str = "0a0100",
) -> str:
    """Hex of an OCSPResponse of these parts."""
    basic = sequence(data + algorithm + signature + certs)
    octets = "06092b0601050507300101" + sequence(basic, "04")
    return sequence(status + sequence(sequence(octets), "a0"))


def is_error(root: Node) -> bool:
    return (root.children or ())[0].content != b"\0"


def has_unused_bits(root: Node) -> bool:
    wrapped = root.child(0xA0)
    if is_error(root) or wrapped is None:
        return False
    (basic,) = read_nodes(((wrapped.children or ())[0].children or ())[1].content)
    return (basic.children or ())[2].content[:1] != b"\0"


def see_by_cryptography(data: bytes) -> tuple[bytes, bytes]:
    """What is signed, and the signature."""
    theirs = x509_ocsp.load_der_ocsp_response(data)
    if theirs.response_status is not x509_ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Unread(f"{theirs.response_status.name} has nothing to take apart")
    return theirs.tbs_response_bytes, theirs.signature


IN_RESPONSE_DATA = (
    "tbs_response_data|ResponseData::|ResponderId::|SingleResponse::|CertID::|CertStatus::|RevokedInfo::"
)
DIFFERENCES = Table(
    we_read={
        "response-version": WeRead(
            "what was signed is taken as it is, not read",
            "not a valid OCSP response version",
            response(sequence("a003020101" + CONTENT)),
        ),
        "response-data-content": WeRead(
            "what was signed is taken as it is, not read", IN_RESPONSE_DATA, response("3000")
        ),
        "certs-content": WeRead(
            "of certs only the outer tag is looked at",
            "BasicOCSPResponse::certs|Certificate::",
            response(certs="a00430023000"),
        ),
        "name-in-response": WeRead(
            "a Name stands in what was signed or in certs, neither of which is read",
            "AttributeTypeValue::",
            response(sequence("a10e300c310a300806035504061301" + "5f" + AT + "3000")),
        ),
        "signature-algorithm-content": WeRead(
            "the AlgorithmIdentifier is compared with the template's, not read",
            "BasicOCSPResponse::signature_algorithm",
            response(algorithm="3000"),
        ),
    },
    we_refuse={
        "error-response": WeRefuse(
            "an error response carries no signature (R-02)", is_error, sequence("0a0106")
        ),
        "unused-bits": WeRefuse(
            "a signature is whole octets", has_unused_bits, response(signature="030301fffe")
        ),
    },
)


def explain(data: bytes) -> list[str]:
    """The differences that the data shows; where both take it apart, they get the same."""
    ours = read_by_us(split_response, data)
    theirs = read_by_cryptography(see_by_cryptography, data)
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        assert (ours[0], ours[2]) == theirs
    if isinstance(ours, tuple):
        assert data.endswith(ours[2]) or ours[2] in data
        assert ours[0] + ours[1] in data
    return DIFFERENCES.explain(data, ours, theirs)
