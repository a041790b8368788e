"""What `ocsp-signer run` has to tell of its issuers: to the log, to /metrics, to /healthz and to `status`."""

import os
from collections.abc import Mapping
from threading import Lock

import msgspec
import structlog

from signer.admin.metrics import Metrics
from signer.crl.job import ShardOutcome, ShardStatus
from signer.lateness import Late, Lateness
from signer.ocsp.pages import Tally
from signer.run_state import IssuerState, RunState
from signer.watch import WatchReport
from store.text import rfc3339

__all__ = ["Reports"]

log = structlog.get_logger()


class Reports:
    """For several threads."""

    def __init__(self, metrics: Metrics, lateness: Lateness) -> None:
        self.metrics = metrics
        self.lateness = lateness
        self._lock = Lock()
        self._doubt: str | None = None  # about the clock
        self._troubles: dict[tuple[str, str], str] = {}
        self._queues: dict[str, int] = {}  # pages
        self._faulty: dict[str, int] = {}

    def troubles(self) -> list[str]:
        """What stands in the way of an issuer's work now."""
        with self._lock:
            clock = [] if self._doubt is None else [f"clock: {self._doubt}: nothing is signed"]
            return clock + [
                f"issuer {issuer}: {what}: {why}" for (issuer, what), why in sorted(self._troubles.items())
            ]

    def clock(self, doubt: str | None) -> None:
        """Why the wall clock is not trusted; None if it is (B6)."""
        with self._lock:
            before, self._doubt = self._doubt, doubt
        if doubt == before:
            return
        self.metrics.clock(trusted=doubt is None)
        if doubt is None:
            log.warning("the clock is trusted again")
            return
        log.critical(
            "clock in doubt: nothing is signed",
            reason=doubt,
            remedy="correct the clock; if it is right, run `ocsp-signer resume --accept-clock`",
        )

    def trouble(self, issuer: str, event: str, error: Exception, *, critical: bool = False) -> None:
        """Of OCSP, until `signed` says otherwise."""
        self._set(issuer, "ocsp", str(error))
        (log.critical if critical else log.error)(event, issuer=issuer, reason=str(error))

    def state(self, now: int) -> RunState:
        """What `status` is told. Raises LedgerError."""
        late, troubles = dict(self.lateness.all(now)), self.troubles()
        with self._lock:
            issuers = [self._state_of(name, one) for name, one in late.items()]
            return RunState(os.getpid(), now, self._doubt is None, troubles, issuers)

    def _state_of(self, issuer: str, late: Late) -> IssuerState:
        queue, faulty = self._queues.get(issuer, 0), self._faulty.get(issuer, 0)
        return IssuerState(issuer, queue, faulty, late.oldest, late.late, late.stale)

    def queue(self, issuer: str, pages: int) -> None:
        """How many pages wait to be signed."""
        with self._lock:
            self._queues[issuer] = pages

    def faulty(self, issuer: str, pages: Mapping[int, str]) -> None:
        """All pages that cannot be signed now."""
        with self._lock:
            self._faulty[issuer] = len(pages)
        page = next(iter(pages), None)
        why = None if page is None else f"{len(pages)} cannot be signed, such as page {page}: {pages[page]}"
        self._set(issuer, "pages", why)

    def responder(self, issuer: str, not_after: int, validity: int, now: int) -> None:
        """Tell of a certificate so near its end that it cuts responses short (B5)."""
        why = None
        if not_after - now < validity:
            why = f"ends at {rfc3339(not_after)}: install its successor; responses are valid for less and less time"
            log.error("responder certificate ends", issuer=issuer, not_after=rfc3339(not_after))
        self._set(issuer, "responder certificate", why)

    def crl_trouble(self, issuer: str, error: Exception) -> None:
        """Of all CRLs, until `crls_well` says otherwise."""
        self._set(issuer, "crls", str(error))
        log.error("crl job failed", issuer=issuer, reason=str(error))

    def signed(self, issuer: str, tally: Tally) -> None:
        """Pages that failed are counted; they are tried again."""
        self._set(issuer, "ocsp", None)
        self.metrics.signed(issuer, tally)
        if tally.responses:
            log.info("signed", issuer=issuer, pages=tally.pages, responses=tally.responses)
        for fault in tally.faults:
            log.error("page not signed", issuer=issuer, page=fault.page, reason=fault.message)

    def watch_trouble(self, issuer: str, error: Exception) -> None:
        """Of its index.txt, until `watched` says otherwise."""
        if self._set(issuer, "watch", str(error)):
            log.error("index not followed", issuer=issuer, reason=str(error))

    def watched(self, done: WatchReport) -> None:
        bad = f"{done.bad} lines of its index.txt are not recorded" if done.bad else None
        self._set(done.issuer, "watch", bad)
        told = {name: value for name, value in msgspec.structs.asdict(done).items() if name != "found_bad"}
        log.info("index recorded", **told)
        if done.found_bad:
            log.error("bad lines", issuer=done.issuer, lines=done.found_bad)
        if done.fewer:
            log.warning("index has fewer lines", issuer=done.issuer, fewer=done.fewer)

    def renewal(self, issuer: str, why: str | None) -> None:
        """What is wrong with renewing the responder certificate, if anything."""
        if self._set(issuer, "renewal", why) and why is not None:
            log.error("responder certificate not renewed", issuer=issuer, reason=why)

    def crls_well(self, issuer: str) -> None:
        self._set(issuer, "crls", None)

    def crl(self, issuer: str, done: ShardOutcome) -> None:
        refused = done.status is ShardStatus.REFUSED
        self._set(issuer, f"crl {done.series}-{done.shard_index}", done.message if refused else None)
        self.metrics.crl(issuer, done)
        if refused:
            log.error("crl refused", issuer=issuer, shard_index=done.shard_index, reason=done.message)
        else:
            log.info(
                "crl published",
                issuer=issuer,
                shard_index=done.shard_index,
                crl_number=done.crl_number,
                entries=done.entries,
            )

    def _set(self, issuer: str, what: str, why: str | None) -> bool:
        """Whether that is new."""
        with self._lock:
            before = self._troubles.get((issuer, what))
            if why is None:
                self._troubles.pop((issuer, what), None)
            else:
                self._troubles[issuer, what] = why
            return why != before
