"""Revocations one after the other, each timed from its acceptance until all workers say so."""

import contextlib
import http.client
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.x509 import ocsp

from bench.revoke.place import Intake, Place
from bench.scale.watched import Failed
from bench.serve.questions import Questions
from bench.serve.servers import Responder

__all__ = ["Latencies", "quantile", "time_revocations"]

PAUSE = 0.05  # seconds between two revocations, on average
POLL = 0.001
TOO_LATE = 30.0


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds, in their order: until a revocation was accepted, and from there until every worker said so."""

    name: str
    accepted: Sequence[float]
    seen: Sequence[float]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many are not above."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class _Worker:
    """One worker on a connection of its own."""

    def __init__(self, responder: Responder, questions: Questions) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", responder.port, timeout=TOO_LATE)
        self._questions = questions

    def close(self) -> None:
        self._connection.close()

    def says_revoked(self, serial: int) -> bool:
        """Raises Failed for an answer that is none."""
        self._connection.request("GET", self._questions.path(serial, escaped=True).decode())
        found = ocsp.load_der_ocsp_response(self._connection.getresponse().read())
        if found.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return False  # its page is being written again; the next answer has it
        if found.serial_number != serial:
            raise Failed(f"asked for {serial:x}, answered about {found.serial_number:x}")
        return found.certificate_status is ocsp.OCSPCertStatus.REVOKED


def time_revocations(
    name: str,
    place: Place,
    responders: Sequence[Responder],
    serials: Sequence[int],
    ready: Callable[[], object],
) -> Latencies:
    """Each is `good` in every worker's cache before it is revoked; `ready` is called before that."""
    chooser = random.Random(len(serials))
    accepted, seen = [], []
    with contextlib.ExitStack() as stack:
        intake = stack.enter_context(contextlib.closing(Intake(place)))
        workers = [
            stack.enter_context(contextlib.closing(_Worker(one, place.corpus.questions)))
            for one in responders
        ]
        for serial in serials:
            time.sleep(chooser.expovariate(1 / PAUSE))
            ready()
            revoked = [worker.says_revoked(serial) for worker in workers]  # all are asked
            if any(revoked):
                raise Failed(f"serial {serial:x} is revoked already")
            began = time.monotonic()
            intake.revoke(serial)
            durable = time.monotonic()
            _wait(workers, serial, durable)
            accepted.append(durable - began)
            seen.append(time.monotonic() - durable)
    return Latencies(name, accepted, seen)


def _wait(workers: Sequence[_Worker], serial: int, since: float) -> None:
    """Until all of them say so."""
    left = list(workers)
    while left := [worker for worker in left if not worker.says_revoked(serial)]:
        if time.monotonic() - since > TOO_LATE:
            raise Failed(f"serial {serial:x} is not revoked after {TOO_LATE:.0f} s")
        time.sleep(POLL)
