"""Range requests (RFC 9110 section 14): one part of a representation, and only of the one the client has the rest of."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from responder.answers import Header, HttpAnswer, http_date, http_refusal

__all__ = ["RangeRequest", "ranged"]

ONE_RANGE = re.compile(rb"[Bb][Yy][Tt][Ee][Ss]=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*")


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """What a GET says of ranges. Several are not honoured: the whole is an answer to them too (section 14.2)."""

    span: tuple[int | None, int | None] | None = (
        None  # first and last octet; no first: that many from the end
    )
    if_range: bytes | None = None

    @classmethod
    def of(cls, headers: Iterable[Header]) -> "RangeRequest":
        """From header fields with lower-case names. What is not a range is passed over, as a Content-Range is (U-10)."""
        known = [(name, value) for name, value in headers if name in (b"range", b"if-range")]
        fields = dict(known)
        match = ONE_RANGE.fullmatch(fields.get(b"range", b""))
        if match is None or len(known) != len(fields):
            return cls()
        first, last = (int(digits) if digits else None for digits in match.groups())
        if (first is None and last is None) or (first is not None and last is not None and last < first):
            return cls()
        return cls((first, last), fields.get(b"if-range"))

    def holds(self, etag: bytes, last_modified: int) -> bool:
        """Whether the client's other parts are of this representation (section 13.1.5).

        The date is a strong validator here: it grows with every CRL of a path (U-09).
        """
        if self.if_range is None:
            return True
        if b'"' in self.if_range:
            return self.if_range.strip() == etag  # strong comparison: W/ never matches
        return http_date(self.if_range) == last_modified


def ranged(answer: HttpAnswer, request: RangeRequest, etag: bytes, now: int) -> HttpAnswer:
    """The part that was asked for of a 200, or all of it, or a 416 with the size."""
    if request.span is None or not request.holds(etag, answer.last_modified):
        return answer
    size = len(answer.body)
    first, last = request.span
    if first is None:
        start, end = max(0, size - (last or 0)), size
    else:
        start, end = first, size if last is None else min(last + 1, size)
    if start >= end:
        return http_refusal(416, now, (b"content-range", b"bytes */%d" % size))
    changed = {b"content-length": b"%d" % (end - start)}
    headers = tuple((name, changed.get(name, value)) for name, value in answer.headers)
    headers += ((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)),)
    # A view: parts that slow clients are owed take no memory of their own.
    return HttpAnswer(206, headers, memoryview(answer.body)[start:end], answer.last_modified)
