"""What is asked about over one connection of a worker in this process, and the octets that have to come back."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from _fastpath.ocsp import MALFORMED_REQUEST
from tests.conformance.http import target_of
from tests.http.answers import Answer
from tests.http.parts import Parts
from tests.http.reference import Reading, Request
from tests.responder.ca import CA
from tests.responder.conftest import GOOD, REVOKED
from tests.responder.connections import Worker

__all__ = ["World", "answers_to"]


@dataclass(frozen=True, slots=True)
class World:
    """Two certificates, and what is answered about them."""

    worker: Worker
    parts: Parts
    asked: bytes  # answer about the certificate that all messages are about
    hidden: bytes  # and about that of the hidden request

    @classmethod
    async def of(cls, worker: Worker, ca: CA) -> "World":
        bodies = [ca.request(GOOD), ca.request(REVOKED)]
        gets = [b"GET %s HTTP/1.1\r\nHost: ocsp.test\r\n\r\n" % target_of(body).encode() for body in bodies]
        answers = []
        for get in gets:
            client = worker.connect()
            client.send(get)
            answers.append((await client.settle()).partition(b"\r\n\r\n")[2])
            client.leave()
        assert len(set(answers)) == 2 and min(map(len, answers)) > 100
        return cls(worker, Parts(target_of(bodies[0]).encode(), bodies[0], gets[1]), answers[0], answers[1])

    def answers_to(self, reading: Reading) -> list[Answer]:
        return answers_to(reading, self.parts, self.asked, self.hidden)


def answers_to(reading: Reading, parts: Parts, asked: bytes, hidden: bytes) -> list[Answer]:
    """To what the reference reader found, these being the bodies; a refusal is 400."""
    known = {
        unquote_to_bytes(parts.target)[1:]: asked,
        unquote_to_bytes(parts.hidden.split(b" ")[1])[1:]: hidden,
    }

    def answer_to(request: Request) -> Answer:
        """As the documentation has it (H-01, H-14)."""
        if request.method not in (b"GET", b"HEAD", b"POST"):
            return Answer(405, b"")
        if request.method == b"POST":
            return Answer(200, asked if request.body == parts.body else MALFORMED_REQUEST)
        path = unquote_to_bytes(re.sub(rb"[?#].*|^[A-Za-z]+://[^/?#]*", b"", request.target)).lstrip(b"/")
        return Answer(200, b"" if request.method == b"HEAD" else known.get(path, MALFORMED_REQUEST))

    return [*map(answer_to, reading.requests), *[Answer(400, b"")] * reading.refused]
