"""Taking apart what came back over one connection."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Answer", "parse"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer."""

    code: int
    body: bytes


def parse(octets: bytes, methods: Sequence[bytes] = ()) -> list[Answer]:
    """Answers one after another, `methods` being those of the requests where one is HEAD; what is not whole is left out."""
    answers: list[Answer] = []
    while match := re.match(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n", octets):
        octets = octets[match.end() :]
        if match[1][:1] == b"1":
            continue
        length = re.search(rb"(?i)^content-length: (\d+)\r$", match[2], re.M)
        size = int(length[1]) if length else len(octets)  # to the end of the connection
        if methods[len(answers) : len(answers) + 1] == [b"HEAD"]:
            size = 0
        if len(octets) < size:
            break
        answers.append(Answer(int(match[1]), octets[:size]))
        octets = octets[size:]
    return answers
