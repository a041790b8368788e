"""Templates: what can be one, and what is read back from stored bytes."""

from typing import Any

import pytest

from _fastpath.der import encode
from _fastpath.errors import RecordDamaged, UnknownFormat
from _fastpath.template import Template
from tests.fastpath.authority import ECDSA, RSA, VALIDITY, make_authority, make_template

P256 = make_authority()
SEQUENCE = 0x30
RSA_2048 = RSA["rsa-sha256"][1]


@pytest.mark.parametrize(
    "certificates", [b"", b"\x30\x00", P256.template.certificates], ids=["none", "empty", "real"]
)
@pytest.mark.parametrize("validity", [1, VALIDITY, 2**31 - 1])
@pytest.mark.parametrize(
    ("algorithm", "size"),
    [(algorithm, size) for _, _, algorithm, size in ECDSA.values()]
    + [(algorithm, size) for _, algorithm, _ in RSA.values() for size in (256, 384, 1024)],
)
def test_templates_decode_to_what_was_encoded(
    algorithm: bytes, size: int, validity: int, certificates: bytes
) -> None:
    template = make_template(
        signature_algorithm=algorithm, signature_size=size, validity=validity, certificates=certificates
    )
    decoded = Template.decode(template.encode())
    assert decoded.encode() == template.encode()
    assert (decoded.signature_algorithm, decoded.signature_size) == (algorithm, size)
    assert (decoded.responder_key_hash, decoded.certificates) == (b"k" * 20, certificates)
    assert (decoded.validity, decoded.is_ecdsa) == (validity, size < 256)


def test_known_answer_of_a_template() -> None:
    assert make_template().encode().hex() == (
        "302d020101300a06082a8648ce3d0403020201400414" + "6b" * 20 + "02030545ff"
    )


@pytest.mark.conformance("A-01", "A-02")
@pytest.mark.parametrize(
    "changes",
    [
        {"signature_algorithm": bytes.fromhex("300d06092a864886f70d0101050500")},
        {"signature_algorithm": bytes.fromhex("300906072a8648ce3d0401")},
        {"signature_algorithm": bytes.fromhex("300c06082a8648ce3d0403020500")},
        {"signature_algorithm": bytes.fromhex("300b06092a864886f70d01010b")},
        {"signature_algorithm": b""},
        {"signature_size": 63},
        {"signature_size": 96},
        {"signature_algorithm": RSA_2048, "signature_size": 255},
        {"signature_algorithm": RSA_2048, "signature_size": 1025},
        {"responder_key_hash": bytes(19)},
        {"responder_key_hash": bytes(32)},
        {"certificates": b"\x30"},
        {"certificates": b"\x30\x00\x30\x00"},
        {"certificates": b"\x04\x00"},
        {"validity": 0},
        {"validity": -1},
        {"validity": 2**31},
    ],
    ids=repr,
)
def test_templates_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a raw|AlgorithmIdentifier|hash|certificate|validity|RSA"):
        make_template(**changes)


def test_a_template_of_another_release_is_an_unknown_format() -> None:
    encoded = make_template().encode()
    with pytest.raises(UnknownFormat, match="format 2"):
        Template.decode(encoded.replace(b"\x02\x01\x01", b"\x02\x01\x02", 1))
    with pytest.raises(UnknownFormat, match="format 2"):
        Template.decode(encode(SEQUENCE, b"\x02\x01\x02" + b"whatever it may hold"))
    with pytest.raises(UnknownFormat, match="signature algorithm"):
        Template.decode(encoded.replace(bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d040305")))


def test_damaged_templates_are_told_from_whole_ones() -> None:
    encoded = make_template(certificates=b"\x30\x03\x02\x01\x05").encode()
    decoded = 0
    for size in range(len(encoded)):
        with pytest.raises(RecordDamaged):
            Template.decode(encoded[:size])
    with pytest.raises(RecordDamaged):
        Template.decode(encoded + b"\x00")
    for position in range(len(encoded)):
        for octet in (0x00, 0x01, 0x30, 0x7F, 0x80, 0xA0, 0xFF):
            mutated = encoded[:position] + bytes([octet]) + encoded[position + 1 :]
            try:
                decoded += Template.decode(mutated).encode() == mutated
            except (RecordDamaged, UnknownFormat):
                continue
    assert decoded > 7 * 20  # the key hash has no wrong octets


@pytest.mark.parametrize(
    "fields",
    ["", "0201", "02050100000000", "020180", "02020001", "0200", "020101", "020101" + "3000", "040101"],
)
def test_templates_with_missing_or_wrong_fields(fields: str) -> None:
    with pytest.raises((RecordDamaged, UnknownFormat)):
        Template.decode(encode(SEQUENCE, bytes.fromhex(fields)))
