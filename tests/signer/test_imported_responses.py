"""`import-signed` of OCSP responses: made by cryptography and by `openssl ocsp`, refused or kept, written, told of, audited."""

import json
import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from _fastpath.certid import SHA1, SHA256, serial_from_int
from _fastpath.imported import decode_imported_record, encode_imported_record
from _fastpath.page import HEADER_FIELD, PageHeader, hash32
from signer.audit.patience import Patience
from signer.audit.whole import Request
from signer.commands import audit as audit_command
from signer.commands.ledger import backup
from signer.commands.restore import Sources, restore
from signer.commands.signed import import_signed
from signer.commands.signing import sign
from signer.commands.status import status
from signer.context import Context
from signer.lateness import Lateness
from signer.ledger.values import CertificateRow, Revocation
from signer.run import Runner
from store.errors import ConfigError, OcspeedError, UsageError
from store.schema import page_key
from tests.responder.conftest import wait_until
from tests.signer.ledgers import revoke
from tests.signer.works import FakeClock
from tests.store.offline import DAY, NOW, OfflineCA, moment, now, pem

CONFIG = """\
[store]
url = "{store}"
[signer]
workers = 1
admin = ""
[[issuer]]
name = "root"
certificate = "ca.pem"
ocsp = {{ responses = "imported" }}
crl = {{ offline = true, full_url = "http://crl.example/full.crl" }}
"""
KINDS = ["p256", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("rsa", "ed25519"))]
FIRST, SECOND, STRANGER = 0x1001, 0x1002, 0x1003
ROOT = OfflineCA()
DELEGATE_KEY = ec.generate_private_key(ec.SECP256R1())
DELEGATE = (ROOT.delegate(DELEGATE_KEY), DELEGATE_KEY)


@dataclass
class Ceremony:
    """The directory of ocsp.toml, a ledger with two certificates, and the commands over them."""

    ca: OfflineCA
    directory: Path
    clock: FakeClock
    capsys: pytest.CaptureFixture[str]
    written: int = 0

    @property
    def config(self) -> Path:
        return self.directory / "ocsp.toml"

    def open(self) -> Context:
        return Context.open(self.config, self.clock, create_ledger=True)

    def file(self, body: bytes, name: str = "") -> Path:
        self.written += 1
        path = self.directory / (name or f"{self.written}.der")
        path.write_bytes(body)
        return path

    def bring(self, *bodies: bytes) -> list[Any]:
        return self.bring_files(*(self.file(body) for body in bodies))

    def bring_files(self, *paths: Path) -> list[Any]:
        self.capsys.readouterr()
        assert import_signed(self.config, paths, issuer="root", as_json=True, clock=self.clock) == 0
        return [json.loads(line) for line in self.capsys.readouterr().out.splitlines() if line[0] == "{"]

    def refused(self, *bodies: bytes) -> str:
        """Nothing is half-written."""
        before = self.kept()
        with pytest.raises(OcspeedError) as caught:
            self.bring(*bodies)
        assert self.kept() == before
        assert caught.value.remedy
        return caught.value.message

    def kept(self) -> Any:
        with self.open() as context:
            return context.ledger.answered(context.ledger_issuer("root").id)

    def sign(self) -> dict[bytes, dict[int, bytes]]:
        """One pass; what the store has then, by serial and hash algorithm."""
        assert sign(self.config, everything=False, issuer=None, workers=1, as_json=True, quiet=True) == 0
        with self.open() as context:
            fields: Any = context.client.hgetall(page_key("root", 1, 0))
            header = PageHeader.decode(fields.pop(HEADER_FIELD))
            assert header.count == len(fields)
            assert header.revoked_count == sum(record[0] & 1 for record in fields.values())
        return {
            serial: decode_imported_record(self.ca.issuer.id, serial, record)
            for serial, record in fields.items()
        }

    def audit(self) -> dict[str, Any]:
        self.capsys.readouterr()
        code = audit_command.audit(
            self.config,
            Request(full=True),
            issuer="root",
            report=None,
            as_json=True,
            quiet=True,
            clock=self.clock,
            patience=Patience(lambda seconds: None),
        )
        found: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        assert code == int(not found["clean"])
        return {one["kind"]: one for one in found["findings"] if not one["kind"].startswith("crl")}

    def status(self) -> dict[str, Any]:
        self.capsys.readouterr()
        status(self.config, as_json=True, clock=self.clock)
        found: dict[str, Any] = json.loads(self.capsys.readouterr().out)["issuers"][0]
        return found


def set_up(ca: OfflineCA, directory: Path, store_url: str, capsys: pytest.CaptureFixture[str]) -> Ceremony:
    profile = 'profile = "private"\n' if ca.kind == "ed25519" else ""
    (directory / "ocsp.toml").write_text(profile + CONFIG.format(store=store_url))
    (directory / "ca.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    ceremony = Ceremony(ca, directory, FakeClock(now() + 60), capsys)
    with ceremony.open() as context:
        rows = [
            CertificateRow(hash32(serial), serial, NOW + 3000 * DAY, None, 0)
            for serial in (serial_from_int(FIRST), serial_from_int(SECOND))
        ]
        issuer = context.ledger_issuer("root")
        assert issuer.page_bits == 0
        context.ledger.add_certificates(issuer.id, sorted(rows), NOW)
    return ceremony


@pytest.fixture
def ceremony(tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]) -> Ceremony:
    return set_up(ROOT, tmp_path, store_url, capsys)


@pytest.mark.conformance("R-03", "R-19", "R-20")
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_kept_written_and_found_right(
    kind: str, tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ca = OfflineCA(kind)
    ceremony = set_up(ca, tmp_path, store_url, capsys)
    first, other = ca.response(FIRST), ca.response(FIRST, SHA256, days=300)
    gone = ca.response(SECOND, revoked=NOW - DAY)
    found = ceremony.bring(first, other, gone)
    assert [(one["status"], one["serial"], one["certid_hash"], one["certificate"]) for one in found] == [
        ("imported", "1001", "sha1", "good"),
        ("imported", "1001", "sha256", "good"),
        ("imported", "1002", "sha1", "revoked"),
    ]
    wanted = {b"\x10\x01": {SHA1: first, SHA256: other}, b"\x10\x02": {SHA1: gone}}
    assert ceremony.sign() == wanted
    assert ceremony.audit() == {}
    assert [one["status"] for one in ceremony.bring(first, other, gone)] == ["current"] * 3
    newer = ca.response(FIRST, this_update=NOW - 60)
    assert ceremony.bring(newer)[0]["status"] == "imported"
    assert set(ceremony.audit()) == {"status"}
    assert ceremony.sign()[b"\x10\x01"] == {SHA1: newer, SHA256: other}
    with ceremony.open() as context:
        known = context.ledger.find(context.ledger_issuer("root").id, b"\x10\x02")
        assert known is not None and (known.revocation_time, known.reason) == (NOW - DAY, 4)
        events = [one.detail for one in context.ledger.journal_entries() if one.event == "import-signed"]
        assert [(one["serial"], one["certid_hash"]) for one in events] == [
            ("1001", "sha1"),
            ("1001", "sha256"),
            ("1002", "sha1"),
            ("1001", "sha1"),
        ]
        context.client.flushdb(asynchronous=False)
    assert ceremony.sign() == wanted | {b"\x10\x01": {SHA1: newer, SHA256: other}}


HOSTILE: dict[str, tuple[Any, str]] = {
    "not recorded": (
        lambda: ROOT.response(STRANGER),
        "certID: serial 1003 is no certificate that the ledger knows",
    ),
    "another issuer": (
        lambda: ROOT.response(FIRST, issuer=OfflineCA(subject="Another").issuer),
        "certID: its issuer is not root",
    ),
    "forged": (
        lambda: ROOT.response(FIRST).replace(b"\x02\x02\x10\x01", b"\x02\x02\x10\x02"),
        "signature: not that of CN=Offline root",
    ),
    "a damaged certificate in it": (
        lambda: ROOT.response(FIRST).replace(b"Offline root", b"Offline rooT"),
        "certs: the responder certificate is not one of the CA",
    ),
    "unsigned": (lambda: ROOT.response(FIRST, embeds=False)[:-8] + bytes(8), "signature: not that of"),
    "nonce": (
        lambda: ROOT.response(FIRST, extension=x509.OCSPNonce(bytes(16))),
        "responseExtensions: a nonce",
    ),
    "octets after the end": (lambda: ROOT.response(FIRST) + b"x", "OCSPResponse: cannot be read"),
    "an error": (lambda: bytes.fromhex("30030a0106"), "responseStatus: unauthorized"),
    "ended": (
        lambda: ROOT.response(FIRST, this_update=now() - 20 * DAY + 100, days=20),
        "nextUpdate: it ended at",
    ),
    "years": (lambda: ROOT.response(FIRST, days=367), "nextUpdate: more than twelve months"),
    "beyond the responder": (
        lambda: ROOT.response(FIRST, signer=(ROOT.delegate(DELEGATE_KEY, days=60), DELEGATE_KEY)),
        "is beyond the certificate of CN=Responder",
    ),
    "by name": (lambda: ROOT.response(FIRST, by_name=True), "responderID: byName"),
    "CA compromise": (
        lambda: ROOT.response(FIRST, revoked=NOW - DAY, reason=x509.ReasonFlags.ca_compromise),
        "revocationReason: 2 is none of",
    ),
    "revoked in the future": (lambda: ROOT.response(FIRST, revoked=NOW), "revocationTime: after thisUpdate"),
}


@pytest.mark.conformance("Q-04", "R-06", "R-08", "R-11", "R-17", "R-19", "R-21", "R-24", "D-01")
def test_hostile_files_are_refused_by_name_and_field(ceremony: Ceremony) -> None:
    """Of good ones beside them nothing is kept."""
    good = ROOT.response(SECOND)
    for case, (make, message) in HOSTILE.items():
        told = ceremony.refused(good, make())
        assert told.startswith(f"{ceremony.directory}/{ceremony.written}.der: ") and message in told, case


@pytest.mark.conformance("R-18", "R-20", "R-21")
def test_nothing_goes_back(ceremony: Ceremony) -> None:
    """A1, A6: neither thisUpdate nor a revocation, whoever told of it."""
    older, newer = ROOT.response(FIRST, this_update=NOW - 7200), ROOT.response(FIRST)
    assert "thisUpdate: " in ceremony.refused(newer, older)
    ceremony.bring(newer)
    assert "is not after" in ceremony.refused(older)
    gone = ROOT.response(SECOND, revoked=NOW - DAY, this_update=NOW - 7200)
    ceremony.bring(gone)
    assert "certStatus: good, but it was revoked" in ceremony.refused(ROOT.response(SECOND))
    assert "certStatus: good, but it was revoked" in ceremony.refused(ROOT.response(SECOND, SHA256))
    assert "revokedInfo: " in ceremony.refused(ROOT.response(SECOND, revoked=NOW - DAY + 60))
    earlier = ROOT.response(SECOND, revoked=NOW - 2 * DAY)
    assert ceremony.bring(earlier)[0]["status"] == "imported"


@pytest.mark.conformance("R-11", "R-20")
def test_what_the_ledger_revokes_is_not_answered_as_good(ceremony: Ceremony) -> None:
    """A1, A8: until the CA signs that it is revoked, nothing is said; and somebody is told."""
    ceremony.bring(ROOT.response(FIRST), ROOT.response(SECOND))
    assert len(ceremony.sign()) == 2 and ceremony.audit() == {}
    with ceremony.open() as context:
        asked = [Revocation(b"\x10\x01", NOW - DAY, 4)]
        revoke(context.ledger, context.ledger_issuer("root").id, asked, NOW)
    assert set(ceremony.audit()) == {"unsigned"}
    assert list(ceremony.sign()) == [b"\x10\x02"]
    assert ceremony.audit() == {}
    assert ceremony.status()["revoked_without_response"] == 1
    told = ROOT.response(FIRST, this_update=NOW - 60, revoked=NOW - DAY)
    ceremony.bring(told)
    assert ceremony.sign()[b"\x10\x01"] == {SHA1: told}
    assert ceremony.status()["revoked_without_response"] == 0


@pytest.mark.conformance("R-19")
def test_their_end_is_told_of_in_time(ceremony: Ceremony) -> None:
    """G6: 60 days ahead, or half of their life."""
    ceremony.bring(ROOT.response(FIRST, days=300), ROOT.response(SECOND, SHA256, days=90))
    ceremony.sign()
    ceremony.clock.pass_time(44 * DAY)
    assert ceremony.status()["imported_ending"] == 0
    ceremony.clock.pass_time(2 * DAY)
    assert ceremony.status()["imported_ending"] == 1
    ceremony.clock.pass_time(195 * DAY)
    found = ceremony.status()
    assert (found["imported_responses"], found["imported_ending"]) == (2, 2)
    assert ceremony.audit()["overdue"]["count"] == 1
    told = [words for _, words in alarms(ceremony)]
    assert any("2 imported responses end soon" in words for words in told)


def alarms(ceremony: Ceremony) -> list[tuple[str, str]]:
    with ceremony.open() as context:
        lateness = Lateness(context.ledger, context.settings.root.issuer)
        return list(lateness.alarms(ceremony.clock.now()))


@pytest.mark.slow
def test_what_somebody_writes_into_the_store_is_found(ceremony: Ceremony) -> None:
    """C2, A2."""
    ceremony.bring(ROOT.response(FIRST), ROOT.response(SECOND))
    ceremony.sign()
    key = page_key("root", 1, 0)
    issuer = ROOT.issuer.id
    revoked = ROOT.response(FIRST, revoked=NOW - DAY)
    for record, kind in (
        (b"x", "record_damaged"),
        (encode_imported_record(issuer, b"\x10\x01", NOW, False, {SHA1: b"x"}), "signature"),
        (encode_imported_record(issuer, b"\x10\x01", NOW, True, {SHA1: revoked}), "revocation_unknown"),
    ):
        with ceremony.open() as context:
            before: Any = context.client.hget(key, b"\x10\x01")
            context.client.hset(key, b"\x10\x01", record)
        assert kind in ceremony.audit()
        with ceremony.open() as context:
            context.client.hset(key, b"\x10\x01", before)
    assert ceremony.audit() == {}


def test_they_are_brought_only_where_they_are_wanted(ceremony: Ceremony, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a CRL nor an OCSPResponse"):
        ceremony.bring(b"what")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="no files"):
        ceremony.bring_files(empty)
    os.mkfifo(empty / "fifo")
    with pytest.raises(UsageError, match=r"fifo: neither a regular file nor a directory") as caught:
        ceremony.bring_files(empty / "fifo")
    assert caught.value.remedy
    signed = ceremony.config.read_text().replace(
        'ocsp = { responses = "imported" }', "ocsp = { enabled = false }"
    )
    ceremony.config.write_text(signed)
    with pytest.raises(ConfigError, match="has no OCSP responses that are brought"):
        ceremony.bring(ROOT.response(FIRST))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["p256", "rsa"])
@pytest.mark.conformance("K-01", "R-03")
def test_responses_of_openssl_in_a_directory(
    kind: str, tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And two SingleResponses in one are refused."""
    ca = OfflineCA(kind)
    ceremony = set_up(ca, tmp_path, store_url, capsys)
    offline, responses = tmp_path / "offline", tmp_path / "responses"
    offline.mkdir()
    responses.mkdir()
    (offline / "key.pem").write_bytes(pem(ca.key))
    end = moment(NOW + 3000 * DAY).strftime("%y%m%d%H%M%SZ")
    revoked = moment(NOW - DAY).strftime("%y%m%d%H%M%SZ,superseded")
    lines = [f"V\t{end}\t\t1001\tunknown\t/CN=a\n", f"R\t{end}\t{revoked}\t1002\tunknown\t/CN=b\n"]
    (offline / "index.txt").write_text("".join(lines))

    def respond(name: Path, *what: str, encoding: tuple[str, ...] = ("-resp_key_id",)) -> Path:
        ca_file = str(tmp_path / "ca.pem")
        made = ["-index", str(offline / "index.txt"), "-CA", ca_file, "-rsigner", ca_file]
        how = ["-rkey", str(offline / "key.pem"), "-ndays", "90", *encoding, "-respout", str(name)]
        asked = ["-issuer", ca_file, "-no_nonce", *what]
        subprocess.run(["openssl", "ocsp", *made, *how, *asked], capture_output=True, timeout=30, check=True)
        return name

    respond(responses / "1.ors", "-sha1", "-serial", "0x1001")
    respond(responses / "2.ors", "-sha256", "-serial", "0x1001")
    respond(responses / "3.ors", "-sha256", "-serial", "0x1002")
    ceremony.clock.pass_time(60)
    found = ceremony.bring_files(responses)
    assert [(one["certid_hash"], one["certificate"]) for one in found] == [
        ("sha1", "good"),
        ("sha256", "good"),
        ("sha256", "revoked"),
    ]
    assert ceremony.sign() == {
        b"\x10\x01": {SHA1: (responses / "1.ors").read_bytes(), SHA256: (responses / "2.ors").read_bytes()},
        b"\x10\x02": {SHA256: (responses / "3.ors").read_bytes()},
    }
    both = respond(offline / "both.ors", "-serial", "0x1001", "-serial", "0x1002")
    assert "responses: 2 SingleResponses, not one" in ceremony.refused(both.read_bytes())
    named = respond(offline / "name.ors", "-serial", "0x1001", encoding=())
    assert "responderID: byName" in ceremony.refused(named.read_bytes())


@pytest.mark.slow
def test_run_writes_what_is_brought(ceremony: Ceremony) -> None:
    """Also while it runs; the machine's clock is its own."""
    stop = threading.Event()
    runner = threading.Thread(target=Runner(ceremony.config).run, args=(stop,))
    runner.start()
    try:
        body = ROOT.response(FIRST)
        ceremony.bring(body)
        with ceremony.open() as context:
            key = page_key("root", 1, 0)
            wait_until(lambda: context.client.hget(key, b"\x10\x01") is not None, 60)
            stored: Any = context.client.hget(key, b"\x10\x01")
            assert decode_imported_record(ROOT.issuer.id, b"\x10\x01", stored) == {SHA1: body}
            context.client.delete(key)
            wait_until(lambda: context.client.hget(key, b"\x10\x01") == stored, 60)
    finally:
        stop.set()
        runner.join()


@pytest.mark.slow
@pytest.mark.conformance("R-20")
def test_an_older_ledger_gets_back_what_the_store_proves(ceremony: Ceremony) -> None:
    """A1, A2: revocations and responses that were brought after the backup."""
    first = ROOT.response(FIRST, this_update=NOW - 7200)
    ceremony.bring(first, ROOT.response(SECOND))
    ceremony.sign()
    copy = ceremony.directory / "backup.db"
    backup(ceremony.config, copy, as_json=True, quiet=True, clock=ceremony.clock)
    newer, gone = ROOT.response(FIRST), ROOT.response(SECOND, revoked=NOW - DAY, this_update=NOW - 60)
    ceremony.bring(newer, gone)
    before = ceremony.sign()
    assert before == {b"\x10\x01": {SHA1: newer}, b"\x10\x02": {SHA1: gone}}
    restore(ceremony.config, copy, Sources(crls=False), as_json=True, quiet=True, clock=ceremony.clock)
    with ceremony.open() as context:
        known = context.ledger.find(context.ledger_issuer("root").id, b"\x10\x02")
        assert known is not None and (known.revocation_time, known.reason) == (NOW - DAY, 4)
    assert {one.responses[0].body for one in ceremony.kept()[1]} == {newer, gone}
    assert ceremony.audit() == {}
