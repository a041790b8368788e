"""Responses that an offline CA signed, served whole out of a real store: both paths, real clients, and what is refused."""

import dataclasses
import hashlib
import subprocess
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import redis
from cryptography.hazmat.primitives.serialization import Encoding

from _fastpath.certid import SHA1, SHA256, serial_from_int
from _fastpath.imported import decode_imported_record, encode_imported_record
from _fastpath.ocsp import TRY_LATER, UNAUTHORIZED
from _fastpath.page import page_number
from responder.admin import check_readiness
from responder.config import load_settings
from responder.counters import Counters
from signer.audit.client import encode_request
from store.embedded import EmbeddedStore
from store.reader import StoreReader
from store.schema import Head, IssuerRecord, page_key
from store.writer import PagePut, PageWriter, PutStatus
from tests.responder.conftest import FakeClock, serving, wait_until
from tests.responder.test_http import raw, url_path
from tests.store.offline import DAY, NOW, OfflineCA, now

PAGE_BITS = 1
KINDS = ["p256", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("rsa", "ed25519"))]
SERIAL, GONE, ONLY_SHA256, STRANGER, WRONG = 0x5A17, 0x5A18, 0x5A19, 0x5A1A, 0x5A20


@dataclasses.dataclass
class Vault:
    """The pages of an offline CA, and a responder over them."""

    ca: OfflineCA
    client: redis.Redis
    port: int = 0
    generation: int = 0
    records: dict[bytes, bytes] = dataclasses.field(default_factory=dict)

    def put(self, serial: int, responses: dict[int, bytes], *, revoked: bool = False) -> None:
        number = serial_from_int(serial)
        self.records[number] = encode_imported_record(self.ca.issuer.id, number, NOW, revoked, responses)

    def publish(self) -> None:
        self.generation += 1
        writer = PageWriter(self.client, "test")
        pages: dict[int, dict[bytes, bytes]] = {number: {} for number in range(1 << PAGE_BITS)}
        for serial, record in self.records.items():
            pages[page_number(serial, PAGE_BITS)][serial] = record
        puts = [
            PagePut(page_key(self.ca.name, 1, number), self.generation, NOW, records)
            for number, records in pages.items()
        ]
        assert {result.status for result in writer.put_pages(puts)} == {PutStatus.WRITTEN}
        fingerprint = self.ca.issuer.id.fingerprint
        writer.write_issuer(self.ca.name, IssuerRecord(fingerprint, 1, PAGE_BITS, (SHA1, SHA256), {}))
        replication_id = StoreReader(self.client, "test").replication_id()
        writer.write_head(self.ca.name, Head(self.generation, replication_id))

    def ask(self, serial: int, algorithm: int = SHA1, headers: str = "") -> tuple[dict[str, str], bytes]:
        """By GET, as the fast path takes it, or with `headers`."""
        request = encode_request(self.ca.issuer.id, algorithm, serial_from_int(serial))
        lines = f"GET {url_path(request)} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n"
        head, _, body = raw(self.port, lines.encode()).partition(b"\r\n\r\n")
        fields = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        return {name.lower(): value for name, value in fields}, body


@pytest.fixture(scope="module", params=KINDS)
def offline(request: pytest.FixtureRequest) -> OfflineCA:
    return OfflineCA(request.param)


@pytest.fixture
def vault(offline: OfflineCA, client: redis.Redis, server: EmbeddedStore, tmp_path: Path) -> Iterator[Vault]:
    vault = Vault(offline, client)
    vault.put(SERIAL, {SHA1: offline.response(SERIAL), SHA256: offline.response(SERIAL, SHA256, days=30)})
    vault.put(GONE, {SHA1: offline.response(GONE, revoked=NOW - DAY)}, revoked=True)
    vault.put(ONLY_SHA256, {SHA256: offline.response(ONLY_SHA256, SHA256)})
    vault.publish()
    (tmp_path / "ca.pem").write_bytes(offline.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "objects").mkdir()
    config = tmp_path / "ocsp.toml"
    config.write_text(
        f'[store]\nurl = "{server.url}"\n[responder]\nlookup_timeout_ms = 5000\n'
        '[[issuer]]\nname = "root"\ncertificate = "ca.pem"\n'
    )
    clock = FakeClock()
    clock.seconds = now() + 60
    with serving(load_settings(config), Counters.private(), clock) as vault.port:
        yield vault


@pytest.mark.conformance("Q-01", "H-02", "H-03", "H-04", "H-07", "H-08", "H-09")
def test_they_are_served_octet_for_octet(vault: Vault) -> None:
    """Also out of the cache, and by the slow path, which takes long heads."""
    record = vault.records[serial_from_int(SERIAL)]
    responses = decode_imported_record(vault.ca.issuer.id, serial_from_int(SERIAL), record)
    for algorithm, days in ((SHA1, 90), (SHA256, 30)):
        headers, body = vault.ask(SERIAL, algorithm)
        assert body == responses[algorithm]
        assert headers["etag"] == f'"{hashlib.sha256(body).hexdigest()}"'
        expires = int(parsedate_to_datetime(headers["expires"]).timestamp())
        assert expires == NOW - 3600 + days * DAY - 1
        assert headers["cache-control"] == "max-age=3600, public, no-transform, must-revalidate"
        assert vault.ask(SERIAL, algorithm) == (headers, body)
        assert vault.ask(SERIAL, algorithm, f"X-Long: {'x' * 5000}\r\n") == (headers, body)
        not_modified, nothing = vault.ask(SERIAL, algorithm, f"If-None-Match: {headers['etag']}\r\n")
        assert not_modified["etag"] == headers["etag"] and nothing == b""


@pytest.mark.conformance("K-01", "R-03")
def test_openssl_takes_them(vault: Vault, tmp_path: Path) -> None:
    for serial, digest, status in (
        (SERIAL, "sha1", "good"),
        (SERIAL, "sha256", "good"),
        (GONE, "sha1", "revoked"),
        (ONLY_SHA256, "sha256", "good"),
    ):
        ca = ["-issuer", str(tmp_path / "ca.pem"), "-CAfile", str(tmp_path / "ca.pem")]
        what = [f"-{digest}", "-serial", f"0x{serial:x}", "-url", f"http://127.0.0.1:{vault.port}"]
        done = subprocess.run(
            ["openssl", "ocsp", *ca, *what], capture_output=True, text=True, timeout=30, check=True
        )
        assert f"0x{serial:x}: {status}" in done.stdout and "Response verify OK" in done.stderr


@pytest.mark.parametrize("offline", ["p256"], indirect=True)
def test_an_issuer_without_templates_is_ready(vault: Vault, tmp_path: Path) -> None:
    settings, clock = load_settings(tmp_path / "ocsp.toml"), FakeClock()
    clock.seconds = now()
    assert check_readiness(settings, clock).issuers == {"root": "ok"}
    vault.client.delete(page_key("root", 1, 0))
    assert "page 0 has no header" in check_readiness(settings, clock).issuers["root"]


@pytest.mark.conformance("Q-05", "R-08", "R-11", "H-06")
@pytest.mark.parametrize("offline", ["p256"], indirect=True)
def test_what_was_not_imported_is_not_answered(vault: Vault) -> None:
    """Of a certificate imported for the other algorithm it is as of a record without that signature."""
    assert vault.ask(ONLY_SHA256, SHA1)[1] == TRY_LATER
    assert vault.ask(STRANGER)[1] == UNAUTHORIZED


def wrongs(ca: OfflineCA) -> dict[str, tuple[dict[int, bytes], bool]]:
    """Responses of a record, of serials from WRONG on, and whether it says revoked."""
    stranger = OfflineCA(ca.kind)
    good = ca.response(WRONG + 4, embeds=False)
    return {
        "of another certificate": ({SHA1: ca.response(SERIAL)}, False),
        "by the other algorithm": ({SHA1: ca.response(WRONG + 1, SHA256)}, False),
        "of another CA": (
            {SHA1: stranger.response(WRONG + 2, issuer=ca.issuer, embeds=False, by_name=True)},
            False,
        ),
        "another status": ({SHA1: ca.response(WRONG + 3)}, True),
        "damaged": ({SHA1: good[:-1] + bytes([good[-1] ^ 1])}, False),
        "octets": ({SHA1: b"x"}, False),
        "ends in a minute": (
            {SHA1: ca.response(WRONG + 6, this_update=now() - 9 * DAY + 110, days=9)},
            False,
        ),
    }


@pytest.mark.conformance("R-11", "R-20")
@pytest.mark.invariant("C1", "C2")
@pytest.mark.parametrize("offline", ["p256"], indirect=True)
def test_what_must_not_be_served_is_not(vault: Vault) -> None:
    """A8, B1, C1, C2: whoever wrote it into the store with a right checksum."""
    cases = wrongs(vault.ca)
    for number, (responses, revoked) in enumerate(cases.values()):
        vault.put(WRONG + number, responses, revoked=revoked)
    vault.publish()
    for number, case in enumerate(cases):
        assert vault.ask(WRONG + number)[1] == TRY_LATER, case


@pytest.mark.conformance("R-11")
@pytest.mark.parametrize("offline", ["p256"], indirect=True)
def test_a_newer_one_takes_the_place_of_the_one_in_the_cache(vault: Vault) -> None:
    assert vault.ask(SERIAL)[1] != TRY_LATER
    newer = vault.ca.response(SERIAL, this_update=NOW - 60)
    vault.put(SERIAL, {SHA1: newer})
    vault.publish()
    wait_until(lambda: vault.ask(SERIAL)[1] == newer)
