"""Re-paging: an issuer's records in more and smaller pages, copied beside the ones in force, then put in force.

Nothing is signed: an answer is the same octets before and after (R-20). Each new page has a part of one page in force,
under its generation and thisUpdate; equal ones tell that a part is up to date. So what was killed is taken up by
comparing, and what changed meanwhile is found and copied again, until nothing has changed any more.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from _fastpath.page import PageHeader, page_number
from signer.context import Context
from signer.files import held
from signer.ocsp.pages import is_urgent
from store.errors import StoreError
from store.reader import StoreReader
from store.schema import page_key
from store.writer import PagePut, PutStatus

__all__ = ["FOLLOW", "Repaging", "Signing", "pages_lock"]

COMPARED = (
    512  # new pages whose headers are asked for at once: some ten milliseconds, as each piece of work takes
)
COPIED = 64  # new pages written in one piece of work
UNLINKED = 1_000
LATE = (
    1_000  # changes, and pages of them, while all were compared, up to which the rest is done at one stroke
)
PAUSE = 5.0  # seconds before everything is compared again
FOLLOW = 30.0  # seconds in which a responder has followed, or found its connection lost and reads all anew


class Signing(Protocol):
    """Who keeps the pages in force up to date, on this thread, between two pieces of work."""

    @property
    def read(self) -> int:
        """Generation up to which changes were looked at."""

    def hold(self) -> bool:
        """Write no page any more but those of single changes; True once that holds."""

    def release(self) -> None:
        """Go on as before."""


def pages_lock(directory: Path) -> Path:
    """The lock file of a state directory that `sign` shares, and under which another layout is put in force."""
    return directory / "pages.lock"


class _InUse(Exception):
    """Another process signs pages."""


class Repaging:
    """The other layout of one issuer. `signing` is None where nobody signs on this thread.

    `fill` and `clear` work in pieces of some ten milliseconds and give how many pages are done for good with each.
    """

    def __init__(self, context: Context, name: str, signing: Signing | None) -> None:
        found = context.ledger.issuer(name)
        other = context.ledger.other_layout(found.id)
        assert other is not None
        self._context = context
        self._name = name
        self._issuer_id = found.id
        self._present, self._other = found.layout, other
        self._signing = signing
        self._reader = StoreReader(context.client, context.endpoint.url)
        self._writer = context.writer
        self._broken = 0  # pages in force that were not whole when they were to be copied

    def work(self, actor: str) -> Iterator[int]:
        """`fill` or `clear`, whichever is to be done."""
        return self.fill(actor) if self._other.page_epoch > self._present.page_epoch else self.clear()

    def fill(self, actor: str) -> Iterator[int]:
        """Copy all pages in force, and those that change meanwhile; then have the other layout in force."""
        counted = False
        while True:
            for pages in self._copy_all():
                yield 0 if counted else pages
            counted = True
            self._check_whole()
            try:
                if (yield from self._finish(actor)):
                    return
            finally:
                if self._signing is not None:
                    self._signing.release()
            yield from self._wait(PAUSE)

    def clear(self) -> Iterator[int]:
        """Unlink the pages that were in force before, once responders have followed."""
        yield from self._wait(FOLLOW)
        for run in _runs(range(1 << self._other.page_bits), UNLINKED):
            self._writer.unlink_pages(self._name, self._other.page_epoch, run)
            yield len(run)
        self._context.ledger.forget_layout(self._issuer_id)

    def _wait(self, seconds: float) -> Iterator[int]:
        until = self._context.clock.monotonic() + seconds
        while self._context.clock.monotonic() < until:
            yield 0

    def _check_whole(self) -> None:
        """Where somebody signs, what is not whole is signed anew."""
        if self._broken and self._signing is None:
            raise StoreError(
                f"issuer {self._name}: {self._broken} of its pages are lost or damaged",
                remedy=f"run `ocsp-signer sign --issuer {self._name}`, then this again",
            )

    def _finish(self, actor: str) -> Generator[int, None, bool]:
        """Compare once more while nobody writes but for single changes, whose pages come last, at one stroke.

        False if that cannot be now: too much changes, or a page is not whole.
        """
        with ExitStack() as alone:
            while not self._is_alone(alone):
                yield 0
            while self._signing is not None and not self._signing.hold():
                yield 0
            since = self._signing.read if self._signing is not None else 0
            for _ in self._copy_all():
                yield 0
            late = self._changed(since)
            if late is None or self._broken:
                return False
            self._copy(self._stale(late))
            self._context.ledger.put_in_force(self._issuer_id, self._context.clock.now(), actor=actor)
            self._context.announce(self._name)
        return True

    def _is_alone(self, alone: ExitStack) -> bool:
        """No `sign` is at work in another process, nor can one begin until the end."""

        def taken(process: str) -> None:
            raise _InUse

        try:
            alone.enter_context(held(pages_lock(self._context.settings.state_directory), taken))
        except _InUse:
            return False
        return True

    def _changed(self, since: int) -> list[int] | None:
        """Pages in force that were perhaps written for changes after `since`; None if there are too many.

        Those of imports are left to the pool.
        """
        if self._signing is None:
            return []
        changes = self._context.ledger.changes(self._issuer_id, since, LATE + 1)
        if len(changes) > LATE:
            return None
        shift = 32 - self._present.page_bits
        pages: set[int] = set()
        for change in changes:
            if change.serial is not None or is_urgent(change):
                pages.update(range(change.first_hash32 >> shift, (change.last_hash32 >> shift) + 1))
        return sorted(pages) if len(pages) <= LATE else None

    def _copy_all(self) -> Iterator[int]:
        self._broken = 0
        parts = len(self._parts(0))
        for run in _runs(range(1 << self._present.page_bits), max(1, COMPARED // parts)):
            for some in _runs(self._stale(run), max(1, COPIED // parts)):
                self._copy(some)
                yield 0
            yield len(run)

    def _parts(self, page: int) -> range:
        """The new pages that the records of one in force go to."""
        shift = self._other.page_bits - self._present.page_bits
        return range(page << shift, (page + 1) << shift)

    def _stale(self, pages: Sequence[int]) -> list[int]:
        """Those whose new pages are not as they are."""
        headers = self._reader.whole_headers(self._name, self._present.page_epoch, pages)
        parts = [part for page in pages for part in self._parts(page)]
        found = iter(self._reader.whole_headers(self._name, self._other.page_epoch, parts))
        return [
            page
            for page, header in zip(pages, headers, strict=True)
            if {_stamp(next(found)) for _ in self._parts(page)} != {_stamp(header)} or header is None
        ]

    def _copy(self, pages: Iterable[int]) -> None:
        for page in pages:
            found = self._reader.page(self._name, self._present.page_epoch, page)
            if found is None:
                self._broken += 1
            else:
                self._put(page, *found)

    def _put(self, page: int, header: PageHeader, records: dict[bytes, bytes]) -> None:
        """Pages that are not in force are replaced without a guard: what is there was never served."""
        parts: dict[int, dict[bytes, bytes]] = {part: {} for part in self._parts(page)}
        for serial, record in records.items():
            part = parts.get(page_number(serial, self._other.page_bits))
            if part is not None:  # else it is in a page where nobody looks for it
                part[serial] = record
        epoch = self._other.page_epoch
        self._writer.unlink_pages(self._name, epoch, parts)
        results = self._writer.put_pages(
            PagePut(page_key(self._name, epoch, part), header.as_of, header.this_update, found)
            for part, found in parts.items()
        )
        if any(result.status is not PutStatus.WRITTEN for result in results):
            raise StoreError(
                f"issuer {self._name}: somebody else writes the pages of epoch {epoch}",
                remedy="look for another `ocsp-signer` that uses this store",
            )


def _stamp(header: PageHeader | None) -> tuple[int, int] | None:
    """What rises with every write of a page; None for one that is not whole."""
    return None if header is None else (header.as_of, header.this_update)


def _runs(pages: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (pages[first : first + size] for first in range(0, len(pages), size))
