"""Requests answered out of a real store, in process: what is said of whom, and what is refused."""

import asyncio
import dataclasses
import random

import pytest
import redis
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from _fastpath import der
from _fastpath.answer import Entry
from _fastpath.certid import SHA1, SHA256, serial_from_int
from _fastpath.page import HEADER_FIELD, PageHeader
from _fastpath.request import OCSPRequest, parse_request
from responder.app import Application
from responder.counters import Counters
from responder.errors import Refused, TryLater, Unauthorized
from store.schema import issuer_key, template_key
from store.writer import PageWriter
from tests.responder.ca import CA, NOW, SLOT, TEMPLATE_NUMBER, Shelf, good, revoked, template_of
from tests.responder.conftest import GOOD, GOOD_TOO, REVOKED, FakeClock

MAX_ATTEMPTS = 100


def request_for(*cert_ids: bytes) -> OCSPRequest:
    """An OCSPRequest for encoded CertIDs."""
    requests = b"".join(der.encode(0x30, cert_id) for cert_id in cert_ids)
    return parse_request(der.encode(0x30, der.encode(0x30, der.encode(0x30, requests))))


def ask(ca: CA, serial: int, algorithm: int = SHA1) -> OCSPRequest:
    return request_for(ca.issuer.id.encode_cert_id(algorithm, serial_from_int(serial)))


async def cause_of(application: Application, request: OCSPRequest) -> tuple[type[Refused], str]:
    with pytest.raises(Refused) as caught:
        await application.resolver.resolve(request)
    assert isinstance(caught.value, TryLater | Unauthorized)
    return type(caught.value), caught.value.cause


async def resolve_eventually(application: Application, request: OCSPRequest) -> Entry:
    """The answer once what was changed in the store has come round."""
    for _ in range(MAX_ATTEMPTS):
        try:
            return await application.resolver.resolve(request)
        except Refused:
            await asyncio.sleep(0.02)
    return await application.resolver.resolve(request)


@pytest.mark.conformance("R-03")
@pytest.mark.parametrize("algorithm", [SHA1, SHA256], ids=["sha1", "sha256"])
async def test_answers_verify_and_are_about_the_certificate_asked_for(
    application: Application, ca: CA, algorithm: int
) -> None:
    for serial, status in (
        (GOOD, ocsp.OCSPCertStatus.GOOD),
        (REVOKED, ocsp.OCSPCertStatus.REVOKED),
    ):
        answer = await application.resolver.resolve(ask(ca, serial, algorithm))
        response = ocsp.load_der_ocsp_response(answer.body)
        assert response.certificate_status == status
        assert response.serial_number == serial
        assert response.hash_algorithm.name == {SHA1: "sha1", SHA256: "sha256"}[algorithm]
        key = ca.responder_key.public_key()
        key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))


@pytest.mark.conformance("R-08")
@pytest.mark.invariant("A3")
@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_unissued_serials_are_unauthorized_and_never_good(
    application: Application, ca: CA, count: int
) -> None:
    """A3, R-08: neighbours of real serials, edge values and very many at random, while a real one is in the cache."""
    assert (await application.resolver.resolve(ask(ca, GOOD))).body
    source = random.Random(20261121)
    edges = [GOOD - 1, GOOD + 1, REVOKED - 1, REVOKED + 1, 0, 1, 0x23, (1 << 159) - 1, (1 << 160) - 1]
    serials = edges + [source.getrandbits(source.choice((64, 127, 159))) for _ in range(count)]
    for start in range(0, len(serials), 2000):
        chunk = serials[start : start + 2000]
        results = await asyncio.gather(
            *(application.resolver.resolve(ask(ca, serial)) for serial in chunk), return_exceptions=True
        )
        causes = {result.cause if isinstance(result, Unauthorized) else result for result in results}
        assert causes == {"no_record"}


@pytest.mark.conformance("Q-04")
@pytest.mark.invariant("A7")
async def test_names_and_keys_must_both_match(application: Application, ca: CA) -> None:
    """Q-04, A7: the same name with another key, the same key under another name, swapped hashes."""
    other_key = CA("demo", ca.subject)
    other_name = CA("demo", "Another name", ca.key)
    for stranger in (other_key, other_name):
        for algorithm in (SHA1, SHA256):
            request = ask(stranger, GOOD, algorithm)
            assert await cause_of(application, request) == (Unauthorized, "unknown_issuer")
    cert_id = ca.issuer.id.encode_cert_id(SHA1, serial_from_int(GOOD))
    fields = ca.issuer.id.lookup_key(SHA1)
    swapped = cert_id.replace(fields[:20], b"\0" * 20).replace(fields[20:], fields[:20])
    assert await cause_of(application, request_for(swapped)) == (Unauthorized, "unknown_issuer")


@pytest.mark.conformance("Q-05")
async def test_other_hash_algorithms_are_unauthorized(application: Application, ca: CA) -> None:
    request = parse_request(ca.request(GOOD, hashes.SHA512()))
    assert await cause_of(application, request) == (Unauthorized, "hash_algorithm")


@pytest.mark.conformance("Q-05")
async def test_algorithms_that_the_issuer_does_not_sign_for_are_unauthorized(
    application: Application, ca: CA, shelf: Shelf
) -> None:
    shelf.algorithms = (SHA1,)
    shelf.put(good(GOOD))
    for _ in range(MAX_ATTEMPTS):
        if await cause_or_answer(application, ask(ca, GOOD, SHA256)) == "hash_algorithm":
            break
        await asyncio.sleep(0.02)
    assert await cause_of(application, ask(ca, GOOD, SHA256)) == (Unauthorized, "hash_algorithm")
    assert (await application.resolver.resolve(ask(ca, GOOD))).body


async def cause_or_answer(application: Application, request: OCSPRequest) -> str:
    try:
        await application.resolver.resolve(request)
    except (TryLater, Unauthorized) as refused:
        return refused.cause
    return "answer"


@pytest.mark.conformance("Q-07")
async def test_several_certids(application: Application, ca: CA) -> None:
    """Q-07: forms of one certificate are answered, different certificates are not."""
    sha1 = ca.issuer.id.encode_cert_id(SHA1, serial_from_int(GOOD))
    sha256 = ca.issuer.id.encode_cert_id(SHA256, serial_from_int(GOOD))
    other = ca.issuer.id.encode_cert_id(SHA1, serial_from_int(REVOKED))
    stranger = CA("demo").issuer.id.encode_cert_id(SHA1, serial_from_int(GOOD))
    for cert_ids in ((sha1, sha256), (sha256, sha1), (sha1, sha1)):
        answer = await application.resolver.resolve(request_for(*cert_ids))
        single = await application.resolver.resolve(request_for(cert_ids[0]))
        assert answer.body == single.body
    for cert_ids in ((sha1, other), (sha1, stranger), (stranger, sha1)):
        cause = await cause_of(application, request_for(*cert_ids))
        assert cause == (Unauthorized, "several_certificates")


@pytest.mark.conformance("R-11")
@pytest.mark.invariant("C4")
async def test_absent_is_not_unissued(application: Application, ca: CA, shelf: Shelf) -> None:
    """C4: a page without header, without all its records, or gone."""
    key = shelf.key_of(GOOD)
    header = shelf.header_of(GOOD)
    shelf.client.hdel(key, serial_from_int(GOOD))
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "page_incomplete")
    shelf.client.hset(key, b"\x01other", b"x")
    assert await cause_of(application, ask(ca, GOOD)) == (Unauthorized, "no_record")
    shelf.client.hset(key, HEADER_FIELD, b"\x01")
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "page_incomplete")
    shelf.client.hset(key, HEADER_FIELD, b"\x02" + header[1:])
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "page_incomplete")
    shelf.client.hdel(key, HEADER_FIELD)
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "page_incomplete")
    shelf.client.delete(key)
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "page_incomplete")


async def test_a_record_added_to_what_was_left_of_a_page_makes_no_page(
    application: Application, ca: CA, shelf: Shelf
) -> None:
    """C4: after the loss of a page one appended record must not make the others unissued."""
    key = shelf.key_of(GOOD)
    shelf.client.delete(key)
    shelf.client.hset(key, serial_from_int(GOOD), shelf.records[serial_from_int(GOOD)])
    assert (await application.resolver.resolve(ask(ca, GOOD))).body
    neighbour = next(n for n in range(GOOD + 1, GOOD + 999) if shelf.key_of(n) == key)
    assert await cause_of(application, ask(ca, neighbour)) == (TryLater, "page_incomplete")


async def test_a_new_page_epoch_is_taken_up(application: Application, ca: CA, shelf: Shelf) -> None:
    fresh = 0x77
    old_pages = [shelf.key_of(serial) for serial in (GOOD, REVOKED, GOOD_TOO)]
    shelf.page_epoch = 2
    shelf.put(good(fresh))
    assert (await resolve_eventually(application, ask(ca, fresh))).body
    shelf.client.delete(*old_pages)
    assert (await application.resolver.resolve(ask(ca, GOOD))).body
    assert await cause_of(application, ask(ca, GOOD + 1)) == (Unauthorized, "no_record")


@pytest.mark.invariant("C4")
async def test_an_epoch_that_changes_during_a_lookup_is_looked_up_again(
    application: Application, ca: CA, shelf: Shelf
) -> None:
    """C4: what is missing from a page of the old epoch may be in the new one."""
    fresh = 0x77
    lookup = asyncio.ensure_future(application.resolver.resolve(ask(ca, fresh)))
    await asyncio.sleep(0)  # it is under way
    shelf.page_epoch = 2
    shelf.put(good(fresh))
    assert ocsp.load_der_ocsp_response((await lookup).body).serial_number == fresh


@pytest.mark.conformance("R-20")
async def test_a_revocation_is_served_at_once(application: Application, ca: CA, shelf: Shelf) -> None:
    assert not (await application.resolver.resolve(ask(ca, GOOD))).revoked
    shelf.put(revoked(GOOD))
    for _ in range(MAX_ATTEMPTS):
        if (await application.resolver.resolve(ask(ca, GOOD))).revoked:
            return
        await asyncio.sleep(0.002)  # until the invalidation was read
    raise AssertionError("it is answered good after its revocation")


async def test_equal_lookups_share_one_command(application: Application, ca: CA, client: redis.Redis) -> None:
    def lookups() -> int:
        return int(client.info("commandstats")["cmdstat_hget"]["calls"])

    await application.resolver.resolve(ask(ca, REVOKED))
    before = lookups()
    answers = await asyncio.gather(*(application.resolver.resolve(ask(ca, GOOD)) for _ in range(50)))
    assert len({answer.body for answer in answers}) == 1
    assert lookups() == before + 1


async def test_a_missing_issuer_is_a_fault(application: Application, ca: CA, shelf: Shelf) -> None:
    shelf.client.delete(issuer_key(ca.name))
    for _ in range(MAX_ATTEMPTS):
        if await cause_or_answer(application, ask(ca, GOOD)) == "issuer_missing":
            break
        await asyncio.sleep(0.02)
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "issuer_missing")
    shelf.publish()
    assert (await resolve_eventually(application, ask(ca, GOOD))).body


@pytest.mark.conformance("R-11")
async def test_a_flushed_store_is_a_fault(application: Application, ca: CA, shelf: Shelf) -> None:
    shelf.client.flushall()
    assert (await cause_of(application, ask(ca, GOOD)))[0] is TryLater
    assert (await cause_of(application, ask(ca, GOOD + 1)))[0] is TryLater


@pytest.mark.invariant("C2")
async def test_the_stores_issuer_must_be_the_pinned_one(
    application: Application, ca: CA, shelf: Shelf
) -> None:
    impostor = Shelf(CA(ca.name, ca.subject), shelf.client)
    shelf.client.flushall()
    impostor.put(good(GOOD))
    await settle(application, shelf)
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "issuer_wrong")


async def settle(application: Application, shelf: Shelf) -> None:
    """Wait until a change of the issuer's record was read."""
    shelf.client.ping()
    for _ in range(5):
        await asyncio.sleep(0.02)
        await application.issuers.settled()


@pytest.mark.conformance("D-01")
@pytest.mark.invariant("B5", "C2", "G3")
@pytest.mark.parametrize(
    "fault", ["stranger", "not-for-ocsp", "wrong-key-hash", "expired", "ca-hash-of-delegate"]
)
async def test_templates_of_other_signers_are_refused(
    application: Application, ca: CA, shelf: Shelf, fault: str, clock: FakeClock
) -> None:
    """C2: tied to the pinned CA by a certificate that it issued for OCSP signing."""
    key = ca.responder_key
    template = {
        "stranger": lambda: template_of(CA("demo", ca.subject).delegate(key)),
        "not-for-ocsp": lambda: template_of(ca.delegate(key, for_ocsp=False)),
        "wrong-key-hash": lambda: template_of(ca.responder_certificate, key_hash=bytes(20)),
        "expired": lambda: template_of(ca.delegate(key, days=2)),
        "ca-hash-of-delegate": lambda: template_of(ca.responder_certificate, embed=False),
    }[fault]()
    clock.seconds = NOW + 2 * 86400 if fault == "expired" else NOW
    shelf.client.set(template_key(TEMPLATE_NUMBER), template.encode())
    await settle(application, shelf)
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "template_untrusted")


async def test_a_missing_or_damaged_template_is_a_fault(
    application: Application, ca: CA, shelf: Shelf
) -> None:
    shelf.client.set(template_key(TEMPLATE_NUMBER), b"\x30\x03\x02\x01\x01")
    await settle(application, shelf)
    assert (await cause_of(application, ask(ca, GOOD)))[0] is TryLater
    shelf.client.delete(template_key(TEMPLATE_NUMBER))
    await settle(application, shelf)
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "template_missing")


@pytest.mark.conformance("D-09")
async def test_a_template_of_the_ca_itself_is_trusted(application: Application, ca: CA, shelf: Shelf) -> None:
    direct = CA("demo", ca.subject, ca.key)
    direct.certificate, direct.issuer = ca.certificate, ca.issuer
    direct.responder_key = ca.key
    for embed in (True, False):
        direct.template = template_of(ca.certificate, embed=embed)
        shelf.ca = direct
        shelf.client.flushall()
        shelf.records.clear()
        shelf.put(good(GOOD))
        await settle(application, shelf)
        answer = await resolve_eventually(application, ask(ca, GOOD))
        assert len(ocsp.load_der_ocsp_response(answer.body).certificates) == int(embed)


@pytest.mark.conformance("A-05")
@pytest.mark.invariant("C2")
async def test_forged_records_are_found_by_their_signature(
    application: Application, ca: CA, shelf: Shelf, counters: Counters
) -> None:
    """C2: a checksum can be forged by who writes into the store, a signature cannot."""
    forger = CA("demo", ca.subject)
    forger.issuer, forger.template = ca.issuer, ca.template
    serial = serial_from_int(REVOKED)
    shelf.client.hset(shelf.key_of(REVOKED), serial, forger.record(good(REVOKED)))
    await settle(application, shelf)
    assert await cause_of(application, ask(ca, REVOKED)) == (TryLater, "bad_signature")
    assert await cause_of(application, ask(ca, REVOKED)) == (TryLater, "bad_signature")
    assert counters.value("ocsp_signature_checks_total", "failed") == 2
    assert (await application.resolver.resolve(ask(ca, GOOD))).body


async def test_no_damaged_record_is_answered(application: Application, ca: CA, shelf: Shelf) -> None:
    """C1, C2: every bit flipped, every truncation, nothing, one octet, 64 KiB."""
    key, serial = shelf.key_of(GOOD), serial_from_int(GOOD)
    whole = shelf.records[serial]
    flipped = [
        whole[:index] + bytes([whole[index] ^ 1 << bit]) + whole[index + 1 :]
        for index in range(len(whole))
        for bit in range(8)
        if index < 16 or (index + bit) % 5 == 0
    ]
    for damaged in [*flipped, *(whole[:size] for size in range(0, len(whole), 7)), bytes(65536)]:
        shelf.client.hset(key, serial, damaged)
        refused = await cause_or_answer(application, ask(ca, GOOD))
        assert refused in ("record_damaged", "unknown_format", "unknown_slot", "store_down", "no_signature")
    shelf.client.hset(key, serial, whole)
    assert (await resolve_eventually(application, ask(ca, GOOD))).body


@pytest.mark.invariant("C1")
async def test_exchanged_records_are_not_answered(application: Application, ca: CA, shelf: Shelf) -> None:
    """C1: the record of another serial, or of another issuer's same serial."""
    shelf.client.hset(shelf.key_of(REVOKED), serial_from_int(REVOKED), shelf.records[serial_from_int(GOOD)])
    assert await cause_of(application, ask(ca, REVOKED)) == (TryLater, "record_damaged")
    other = CA("demo", "Another name", ca.key)
    other.template, other.responder_key = ca.template, ca.responder_key
    await resolve_eventually(application, ask(ca, GOOD_TOO))
    shelf.client.hset(shelf.key_of(REVOKED), serial_from_int(REVOKED), other.record(good(REVOKED)))
    assert await cause_of(application, ask(ca, REVOKED)) == (TryLater, "record_damaged")


@pytest.mark.invariant("C1")
async def test_a_damaged_record_condemns_its_connection(
    application: Application, ca: CA, shelf: Shelf, counters: Counters
) -> None:
    shelf.client.hset(shelf.key_of(GOOD), serial_from_int(GOOD), ca.record(good(GOOD))[:-1] + b"\0")
    assert counters.value("store_connections_total") == 1
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "record_damaged")
    assert not (await resolve_eventually(application, ask(ca, GOOD_TOO))).revoked
    assert counters.value("store_connections_total") == 2


async def test_an_unknown_slot_makes_the_issuer_be_read_again(
    application: Application, ca: CA, shelf: Shelf, counters: Counters
) -> None:
    loads = counters.value("ocsp_issuer_reloads_total")
    other_slot = dataclasses.replace(shelf.issuer_record(), templates={SLOT + 1: TEMPLATE_NUMBER})
    PageWriter(shelf.client, "test").write_issuer(ca.name, other_slot)
    shelf.client.hdel(issuer_key(ca.name), f"template:{SLOT}")
    await settle(application, shelf)
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "unknown_slot")
    assert counters.value("ocsp_issuer_reloads_total") > loads


async def test_a_record_without_the_signature_asked_for_is_a_fault(
    application: Application, ca: CA, shelf: Shelf
) -> None:
    shelf.client.hset(shelf.key_of(GOOD), serial_from_int(GOOD), ca.record(good(GOOD), (SHA1,)))
    assert await cause_of(application, ask(ca, GOOD, SHA256)) == (TryLater, "no_signature")
    assert (await application.resolver.resolve(ask(ca, GOOD, SHA1))).body


async def test_a_key_of_another_type_is_a_fault(application: Application, ca: CA, shelf: Shelf) -> None:
    shelf.client.set(shelf.key_of(GOOD), b"not a hash")
    assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "store_error")


async def test_headers_count_as_they_are_written(shelf: Shelf) -> None:
    """The premise of the completeness check: fields = count + 1."""
    key = shelf.key_of(GOOD)
    header = PageHeader.decode(shelf.header_of(GOOD))
    assert shelf.client.hlen(key) == header.count + 1
