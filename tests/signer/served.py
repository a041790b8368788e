"""What would be answered at an instant, held against conformance R-06, R-10 and R-12 to R-20."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from redis.exceptions import RedisError

from _fastpath.answer import assemble
from _fastpath.certid import SHA1, SHA256
from _fastpath.template import Template
from signer.ledger.values import CertificateRow
from store.errors import StoreError
from store.schema import page_key
from tests.signer.works import DAY, Works

__all__ = ["Checker", "Subject"]


HOUR = 3600
AHEAD = 5  # seconds for which a responder holds back what was signed after something newer
MARGIN = 60  # seconds before nextUpdate from which on nothing is served


@dataclass(frozen=True, slots=True)
class Answer:
    """Times in seconds since 1970."""

    this_update: int
    produced_at: int
    next_update: int
    revoked_at: int | None
    signer_not_after: int

    @property
    def validity(self) -> int:
        return self.next_update - self.this_update

    @property
    def deadline(self) -> int:
        """Section 0 of the rules, R-16 and P-01: half of V, never more than 4 d."""
        return self.this_update + min(self.validity // 2, 4 * DAY)


@dataclass(slots=True)
class Subject:
    """One certificate as the CA knows it."""

    row: CertificateRow
    published_at: int
    revoked_at: int | None = None  # when that was recorded
    known_bad: bool = False  # its row in the ledger is damaged, which is told
    last: Answer | None = None


class Checker:
    """Time is the true one, whatever the signer's machine takes for it."""

    def __init__(self, works: Works) -> None:
        self.subjects: dict[bytes, Subject] = {}
        self.checked = Counter[str]()  # by row
        self.slowest = 0  # seconds from the publication of a certificate until it was seen to be answered
        self._works = works
        issuer, self._reader = works.issuer, works.reader
        self._shift = 32 - issuer.page_bits
        self._keys = [page_key("demo", issuer.page_epoch, page) for page in range(1 << issuer.page_bits)]
        self._issuer = works.context.issuer("demo").id
        self._number = issuer.id
        self._templates: dict[int, tuple[int, Template, x509.Certificate]] = {}
        self._read: dict[bytes, tuple[bytes, Answer]] = {}

    def violations(self, now: int) -> list[str]:
        """Everything that is wrong at `now`, each after its row."""
        pages = self._pages()
        found = []
        for serial, subject in self.subjects.items():
            if now >= subject.row.not_after - MARGIN:  # its last answer ends with it
                continue
            record = pages[subject.row.hash32 >> self._shift].get(serial) if pages else None
            answer = self._answer(serial, record) if record else None
            if answer is not None and now < answer.this_update <= now + AHEAD:
                continue
            if answer is not None and subject.last is None:
                self.slowest = max(self.slowest, now - subject.published_at)
            for row, words in _faults(subject, answer, now, pages is not None):
                self.checked[row] += 1
                if words is not None:
                    found.append(f"{row}: {words}, serial {serial.hex()} at {now}")
        return found

    def _pages(self) -> list[dict[bytes, bytes]] | None:
        """Fields by page. None: tryLater to all, for the store is away, or is not the one that the signer vouches for."""
        pipeline = self._works.context.client.pipeline(transaction=False)
        for key in self._keys:
            pipeline.hgetall(key)
        try:
            known = self._reader.issuer("demo")
            if (
                known is None
                or known.head is None
                or known.head.replication_id != self._reader.replication_id()
            ):
                return None
            return list(pipeline.execute())
        except (StoreError, RedisError):
            return None

    def _answer(self, serial: bytes, record: bytes) -> Answer:
        """Read once; both CertIDs are answered alike (R-03), with good signatures."""
        known = self._read.get(serial)
        if known is not None and known[0] == record:
            return known[1]
        first, second = (self._parsed(serial, record, algorithm) for algorithm in (SHA1, SHA256))
        assert first == second
        self._read[serial] = (record, first)
        return first

    def _parsed(self, serial: bytes, record: bytes, algorithm: int) -> Answer:
        number, template, signer = self._template(record[1])
        made = assemble(template, number, self._issuer, algorithm, serial, record, 0, 1 << 40)
        assert made is not None
        response = ocsp.load_der_ocsp_response(made.body)
        key = signer.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
        assert response.serial_number == int.from_bytes(serial) and response.next_update_utc is not None
        return Answer(
            int(response.this_update_utc.timestamp()),
            int(response.produced_at_utc.timestamp()),
            int(response.next_update_utc.timestamp()),
            _seconds(response.revocation_time_utc),
            int(signer.not_valid_after_utc.timestamp()),
        )

    def _template(self, slot: int) -> tuple[int, Template, x509.Certificate]:
        if slot not in self._templates:
            stored = self._works.ledger.templates(self._number)[slot]
            template = Template.decode(stored.content)
            self._templates[slot] = (
                stored.number,
                template,
                x509.load_der_x509_certificate(template.certificates),
            )
        return self._templates[slot]


def _seconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())


def _faults(
    subject: Subject, answer: Answer | None, now: int, served: bool
) -> Iterator[tuple[str, str | None]]:
    """Every row that is looked at, with what is wrong. `served`: not tryLater to all."""
    last = subject.last
    if answer is None:
        if last is None:
            waited = now - subject.published_at
            yield "R-10", f"not answered for {waited} s" if waited > 900 else None
        elif served and not subject.known_bad:
            yield "R-11", "its answer is gone"
        return
    if answer != last:
        yield from _of_an_answer(subject, answer, now)
    yield from _of_its_age(subject, answer, now)
    revoked_for = now - subject.revoked_at if subject.revoked_at is not None else 0
    yield "R-19", "good a day after its revocation" if revoked_for > DAY and not answer.revoked_at else None
    back = last is not None and (last.revoked_at is not None and answer.revoked_at is None)
    back = back or last is not None and answer.this_update < last.this_update
    yield "R-20", "it went back" if back else None
    subject.last = answer


def _of_an_answer(subject: Subject, answer: Answer, now: int) -> Iterator[tuple[str, str | None]]:
    """What can be said of it once and for all."""
    ends, validity = subject.row.not_after, answer.validity
    if subject.last is None:
        yield "R-10", "too late" if now - subject.published_at > 900 else None
    ordered = answer.this_update <= answer.produced_at < answer.next_update
    fits = ordered and answer.produced_at <= now
    yield "R-06", None if fits else f"{answer.this_update - now:+} s, produced {answer.produced_at - now:+} s"
    yield "R-12", None if 8 * HOUR <= validity <= 10 * DAY else f"V is {validity} s"
    yield "R-13", None if validity <= 10 * DAY else f"V is {validity} s"
    yield "R-14", None if validity <= 7 * DAY - 1 else f"V is {validity} s"
    yield "R-15", None if 8 * HOUR <= validity < 7 * DAY else f"V is {validity} s"
    yield "R-17", "it outlives its signer" if answer.next_update > answer.signer_not_after else None
    outlives = answer.next_update > max(ends, answer.this_update + 8 * HOUR)
    yield "R-18", "it outlives its certificate" if outlives else None
    time = answer.revoked_at
    if time is not None:
        yield "C-17", None if time <= now else f"revoked {time - now} s in the future"
        before = subject.published_at - time
        yield "C-17", None if before <= 0 else f"revoked {before} s before it was published"


def _of_its_age(subject: Subject, answer: Answer, now: int) -> Iterator[tuple[str, str | None]]:
    if subject.known_bad:
        return
    over = now >= answer.next_update - MARGIN
    ends_with_it = answer.next_update == max(subject.row.not_after, answer.this_update + 8 * HOUR)
    late = now - answer.deadline if not ends_with_it else 0
    words = f"{late} s past its deadline, V is {answer.validity} s" if late > 0 else None
    yield "R-16", "its answer has ended, and there is no other" if over else words
