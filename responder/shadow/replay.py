"""Asking two responders the same, request by request, at a rate and over some connections at once."""

import base64
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Literal

from responder.shadow.answers import Reading, read_answer
from responder.shadow.fields import Choice
from responder.shadow.recorded import Corpus, Recorded
from responder.shadow.tally import Latencies, Tally
from store.asking import Answer, Asker, AskFailed, NotConnected
from store.clock import Clock
from store.errors import OcspeedError
from store.model import Issuer

__all__ = ["Methods", "Plan", "Unreachable", "replay"]

Methods = Literal["recorded", "get", "post", "both"]


class Unreachable(OcspeedError):
    """A side has not been there from the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to replay, and what to make of it."""

    left: str
    right: str
    choice: Choice
    issuers: Sequence[Issuer] = ()
    methods: Methods = "recorded"
    rate: float | None = None  # requests a second; None: as fast as they are answered
    concurrency: int = 4
    limit: int | None = None  # requests; None: all
    timeout: float = 10.0  # seconds
    keep: IO[str] | None = None  # gets every request that is answered differently, a line each


def replay(corpus: Corpus, plan: Plan, clock: Clock, progress: Callable[[int], None]) -> Tally:
    """Ask for everything. Raises UsageError for a URL, Unreachable."""
    work = _Work(corpus, plan, clock, progress)
    threads = [threading.Thread(target=work.run, daemon=True) for _ in range(plan.concurrency)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        work.stop.set()
    if work.failure is not None:
        raise work.failure
    return work.tally


class _Work:
    """What the threads share."""

    def __init__(self, corpus: Corpus, plan: Plan, clock: Clock, progress: Callable[[int], None]) -> None:
        self.tally = Tally()
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self._plan = plan
        self._clock = clock
        self._progress = progress
        self._requests = self._paced(corpus)
        self._reading = threading.Lock()
        self._counting = threading.Lock()

    def run(self) -> None:
        """One thread: its own connections, the next request whenever the last is answered."""
        try:
            with ExitStack() as stack:
                left = stack.enter_context(Asker(self._plan.left, self._plan.timeout))
                right = stack.enter_context(Asker(self._plan.right, self._plan.timeout))
                sides = [(left, self.tally.left), (right, self.tally.right)]
                for turn, (method, request) in enumerate(iter(self._next, None)):
                    self._ask_both(sides, turn % 2 == 1, method, request)
        except BaseException as error:
            self.failure = error
            self.stop.set()

    def _next(self) -> tuple[str, Recorded] | None:
        with self._reading:
            return None if self.stop.is_set() else next(self._requests, None)

    def _paced(self, corpus: Corpus) -> Iterator[tuple[str, Recorded]]:
        """Methods and requests, each when it is due."""
        due, asked = self._clock.monotonic(), 0
        for method, request in self._planned(corpus):
            if asked == self._plan.limit:
                return
            if self._plan.rate is not None:
                now = self._clock.monotonic()
                self.stop.wait(max(0.0, due - now))
                due = max(due, now) + 1 / self._plan.rate
            asked += 1
            yield method, request

    def _planned(self, corpus: Corpus) -> Iterator[tuple[str, Recorded]]:
        for request in corpus:
            self._progress(1)
            if request is not None:
                yield from ((method, request) for method in _methods(request, self._plan.methods))

    def _ask_both(
        self, sides: list[tuple[Asker, Latencies]], turned: bool, method: str, request: Recorded
    ) -> None:
        """First the one or first the other, in turn: neither is always the one whose memory is cold."""
        order = sides[::-1] if turned else sides
        readings = [self._ask(*side, method, request) for side in order]
        left, right = readings[::-1] if turned else readings
        text = _text(request)
        with self._counting:
            disagree = self.tally.add(method, text, left, right, self._plan.choice)
            if disagree and self._plan.keep is not None:
                self._plan.keep.write(text + "\n")

    def _ask(self, asker: Asker, latencies: Latencies, method: str, request: Recorded) -> Reading:
        began = self._clock.monotonic()
        try:
            answer = _send(asker, method, request)
        except NotConnected as error:
            if latencies.empty:
                raise Unreachable(f"{asker.url}: {error}", remedy="start it, or correct the URL") from None
            return _failed(error)
        except AskFailed as error:
            return _failed(error)
        took = self._clock.monotonic() - began
        with self._counting:
            latencies.add(took)
        return read_answer(answer, request.cert_ids, self._plan.issuers, self._clock.now())


def _methods(request: Recorded, wanted: Methods) -> tuple[str, ...]:
    """GET alone for what is no OCSPRequest: nothing can be posted."""
    if request.octets is None:
        return ("GET",)
    if wanted == "recorded":
        return ("POST",) if request.path is None else ("GET",)
    return {"get": ("GET",), "post": ("POST",), "both": ("GET", "POST")}[wanted]


def _send(asker: Asker, method: str, request: Recorded) -> Answer:
    """A recorded path goes as it was spelled. Raises AskFailed."""
    if method == "GET" and request.path is not None:
        return asker.get_path(request.path)
    assert request.octets is not None
    return asker.get(request.octets) if method == "GET" else asker.post(request.octets)


def _failed(error: AskFailed) -> Reading:
    return Reading({"transport": str(error)}, {"transport"})


def _text(request: Recorded) -> str:
    """As a file of requests has it."""
    return request.path or base64.b64encode(request.octets or b"").decode()
