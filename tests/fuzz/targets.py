"""One target for every reader of outside octets: what it begins with, and what must hold of any input.

A check raises for a disagreement with another reader or with what was written before; what reads out of bounds is the
sanitizers' to find (F6).
"""

import base64
import urllib.parse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from _fastpath import der
from _fastpath.answer import assemble
from _fastpath.certid import SHA1, SHA256, IssuerID
from _fastpath.crl_entries import first_difference, first_out_of_order, serials_absent
from _fastpath.crl_reader import Crl
from _fastpath.errors import FastpathError, MalformedRequest
from _fastpath.http import decode_get_path
from _fastpath.imported import decode_imported_record, encode_imported_record
from _fastpath.ocsp import encode_response
from _fastpath.page import PageHeader, crc32c, decode_record, encode_record
from _fastpath.replies import Command, ReplyQueue, Surprise
from _fastpath.template import Template
from responder.counters import Counters, bounds_of, slot_of
from store.imported import Unfit, read_response
from tests.fastpath import test_head
from tests.fuzz import certificates, crls, exchanges, intake, rows, shadow, state
from tests.fuzz.target import Target
from tests.property import crl_differences, request_readers, response_readers
from tests.property.responses import raw_signature, said, signer
from tests.store.offline import OfflineCA

__all__ = ["TARGETS"]

VECTORS = Path(__file__).parents[1] / "vectors"
WAITING = 6  # commands without a reply
OFFLINE = OfflineCA()
COUNTERS = Counters.private()


def _files(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(VECTORS.glob(pattern))]


# DER


def _requests() -> list[bytes]:
    return _files("*/req-*.der") + list(request_readers.DIFFERENCES.examples().values())


def _responses() -> list[bytes]:
    return _files("*/resp-*.der") + list(response_readers.DIFFERENCES.examples().values())


def _crls() -> list[bytes]:
    return [bytes.fromhex(crl_differences.crl()), *crl_differences.DIFFERENCES.examples().values()]


def check_crl(data: bytes) -> None:
    """Also its entries, which are looked at in place."""
    crl_differences.explain(data)
    try:
        crl = Crl(data)
    except FastpathError:
        return
    entries = list(crl)
    serials = [serial for serial, _, _ in entries]
    assert first_difference(crl, entries) is None
    assert first_out_of_order(crl) == next(
        (index for index in range(1, len(serials)) if serials[index] <= serials[index - 1]), None
    )
    if serials == sorted(serials):
        assert serials_absent(crl, serials) == []


def check_value(data: bytes) -> None:
    """What is read is spelled as DER spells it."""
    try:
        tag, content, rest = der.read(data)
    except FastpathError:
        return
    assert der.encode(tag, content) + rest == data


# HTTP


def check_path(data: bytes) -> None:
    """Strictly read, a path is what the standard library makes of it; else it is read in one way."""
    try:
        decoded, tolerated = decode_get_path(data, strict=True)
    except MalformedRequest:
        try:
            decode_get_path(data)
        except MalformedRequest:
            pass
        return
    unquoted = urllib.parse.unquote_to_bytes(data).lstrip(b"/")
    assert base64.b64encode(decoded) == unquoted and not tolerated
    assert decode_get_path(data) == (decoded, 0)


# What comes out of the store


def _record(revoked: tuple[int, int] | None, clamped: int) -> bytes:
    """A serial with its length in front, and its record."""
    authority = signer("secp256r1")
    signature = raw_signature(authority.template.signature_size, 1, 0)
    response = said(0x5A17, 1_790_000_000, 2, 345_597 - clamped, revoked)
    record = encode_record(authority.issuer, authority.template, 3, response, signature, signature)
    return bytes([len(response.serial_number)]) + response.serial_number + record


def _records() -> list[bytes]:
    return [_record(None, 0), _record((1_780_000_000, 4), 0), _record((1_780_000_000, 0), 99)]


def _imported() -> list[bytes]:
    issuer, bodies = signer("secp256r1").issuer, _responses()[:2]
    found = []
    for responses in ({SHA1: bodies[0]}, {SHA256: bodies[1]}, dict(zip((SHA1, SHA256), bodies, strict=True))):
        record = encode_imported_record(issuer, b"\x5a\x17", 1_790_000_000, False, responses)
        found.append(b"\x02\x5a\x17" + record)
    return found


def _taken_apart(data: bytes, issuer: IssuerID) -> tuple[bytes, bytes] | None:
    """A serial and its record, whose checksum is put right, so that what is behind it is reached."""
    serial, record = data[1 : 1 + data[0] % 21] if data else b"", data[1 + data[0] % 21 :] if data else b""
    if not serial or len(record) < 11 or (serial[0] == 0 and len(serial) > 1):
        return None
    covered = issuer.fingerprint + bytes([len(serial)]) + serial + record[:7] + record[11:]
    return serial, record[:7] + crc32c(covered).to_bytes(4, "big") + record[11:]


def check_imported(data: bytes) -> None:
    """A record of whole responses is read in one way, and by no other reader; what it has is read or refused."""
    authority = signer("secp256r1")
    parts = _taken_apart(data, authority.issuer)
    if parts is None:
        return
    serial, record = parts
    try:
        responses = decode_imported_record(authority.issuer, serial, record)
    except FastpathError:
        return
    this_update, revoked = int.from_bytes(record[2:6]), bool(record[0] & 1)
    assert encode_imported_record(authority.issuer, serial, this_update, revoked, responses) == record
    try:
        decode_record(authority.issuer, authority.template, serial, record)
    except FastpathError:
        for body in responses.values():
            try:
                read_response(OFFLINE.issuer, body)
            except Unfit:
                continue
        return
    raise AssertionError("a record of two kinds")


def check_record(data: bytes) -> None:
    """Both ways to read it agree."""
    authority = signer("secp256r1")
    issuer, template = authority.issuer, authority.template
    parts = _taken_apart(data, issuer)
    if parts is None:
        return
    serial, record = parts
    answers = partial(assemble, template, 1, issuer)
    try:
        found = decode_record(issuer, template, serial, record)
    except FastpathError:
        for algorithm in (SHA1, SHA256):
            try:
                answers(algorithm, serial, record, 0, 1 << 40)
            except FastpathError:
                continue
            raise AssertionError("served, though the record cannot be read") from None
        return
    signatures = {SHA1: found.sha1_signature, SHA256: found.sha256_signature}
    for algorithm, signature in signatures.items():
        answer = answers(algorithm, serial, record, 0, 1 << 40)
        if signature is None:
            assert answer is None
        else:
            assert answer is not None
            assert answer.body == encode_response(template, issuer, algorithm, found.response, signature)
    again = encode_record(issuer, template, found.template_slot, found.response, *signatures.values())
    assert decode_record(issuer, template, serial, again).response.next_update == found.response.next_update


def check_header(data: bytes) -> None:
    try:
        header = PageHeader.decode(data)
    except FastpathError:
        return
    assert header.encode() == data


def check_template(data: bytes) -> None:
    try:
        template = Template.decode(data)
    except FastpathError:
        return
    assert template.encode() == data


REPLIES = [
    b"$3\r\nabc\r\n_\r\n$-1\r\n",
    b">2\r\n$10\r\ninvalidate\r\n*1\r\n$11\r\nocsp:page:1\r\n+PONG\r\n",
    b">2\r\n$10\r\ninvalidate\r\n_\r\n:5\r\n",
    b"-ERR no\r\n%1\r\n+a\r\n+b\r\n*2\r\n$1\r\nx\r\n:21\r\n",
]


class _Asked(Command):
    """Notes what becomes of it; replies are held to be of any type."""

    def __init__(self, number: int, events: list[Any]) -> None:
        super().__init__(b"PING\r\n", 9e9)
        self._number = number
        self._events = events

    def take(self, reply: Any, now: float) -> None:
        self._events.append((self._number, repr(reply)))

    def fail(self, cause: Any) -> None:
        self._events.append((self._number, "failed"))


def _events(segments: Iterator[bytes]) -> list[Any]:
    """What a queue with some commands does when this is read."""
    events: list[Any] = []
    queue = ReplyQueue(
        flush=lambda: None,
        arm=lambda deadline: None,
        invalidated=lambda keys: events.append(("invalidated", keys)),
        refused=lambda message: events.append(("refused", message)),
        room=WAITING,
        tally=COUNTERS.tally,
        slot=slot_of("store_seconds", "lookup"),
        bounds=bounds_of("store_seconds"),
    )
    for number in range(WAITING):
        queue.submit(_Asked(number, events), 0.0)
    queue.take_outgoing()
    try:
        for segment in segments:
            queue.feed(segment, 1.0)
    except Surprise:
        events.append("surprise")
    return events


def check_replies(data: bytes) -> None:
    """Cut anywhere, the same comes out of it."""
    if not data:
        return
    cut = 1 + data[0] % max(1, len(data) - 1)
    whole = _events(iter([data[1:]]))
    assert _events(iter([data[1:cut], data[cut:]])) == whole
    assert _events(data[at : at + 1] for at in range(1, len(data))) == whole


TARGETS = {
    "request": Target(_requests, request_readers.explain),
    "response": Target(_responses, response_readers.explain),
    "crl": Target(_crls, check_crl),
    "der": Target(_requests, check_value),
    "head": Target(lambda: list(test_head.SEEDS), test_head.check),
    "path": Target(lambda: [base64.b64encode(one) for one in _requests()], check_path),
    "record": Target(_records, check_record),
    "imported": Target(_imported, check_imported),
    "header": Target(lambda: [PageHeader(1 << 48 | 7, 1_790_000_000, 64, 3).encode()], check_header),
    "template": Target(
        lambda: [signer(kind).template.encode() for kind in ("secp256r1", "rsa-2048")], check_template
    ),
    "index": Target(intake.index_files, intake.check_index),
    "csv": Target(intake.csv_files, intake.check_csv),
    "rows": Target(intake.packed_files, intake.check_rows),
    "replies": Target(lambda: [b"\x05" + one for one in REPLIES], check_replies),
    "issuer-record": Target(state.issuer_records, state.check_issuer_record),
    "presence": Target(state.presences, state.check_presence),
    "floor": Target(state.floors, state.check_floor),
    "floor-crl": Target(crls.crl_files, crls.check_floor_crl),
    "brought-crl": Target(crls.crl_files, crls.check_brought_crl),
    "signed-response": Target(crls.signed_responses, crls.check_signed_response),
    "crl-list": Target(state.lists, state.check_list),
    "fetch": Target(exchanges.fetches, exchanges.check_fetch),
    "answer": Target(exchanges.answers, exchanges.check_answer),
    "conditions": Target(exchanges.conditions, exchanges.check_conditions),
    "recorded": Target(shadow.recorded, shadow.check_recorded),
    "seen-answer": Target(shadow.seen_answers, shadow.check_answer),
    "certificate": Target(certificates.certificate_files, certificates.check_certificate),
    "responder": Target(certificates.responder_files, certificates.check_responder),
    "pem": Target(certificates.pem_files, certificates.check_pem),
    "key": Target(certificates.key_files, certificates.check_key),
    "pkcs12": Target(certificates.pkcs12_files, certificates.check_pkcs12),
    "json": Target(rows.json_lines, rows.check_json),
    "revocations": Target(rows.revocation_files, rows.check_revocations),
    "call": Target(rows.call_bodies, rows.check_call),
    "batch": Target(rows.batches, rows.check_batch),
    "export": Target(rows.exports, rows.check_export),
    "run-state": Target(state.run_states, state.check_run_state),
    "tokens": Target(state.token_files, state.check_tokens),
    "config": Target(state.configs, state.check_config),
}
