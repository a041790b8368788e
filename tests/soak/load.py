"""A CA at work and clients that ask, both for ever; and a plain model of what each answer may say.

How soon the store has what the intake acknowledged depends on how busy the machine is, and is told; from then on a
second is enough (A1).
"""

import datetime
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from _fastpath.certid import SHA1, SHA256
from _fastpath.page import page_number
from signer.audit.client import Client, encode_request
from store.asking import AskFailed
from store.model import REASON_NUMBERS, load_certificate
from store.schema import page_key
from store.text import rfc3339
from tests.soak.clock import LEAP
from tests.soak.town import PAGE_BITS, TOKEN, Town

__all__ = ["BOUND", "Load"]

BOUND = 1.0  # seconds from the write to every answer of a connected responder (A1)
MARGIN = 60  # seconds before nextUpdate from which on nothing is sent
AHEAD = 5  # seconds that thisUpdate may be after the time at which the answer came
LIVES = 6 * 3600, 12 * 3600  # of certificates: minutes, as the clock leaps
KEPT = 1_500  # certificates that are asked for: the newest, of which most have not ended
ISSUE, REVOKE, AGAIN = 0.6, 0.3, 0.1  # shares of what the CA does
DEED_PAUSE, ASK_PAUSE, CRL_PAUSE, WATCH_PAUSE = 0.05, 0.004, 3.0, 0.02
REASONS = ("unspecified", "superseded", "cessationOfOperation", "affiliationChanged")
KEY_COMPROMISE = 1


@dataclass(slots=True)
class Certificate:
    """What the intake said of it, and when, by the monotonic clock; and since when the store is known to have it."""

    serial: bytes
    not_after: int
    issued: float
    stored: float | None = None
    stored_revoked: float | None = None
    touched: bool = (
        False  # a revocation was asked for: whether it is recorded is known once it is acknowledged
    )
    revoked: float | None = None
    state: tuple[int, int] | None = None  # (revocation time, reason) as acknowledged last


@dataclass(slots=True)
class Counts:
    """What came of it; `bad` has what must not be, in words."""

    deeds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    crls: int = 0
    hindered: int = 0  # good answers about revoked certificates, while what carries revocations was away
    latest_good: float = 0.0  # seconds from the write to the request, while nothing was away
    waits: list[float] = field(default_factory=list)  # seconds from acknowledgement to the write, likewise
    bad: list[str] = field(default_factory=list)

    def described(self) -> dict[str, object]:
        """For whoever keeps it."""
        waits = sorted(self.waits)
        return {
            "deeds": dict(self.deeds),
            "answers": dict(self.answers),
            "crls": self.crls,
            "good_while_hindered": self.hindered,
            "latest_good_seconds": round(self.latest_good, 3),
            "revoked_to_stored_seconds": {
                name: round(waits[int(share * (len(waits) - 1))], 3)
                for name, share in (("median", 0.5), ("p99", 0.99), ("worst", 1.0))
            },
            "bad": self.bad,
        }


class Load:
    """Works from the begin to the end of a `with`."""

    def __init__(self, town: Town, seed: int) -> None:
        self.counts = Counts()
        self._town = town
        self._seed = seed
        self._stop = threading.Event()
        self._known: list[Certificate] = []
        self._awaited = deque[Certificate]()  # in the store, as they are recorded
        self._errors: list[BaseException] = []
        self._issuer = town.works.context.issuer("demo").id
        key = load_certificate(town.works.directory / "responder.pem").public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self._key = key
        self._ca = load_certificate(town.works.directory / "ca.pem")
        works: list[Callable[[], None]] = [self._issue_and_revoke, self._watch, self._fetch_crls]
        works += [lambda port=port: self._ask(port) for port in town.ports]  # type: ignore[misc]
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self._errors, self._errors

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)

    # The CA

    def _issue_and_revoke(self) -> None:
        chooser = random.Random(self._seed)
        while not self._stop.wait(DEED_PAUSE):
            kind = chooser.random()
            try:
                if kind < ISSUE or len(self._known) < 50:
                    self._issue(chooser)
                else:
                    self._revoke(chooser, again=kind > ISSUE + REVOKE)
            except (OSError, HTTPException):  # the signer is away: whether it recorded it nobody knows
                self.counts.deeds["unknown"] += 1

    def _issue(self, chooser: random.Random) -> None:
        serial = b"\x5a" + chooser.randbytes(15)
        end = self._town.clock.now() + chooser.randint(*LIVES)
        self._post("certificates", {"serial": serial.hex(), "not_after": rfc3339(end)})
        self._known.append(Certificate(serial, end, time.monotonic()))
        self._awaited.append(self._known[-1])
        del self._known[:-KEPT]
        self.counts.deeds["issued"] += 1

    def _revoke(self, chooser: random.Random, *, again: bool) -> None:
        now = self._town.clock.now()
        living = [one for one in self._known if one.not_after > now + 2 * LEAP]
        chosen = [one for one in living if (one.revoked is not None) == again]
        if not chosen:
            return
        one = chooser.choice(chosen)
        reason = "keyCompromise" if again else chooser.choice(REASONS)
        one.touched = True
        said = self._post("revocations", {"serial": one.serial.hex(), "reason": reason})
        time_of = datetime.datetime.fromisoformat(said["revoked_at"])
        one.state = int(time_of.timestamp()), KEY_COMPROMISE if again else self._number(said["reason"])
        if one.revoked is None:
            one.revoked = time.monotonic()
            self._awaited.append(one)
        self.counts.deeds["revoked again" if again else "revoked"] += 1

    @staticmethod
    def _number(reason: object) -> int:
        return reason if isinstance(reason, int) else 0

    def _post(self, verb: str, body: dict[str, str]) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self._town.admin}/intake/v1/demo/{verb}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, str] = json.load(answer)
        return found

    # The store

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_PAUSE):
            with suppress(redis.RedisError), self._town.store.client() as client:
                for _ in range(len(self._awaited)):
                    if self._is_stored(self._awaited[0], client):
                        self._awaited.popleft()
                    else:
                        self._awaited.rotate(-1)

    def _is_stored(self, one: Certificate, client: redis.Redis) -> bool:
        """As it was acknowledged; or it is over."""
        key = page_key("demo", 1, page_number(one.serial, PAGE_BITS))
        record: Any = client.hget(key, one.serial)
        now, quiet = time.monotonic(), self._town.quiet_since()
        if record is not None and one.stored is None:
            one.stored = now
        if record is not None and one.revoked is not None and record[0] & 1:
            one.stored_revoked = now
            if quiet is not None:
                self.counts.waits.append(max(0.0, now - max(one.revoked, quiet)))
        return one.not_after < self._town.clock.now() or bool(
            one.stored and (one.revoked is None or one.stored_revoked)
        )

    # Clients of OCSP

    def _ask(self, port: int) -> None:
        chooser = random.Random(f"{self._seed} {port}")
        seen: dict[bytes, tuple[int, int]] = {}  # what this responder said of revoked ones
        with Client(f"http://127.0.0.1:{port}") as client:
            while not self._stop.wait(ASK_PAUSE):
                if not self._known:
                    continue
                recent = self._known[-40:] if chooser.random() < 0.3 else self._known
                one = chooser.choice(recent)
                if chooser.random() < 0.05:
                    one = Certificate(b"\x5b" + chooser.randbytes(15), 0, 0.0)
                algorithm = chooser.choice((SHA1, SHA256))
                self._ask_one(
                    client, one, algorithm, client.get if chooser.random() < 0.7 else client.post, seen
                )

    def _ask_one(
        self,
        client: Client,
        one: Certificate,
        algorithm: int,
        ask: Callable[[bytes], bytes],
        seen: dict[bytes, tuple[int, int]],
    ) -> None:
        revoked, stored, state = one.stored_revoked, one.stored, one.state
        quiet, now, sent = self._town.quiet_since(), self._town.clock.now(), time.monotonic()
        try:
            body = ask(encode_request(self._issuer, algorithm, one.serial))
        except AskFailed:
            self.counts.answers["none"] += 1
            return
        response = ocsp.load_der_ocsp_response(body)
        status = response.response_status
        if status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            self.counts.answers[status.name.lower()] += 1
            settled = quiet is not None and stored is not None and sent - max(stored, quiet) > BOUND
            over = one.not_after <= self._town.clock.now() + MARGIN
            if status is ocsp.OCSPResponseStatus.UNAUTHORIZED and settled and not over:
                self._bad(one, f"unauthorized, {sent - one.issued:.1f} s after it was issued")
            return
        self._check_bytes(one, algorithm, response, now)
        if response.certificate_status is ocsp.OCSPCertStatus.GOOD:
            self.counts.answers["good"] += 1
            if revoked is not None:
                self._check_lateness(one, sent, revoked, quiet)
            if one.serial in seen:
                self._bad(one, "good after it was revoked")
            return
        self.counts.answers["revoked"] += 1
        self._check_revoked(one, response, state, seen)

    def _check_bytes(self, one: Certificate, algorithm: int, response: ocsp.OCSPResponse, now: int) -> None:
        """Times, whose it is, and its signature (B1, C1, A3)."""
        assert response.next_update_utc is not None
        left = response.next_update_utc.timestamp() - now
        if left <= MARGIN:
            self._bad(one, f"expired, {left:.0f} s before nextUpdate")
        if response.this_update_utc.timestamp() > self._town.clock.now() + AHEAD:
            self._bad(one, "of the future")
        if self._issuer.encode_cert_id(algorithm, one.serial) not in response.tbs_response_bytes:
            self._bad(one, "the answer to another request")
        if not one.issued:
            self._bad(one, "a status of a certificate that nobody issued")
        self._key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))

    def _check_lateness(self, one: Certificate, sent: float, revoked: float, quiet: float | None) -> None:
        if quiet is None or sent < quiet:
            self.counts.hindered += 1
            return
        late = sent - max(revoked, quiet)
        self.counts.latest_good = max(self.counts.latest_good, late)
        if late > BOUND:
            self._bad(one, f"good, {late:.2f} s after it was revoked")

    def _check_revoked(
        self,
        one: Certificate,
        response: ocsp.OCSPResponse,
        state: tuple[int, int] | None,
        seen: dict[bytes, tuple[int, int]],
    ) -> None:
        """A6: an answer never takes back what an earlier one of this responder, or the intake, had said."""
        assert response.revocation_time_utc is not None
        reason = response.revocation_reason
        said = int(response.revocation_time_utc.timestamp()), 0 if reason is None else REASON_NUMBERS[reason]
        if not one.touched:
            self._bad(one, "revoked, and nobody asked for it")
        before = seen.get(one.serial)
        if before is not None and (said[0] > before[0] or said[1] not in (before[1], KEY_COMPROMISE)):
            self._bad(one, f"{said} after {before}")
        if state is not None and said[0] > state[0]:
            self._bad(one, f"{said}, and the intake had said {state}")
        seen[one.serial] = said

    # Clients of CRLs

    def _fetch_crls(self) -> None:
        numbers: dict[str, int] = {}
        paths = [f"/crl/demo/0-{index}.crl" for index in range(3)]
        while not self._stop.wait(CRL_PAUSE):
            for path in paths:
                for port in self._town.ports:
                    self._fetch(f"http://127.0.0.1:{port}{path}", numbers)

    def _fetch(self, url: str, numbers: dict[str, int]) -> None:
        now = self._town.clock.now()
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                crl = x509.load_der_x509_crl(answer.read())
        except (OSError, HTTPException):
            return
        self.counts.crls += 1
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        assert crl.next_update_utc is not None
        if crl.next_update_utc.timestamp() <= now:
            self.counts.bad.append(f"{url}: an expired CRL")
        if number < numbers.get(url, 0):
            self.counts.bad.append(f"{url}: number {number} after {numbers[url]}")
        if not crl.is_signature_valid(self._ca.public_key()):  # type: ignore[arg-type]
            self.counts.bad.append(f"{url}: not the CA's")
        numbers[url] = number
        self._check_entries(url, crl)

    def _check_entries(self, url: str, crl: x509.CertificateRevocationList) -> None:
        """A5: what is on a CRL was revoked."""
        entries = {one.serial_number for one in crl}
        for one in self._known:
            if int.from_bytes(one.serial) in entries and not one.touched:
                self._bad(one, f"on {url}, and nobody asked for it")

    def _bad(self, one: Certificate, words: str) -> None:
        self.counts.bad.append(f"{one.serial.hex()}: {words}")
