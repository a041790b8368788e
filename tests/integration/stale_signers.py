"""Signers that are slow between reading the ledger and writing the store, against one that revokes; and who looks on."""

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import redis
from cryptography.x509 import ocsp

from _fastpath.certid import SHA1, SHA256
from _fastpath.page import page_number
from signer.audit.client import Client, encode_request
from signer.ocsp.batch import Pool
from signer.ocsp.pages import PageSigner
from signer.ocsp.schedule import PageRange
from signer.ocsp.service import open_service
from signer.ocsp.tail import Tail
from store.asking import AskFailed
from store.clock import Clock, SystemClock
from store.reader import StoreReader
from store.schema import page_key
from store.writer import PagePut, PageWriter, PutResult, install_functions
from tests.integration.service import Service
from tests.ports import free_port
from tests.signer.works import DAY, OffsetClock, Works, row_in_page

__all__ = ["BOUND", "Counts", "Race", "Terms"]

BOUND = 1.0  # seconds from the write to every answer of a connected responder (A1)
SKEWS = (-2, 2)  # seconds that the clocks of the signers are off that of who revokes ...
BEHIND = -2  # ... and that off the responder's, which holds back what is signed in its future
PAGES = 4


@dataclass(frozen=True, slots=True)
class Terms:
    """How large a race is."""

    serials: int
    signers: int
    longest: float  # seconds that a signer waits at most between its snapshot and its write


@dataclass(slots=True)
class Counts:
    """What was seen."""

    accepted: int = 0  # revocations whose write the store took
    pages: int = 0  # that the slow signers wrote
    refused: int = 0  # writes of theirs
    store_reads: int = 0  # of records whose revocation had been accepted before
    good_from_store: int = 0
    answers: int = 0  # about such certificates
    good_answers: int = 0
    latest_good: float = 0.0  # seconds from the accepted write to the request
    good_beyond_bound: int = 0
    stuck: int = 0  # certificates that the store has good at the end


class SlowWriter(PageWriter):
    """The product's own, after a while: what is written is as old as that."""

    def __init__(self, client: redis.Redis, url: str, chooser: random.Random, longest: float) -> None:
        super().__init__(client, url)
        self._chooser = chooser
        self._longest = longest

    def put_pages(self, pages: "list[PagePut]") -> list[PutResult]:  # type: ignore[override]
        time.sleep(self._chooser.uniform(0, self._longest))  # this is the race, and no wait for something
        return super().put_pages(pages)


@dataclass(slots=True)
class _Accepted:
    """When the write of each revocation was taken, by the monotonic clock. For several threads."""

    at: dict[bytes, float] = field(default_factory=dict)
    order: list[bytes] = field(default_factory=list)

    def add(self, serial: bytes) -> None:
        self.at[serial] = time.monotonic()
        self.order.append(serial)


class Race:
    """Over a store that has this release's functions, or others where a test took something out of them."""

    def __init__(self, directory: Path, store_url: str, terms: Terms, seed: int) -> None:
        clock = OffsetClock(SystemClock(), BEHIND)
        self.works = Works(directory, store_url, clock)
        self.service = Service(directory, free_port())
        self.works.file.write_text(self.works.file.read_text() + self.service.section)
        (directory / "objects").mkdir()
        self.counts = Counts()
        self._clock: Clock = clock
        self._terms = terms
        self._chooser = random.Random(seed)
        self._done = threading.Event()
        self._left = threading.Event()
        self._accepted = _Accepted()

    def __enter__(self) -> Self:
        """Everything is signed, and a responder answers."""
        with ExitStack() as stack:
            stack.enter_context(self.works.context)
            self._fill()
            stack.enter_context(self.service.serving())
            self._leave = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.close()

    def _fill(self) -> None:
        works, end = self.works, self._clock.now() + 60 * DAY
        with works.context.endpoint.client() as client:
            install_functions(client, "test")
        numbers = range(self._terms.serials)
        rows = [row_in_page(number % PAGES, number, not_after=end) for number in numbers]
        self._serials = [row.serial for row in works.add(rows)]
        with Pool(works.file, 1, self._clock) as pool:
            open_service(works.context, "demo", pool).sign_all(lambda pages: None)
        works.ledger.set_tail_position(works.issuer.id, works.ledger.generation(works.issuer.id))

    def run(self) -> Counts:
        """Revoke every certificate, one after the other, while the others are at work."""
        with ThreadPoolExecutor() as threads:
            signing = [threads.submit(self._sign, number) for number in range(self._terms.signers)]
            looking = [threads.submit(self._read), threads.submit(self._ask)]
            try:
                self._revoke_all()
            finally:
                self._done.set()
                _finish(signing)
                time.sleep(BOUND)
                self._left.set()
                _finish(looking)
        self.counts.stuck = self._good_in_store(self._accepted.order)
        return self.counts

    # The writers

    def _revoke_all(self) -> None:
        works = self.works
        tail = Tail(works.ledger, works.signer())
        serials = list(self._serials)
        self._chooser.shuffle(serials)
        for serial in serials:
            works.revoke(serial)
            assert tail.step().faults == []
            self._accepted.add(serial)
            self.counts.accepted += 1

    def _sign(self, number: int) -> None:
        """Whole pages, again and again, as the schedule would."""
        chooser = random.Random(self._chooser.random() + number)
        clock = OffsetClock(self._clock, SKEWS[number % len(SKEWS)])
        with self.works.open(clock) as context:
            signer = PageSigner(
                context.ledger,
                context.ledger_issuer("demo"),
                context.response_signer("demo"),
                StoreReader(context.client, context.endpoint.url),
                SlowWriter(context.client, context.endpoint.url, chooser, self._terms.longest),
                clock,
            )
            while not self._done.is_set():
                page = chooser.randrange(PAGES)
                tally = signer.sign_range(PageRange(page, page))
                self.counts.pages += tally.pages
                self.counts.refused += tally.current + len(tally.faults)

    # Those who look on

    def _read(self) -> None:
        chooser = random.Random(1)
        with ExitStack() as stack:
            client = stack.enter_context(self.works.context.endpoint.client())
            while not self._left.is_set():
                page = chooser.randrange(PAGES)
                before = [one for one in list(self._accepted.order) if page_number(one, 2) == page]
                found: Any = client.hgetall(page_key("demo", 1, page))
                for serial in before:
                    self.counts.store_reads += 1
                    self.counts.good_from_store += _is_good(found.get(serial))
                time.sleep(0.001)  # the others have work to do

    def _good_in_store(self, serials: list[bytes]) -> int:
        with self.works.context.endpoint.client() as client:
            keys = [page_key("demo", 1, page_number(one, 2)) for one in serials]
            found: list[Any] = [client.hget(key, one) for key, one in zip(keys, serials, strict=True)]
            return sum(map(_is_good, found))

    def _ask(self) -> None:
        """Of certificates just revoked more often than of others, under both CertIDs."""
        chooser, issuer = random.Random(2), self.works.context.issuer("demo").id
        with Client(self.service.url) as client:
            while not self._left.is_set():
                order = self._accepted.order
                if not order:
                    time.sleep(0.001)
                    continue
                recent = order[-8:] if chooser.random() < 0.5 else order
                serial = chooser.choice(recent)
                request = encode_request(issuer, chooser.choice((SHA1, SHA256)), serial)
                late = time.monotonic() - self._accepted.at[serial]
                with suppress(AskFailed, ValueError):  # tryLater has no status
                    self._judge(client.get(request), late)

    def _judge(self, body: bytes, late: float) -> None:
        good = ocsp.load_der_ocsp_response(body).certificate_status is ocsp.OCSPCertStatus.GOOD
        self.counts.answers += 1
        if good:
            self.counts.good_answers += 1
            self.counts.latest_good = max(self.counts.latest_good, late)
            self.counts.good_beyond_bound += late > BOUND


def _is_good(record: bytes | None) -> bool:
    return record is not None and record[0] & 1 == 0


def _finish(futures: "list[Future[None]]") -> None:
    for future in futures:
        future.result(60)
