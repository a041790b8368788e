"""What a responder answers, against store and ledger: both methods, both CertIDs, and serials that nobody issued."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from cryptography.x509 import ocsp

from _fastpath.certid import serial_from_int
from _fastpath.errors import FastpathError
from _fastpath.ocsp import UNAUTHORIZED, split_response
from _fastpath.page import page_number, record_slot
from signer.audit.client import AskFailed, Client, encode_request
from signer.audit.pages import Subject
from signer.audit.patience import Patience
from signer.audit.report import Checked, Finding, Findings, Kind
from signer.audit.sample import Choice
from signer.ledger.ledger import Ledger
from signer.ledger.values import CertificateRow, LedgerCertificate
from signer.stored import KnownTemplate
from store.clock import Clock
from store.model import REASON_NUMBERS, UNREADABLE
from store.reader import StoreReader
from store.schema import page_key

__all__ = ["AnswerAudit"]

UNISSUED = 200  # serials asked for at most
SERIAL_BITS = 127
MARGIN = 60  # seconds before nextUpdate from which on a responder sends nothing


@dataclass(frozen=True, slots=True)
class _Said:
    """A successful response as cryptography reads it."""

    revocation_time: int | None
    reason: int
    this_update: int
    next_update: int


class AnswerAudit:
    """Asks responders about certificates of one issuer. `templates` are those of its records, by slot."""

    def __init__(
        self,
        ledger: Ledger,
        reader: StoreReader,
        subject: Subject,
        templates: Mapping[int, KnownTemplate],
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._subject = subject
        self._templates = templates
        self._patience = patience
        self._clock = clock

    def look(
        self,
        client: Client,
        rows: list[CertificateRow],
        choice: Choice,
        findings: Findings,
        checked: Checked,
        progress: Callable[[int], None],
    ) -> None:
        """Ask for each of `rows`, then for serials that look like theirs and are nobody's."""
        algorithms = self._subject.certid_algorithms
        for row in rows:
            for algorithm in algorithms:
                findings.add(self._patience.settled(partial(self._asked, client, row.serial, algorithm)))
                checked.answers += 2  # by GET and POST
            progress(1)
        for number, serial in enumerate(self._unissued(rows, choice)):
            algorithm = algorithms[number % len(algorithms)]
            findings.add(self._patience.settled(partial(self._nobody, client, serial, algorithm)))
            checked.unissued += 1

    def _asked(self, client: Client, serial: bytes, algorithm: int) -> Iterator[Finding]:
        """Both methods; what is stored is read anew at each look."""
        found = partial(Finding, issuer=self._subject.issuer.name, serial=serial, url=client.url)
        request = encode_request(self._subject.issuer.id, algorithm, serial)
        expected = self._stored(serial, algorithm)
        for ask in (client.get, client.post):
            try:
                body = ask(request)
            except AskFailed as error:
                yield found(Kind.HTTP_FAILED, message=str(error))
                continue
            if body != expected and (fault := self._fault(serial, algorithm, body)):
                yield found(Kind.HTTP_ANSWER, message=f"{ask.__name__.upper()}: {fault}")

    def _stored(self, serial: bytes, algorithm: int) -> bytes | None:
        """The whole response that the store has, if its signature is right."""
        issuer = self._subject.recorded
        key = page_key(issuer.name, issuer.page_epoch, page_number(serial, issuer.page_bits))
        octets = self._reader.records([(key, serial)])[0]
        try:
            template = self._templates[record_slot(octets or b"")]
            record = template.decode(serial, octets or b"")
        except (FastpathError, KeyError):
            return None
        return template.bodies(record).get(algorithm) if template.proves(record) else None

    def _fault(self, serial: bytes, algorithm: int, body: bytes) -> str | None:
        """Why a response that is not the stored one is wrong; one from before or after it need not be."""
        known = self._ledger.find(self._subject.recorded.id, serial)
        if known is None or self._changed(known):
            return None
        try:
            response = ocsp.load_der_ocsp_response(body)
            if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                if self._clock.now() >= known.not_after - MARGIN:
                    return None  # it ended since the audit began, and so did its last response
                return f"answered {response.response_status.name.lower()}"
            said = _read(response)
            tbs, _, _ = split_response(body)
        except UNREADABLE as error:
            return f"not an OCSPResponse of ours: {error}"
        if self._subject.issuer.id.encode_cert_id(algorithm, serial) not in tbs:
            return f"answered about serial {response.serial_number:x} and its issuer"
        if not self._is_proven(body):
            return "its signature is not that of a responder of this CA"
        if (said.revocation_time, said.reason) != (known.revocation_time, known.reason):
            states = ["good" if one.revocation_time is None else "revoked" for one in (said, known)]
            return f"answered {states[0]}, the ledger says {states[1]}: time or reason or both differ"
        if not said.this_update <= self._clock.now() < said.next_update:
            return "answered with a response that is not in force"
        return None

    def _is_proven(self, body: bytes) -> bool:
        return any(one.trusted and one.trusted.verifies(body) for one in self._templates.values())

    def _changed(self, known: LedgerCertificate) -> bool:
        """Since the audit began."""
        changed = max(known.issued_generation, known.revoked_generation or 0)
        return changed > self._subject.recorded.generation

    def _unissued(self, rows: list[CertificateRow], choice: Choice) -> Iterator[bytes]:
        """A3: neighbours of real serials, and serials by chance."""
        count = min(UNISSUED, choice.sample)
        numbers = [int.from_bytes(row.serial) + offset for row in rows[: count // 4] for offset in (-1, 1)]
        numbers += [choice.chooser.getrandbits(SERIAL_BITS) | 1 for _ in range(count - len(numbers))]
        for number in numbers:
            if 0 <= number < 1 << 159:
                yield serial_from_int(number)

    def _nobody(self, client: Client, serial: bytes, algorithm: int) -> Iterator[Finding]:
        found = partial(Finding, issuer=self._subject.issuer.name, serial=serial, url=client.url)
        try:
            body = client.get(encode_request(self._subject.issuer.id, algorithm, serial))
        except AskFailed as error:
            yield found(Kind.HTTP_FAILED, message=str(error))
            return
        if body != UNAUTHORIZED and self._ledger.find(self._subject.recorded.id, serial) is None:
            yield found(Kind.HTTP_UNISSUED, message=f"answered {body[:5].hex()}, not unauthorized")


def _read(response: ocsp.OCSPResponse) -> _Said:
    """Raises ValueError for what no response of ours is."""
    if response.next_update_utc is None or response.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        raise ValueError("no nextUpdate, or the status `unknown`")
    revoked = response.revocation_time_utc
    reason = response.revocation_reason
    return _Said(
        None if revoked is None else int(revoked.timestamp()),
        0 if reason is None else REASON_NUMBERS[reason],
        int(response.this_update_utc.timestamp()),
        int(response.next_update_utc.timestamp()),
    )
