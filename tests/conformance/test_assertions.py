"""Each of our own assertions finds the fault that it is there for: good objects are spoilt one way at a time."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import core, x509
from asn1crypto import ocsp as asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.conformance.assertions import Expected, ocsp_findings
from tests.conformance.corpus import make_issuer
from tests.conformance.doctor import Basic, Ward, generalized, make_ward
from tests.conformance.linters import lint, lint_by_command

HOUR = 3600
DAY = 86_400
REVOKED = {"revocation_time": 1_790_000_000, "reason": 1}
SHA1_ECDSA = bytes.fromhex("300906072a8648ce3d0401")

Change = Callable[[Any, int], None]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return make_ward(tmp_path_factory.mktemp("ward") / "p256", int(time.time()))


def rows_of(findings: list[str]) -> set[str]:
    return {finding.partition(":")[0] for finding in findings}


def good(ward: Ward, **changes: Any) -> tuple[bytes, Expected]:
    expected = ward.expected(**changes)
    return ward.body(expected), expected


@pytest.mark.parametrize("changes", [{}, REVOKED, {**REVOKED, "reason": 0}], ids=str)
def test_nothing_is_found_in_a_good_response(ward: Ward, changes: dict[str, int]) -> None:
    body, expected = good(ward, **changes)
    assert ocsp_findings(ward.answer(body, expected)) == []
    assert lint("response", body) == []


@pytest.mark.parametrize("left", [4 * HOUR, 8 * HOUR, 10 * HOUR, 17 * HOUR])
def test_nothing_is_found_near_the_end_of_a_certificate(ward: Ward, left: int) -> None:
    body, expected = good(ward, not_after=ward.now + left)
    assert ocsp_findings(ward.answer(body, expected)) == []


def single(data: Any) -> Any:
    return data["responses"][0]


def set_next(validity: int) -> Change:
    def change(data: Any, now: int) -> None:
        single(data)["next_update"] = generalized(now + validity)

    return change


def drop_next(data: Any, now: int) -> None:
    del single(data)["next_update"]


def set_produced(offset: int) -> Change:
    def change(data: Any, now: int) -> None:
        data["produced_at"] = generalized(now + offset)

    return change


def fraction(data: Any, now: int) -> None:
    text = data["produced_at"].contents.decode().removesuffix("Z") + ".5Z"
    data["produced_at"] = core.GeneralizedTime.load(b"\x18" + bytes([len(text)]) + text.encode())


def by_name(data: Any, now: int) -> None:
    data["responder_id"] = asn1.ResponderId(name="by_name", value=x509.Name.build({"common_name": "anyone"}))


def by_other_key(data: Any, now: int) -> None:
    data["responder_id"] = asn1.ResponderId(name="by_key", value=bytes(20))


def long_key_hash(data: Any) -> None:
    data["responder_id"] = asn1.ResponderId(name="by_key", value=bytes(32))


def twice(data: Any, now: int) -> None:
    data["responses"].append(single(data).copy())


def another_serial(data: Any, now: int) -> None:
    single(data)["cert_id"]["serial_number"] = 0x8002


def other_hash(data: Any, now: int) -> None:
    single(data)["cert_id"]["hash_algorithm"] = {"algorithm": "sha256"}


def response_extensions(data: Any, now: int) -> None:
    data["response_extensions"] = [{"extn_id": "nonce", "critical": False, "extn_value": b"\x04\x01n"}]


def reason_extension(data: Any, now: int) -> None:
    extension = {"extn_id": "2.5.29.21", "critical": False, "extn_value": 1}
    single(data)["single_extensions"] = asn1.SingleResponseExtensions([extension])


RESPONSES: dict[str, tuple[Change, set[str]]] = {
    "7 d": (set_next(7 * DAY), {"R-12"}),
    "11 d": (set_next(11 * DAY), {"R-12"}),
    "a second under 8 h": (set_next(8 * HOUR - 1), {"R-12"}),
    "8 h": (set_next(8 * HOUR), set()),
    "a second under 7 d": (set_next(7 * DAY - 1), set()),
    "beyond the signer": (set_next(61 * DAY), {"R-12", "R-17"}),
    "no nextUpdate": (drop_next, {"R-07"}),
    "producedAt before thisUpdate": (set_produced(-1), {"R-06"}),
    "producedAt in the future": (set_produced(60), {"R-06"}),
    "producedAt after nextUpdate": (set_produced(5 * DAY), {"R-06"}),
    "half a second": (fraction, {"R-05"}),
    "byName": (by_name, {"R-04"}),
    "byKey of another": (by_other_key, {"R-04"}),
    "two SingleResponses": (twice, {"R-03", "R-29"}),
    "another serial": (another_serial, {"R-03"}),
    "hash not asked for": (other_hash, {"R-03"}),
    "responseExtensions": (response_extensions, {"R-24"}),
    "reasonCode as singleExtension": (reason_extension, {"R-23"}),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_a_doctored_response(ward: Ward, name: str) -> None:
    change, rows = RESPONSES[name]
    body, expected = good(ward)
    spoilt = ward.doctored(body, lambda data: change(data, ward.now))
    assert rows_of(ocsp_findings(ward.answer(spoilt, expected))) == rows


def revoked_info(time_offset: int, reason: int | None) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        info: dict[str, Any] = {"revocation_time": generalized(1_790_000_000 + time_offset)}
        if reason is not None:
            info["revocation_reason"] = reason
        single(data)["cert_status"] = asn1.CertStatus(name="revoked", value=asn1.RevokedInfo(info))

    return change


def turn_good(data: Any) -> None:
    single(data)["cert_status"] = asn1.CertStatus(name="good", value=core.Null())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (revoked_info(0, 6), 6),
        (revoked_info(0, 8), 8),
        (revoked_info(0, 0), 0),
        (revoked_info(0, 4), 1),
        (revoked_info(0, None), 1),
        (revoked_info(1, 1), 1),
        (turn_good, 1),
    ],
    ids=["certificateHold", "removeFromCRL", "unspecified", "another", "none", "a second later", "good"],
)
def test_a_doctored_status(ward: Ward, change: Callable[[Any], None], reason: int) -> None:
    """Reasons 0, 6 and 8 are wrong also where the CA would have it so."""
    body, expected = good(ward, **REVOKED)
    spoilt = ward.doctored(body, change)
    asked = ward.answer(spoilt, expected)
    asked.expected = Expected(expected.serial, expected.not_after, expected.revocation_time, reason)
    assert rows_of(ocsp_findings(asked)) == {"R-21"}


def test_a_status_that_the_record_has_not(ward: Ward) -> None:
    body, expected = good(ward, **REVOKED)
    asked = ward.answer(body, expected)
    asked.expected = Expected(expected.serial, expected.not_after)
    assert rows_of(ocsp_findings(asked)) == {"R-21"}


def test_a_response_that_outlives_its_certificate(ward: Ward) -> None:
    body, expected = good(ward)
    asked = ward.answer(body, expected)
    asked.expected = Expected(expected.serial, ward.now + 10 * HOUR)
    assert rows_of(ocsp_findings(asked)) == {"R-18"}


def test_a_response_from_the_future(ward: Ward) -> None:
    body, expected = good(ward)
    assert rows_of(ocsp_findings(ward.answer(body, expected, now=ward.now - 1))) == {"R-06"}


def sha1_signature(parts: Basic, ward: Ward) -> Basic:
    parts.algorithm = SHA1_ECDSA
    parts.signature = ward.key("responder").sign(parts.data, ec.ECDSA(hashes.SHA1()))
    return parts


def other_key(parts: Basic, ward: Ward) -> Basic:
    return ward.signed(parts, "ca")


def flipped_bit(parts: Basic, ward: Ward) -> Basic:
    parts.signature = parts.signature[:-1] + bytes([parts.signature[-1] ^ 1])
    return parts


def version_encoded(parts: Basic, ward: Ward) -> Basic:
    assert parts.data[:2] == b"\x30\x81"
    content = bytes.fromhex("a003020100") + parts.data[3:]
    parts.data = b"\x30\x81" + bytes([len(content)]) + content
    return ward.signed(parts)


def empty_certs(parts: Basic, ward: Ward) -> Basic:
    """The CA is taken for the signer then, which it is not."""
    parts.certificates = b"\x30\x00"
    return parts


def two_certs(parts: Basic, ward: Ward) -> Basic:
    both = ward.issuer.responder.public_bytes(Encoding.DER) + ward.issuer.certificate.public_bytes(
        Encoding.DER
    )
    parts.certificates = b"\x30\x82" + len(both).to_bytes(2) + both
    return parts


OUTSIDE: dict[str, tuple[Callable[[Basic, Ward], Basic], set[str]]] = {
    "SHA-1 signature": (sha1_signature, {"A-01", "A-02"}),
    "signature of another key": (other_key, {"A-01"}),
    "one bit": (flipped_bit, {"A-01"}),
    "version encoded": (version_encoded, {"R-01"}),
    "empty certs": (empty_certs, {"R-29", "R-04", "A-01"}),
    "two certs": (two_certs, {"R-29"}),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_response_doctored_around_its_data(ward: Ward, name: str) -> None:
    change, rows = OUTSIDE[name]
    body, expected = good(ward)
    spoilt = change(ward.parts(body), ward).body
    assert rows_of(ocsp_findings(ward.answer(spoilt, expected))) == rows


def test_parts_that_are_put_together_again_are_the_same(ward: Ward) -> None:
    body, _ = good(ward)
    assert ward.parts(body).body == body
    assert ward.signed(ward.parts(body)).body != body


def test_a_responder_of_another_ca(ward: Ward, tmp_path: Path) -> None:
    """The same name, another key: who signed is not who was asked (D-01)."""
    body, expected = good(ward)
    asked = ward.answer(body, expected)
    asked.issuer = make_issuer("p256", tmp_path / "p256", "c.example").certificate
    assert asked.issuer.subject == ward.issuer.certificate.subject
    assert rows_of(ocsp_findings(asked)) == {"D-01"}


def test_pkilint_in_this_process_finds_what_its_command_finds(ward: Ward, tmp_path: Path) -> None:
    body, _ = good(ward)
    empty = empty_certs(ward.parts(body), ward)
    spoilt = ward.doctored(empty.body, long_key_hash)
    path = tmp_path / "response.der"
    path.write_bytes(spoilt)
    found = lint_by_command("response", path)
    assert {"pkix.ocsp_responderid_keyhash_is_not_sha1", "pkix.ocsp_certs_sequence_is_empty"} <= set(found)
    assert lint("response", spoilt) == found
