"""What an outsider can tell of how a CRL is served: conformance U-05 and U-07 to U-09, each rule a check of its own."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from signer.crl.fetch import Response
from signer.crl.read import ReadCrl

__all__ = ["HTTP_CHECKS", "Exchange", "HttpCheck", "http_date", "http_faults"]

MAX_AGE = 14_400  # U-05: root programs fetch every 4 h
SKEW = 5  # seconds by which two clocks may differ, or a proxy's rounding
LONGEST = 18  # digits of a number of seconds
MEDIA_TYPE = "application/pkix-crl"  # RFC 2585 section 4
STRONG_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True, slots=True)
class Exchange:
    """The answers to GET and HEAD of one URL, and the CRL that came."""

    response: Response
    head: Response
    crl: ReadCrl

    def field(self, name: str) -> str | None:
        """A header field of the answer to GET, by lower-case name."""
        return self.response.headers.get(name)

    @property
    def directives(self) -> dict[str, str]:
        """Of Cache-Control: lower-case names, values without quotes."""
        parts = (part.partition("=") for part in (self.field("cache-control") or "").split(","))
        return {name.strip().lower(): value.strip().strip('"') for name, _, value in parts if name.strip()}

    @property
    def left_origin(self) -> int:
        """Since 1970: when the answer was made, by its Date or by its Age, whichever is earlier (RFC 9111 section 4.2.3)."""
        since = self.response.at - (_seconds(self.field("age")) or 0)
        date = http_date(self.field("date"))
        return since if date is None else min(since, date)


def _seconds(value: str | None) -> int | None:
    """A number of seconds (RFC 9111 section 1.2.2); None for anything else."""
    return int(value) if value is not None and value.isdecimal() and len(value) <= LONGEST else None


HttpCheck = Callable[[Exchange], Iterator[str]]


def http_date(value: str | None) -> int | None:
    """Seconds since 1970 of an HTTP-date; None for none."""
    try:
        date = parsedate_to_datetime(value or "")
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def check_content_type(exchange: Exchange) -> Iterator[str]:
    """U-07."""
    found = exchange.field("content-type")
    if (found or "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        yield f"Content-Type {found or 'absent'}, not {MEDIA_TYPE}"


def check_content_length(exchange: Exchange) -> Iterator[str]:
    """U-07, D9: there, as long as the body, which is in no coding."""
    found = exchange.field("content-length")
    if found != str(len(exchange.response.body)):
        yield f"Content-Length {found or 'absent'}, the body has {len(exchange.response.body)} octets"
    if coding := exchange.field("content-encoding"):
        yield f"Content-Encoding {coding}, which nobody asked for"


def check_caching(exchange: Exchange) -> Iterator[str]:
    """U-05, U-07: kept for 4 h at most and never past nextUpdate."""
    directives, next_update = exchange.directives, exchange.crl.next_update_seconds
    if not {"max-age", "no-store", "no-cache"} & directives.keys():
        yield "Cache-Control has no max-age: caches choose for how long"
    for name in ("max-age", "s-maxage"):
        value = directives.get(name)
        if value is None:
            continue
        seconds = _seconds(value)
        if seconds is None:
            yield f"Cache-Control has {name}={value}"
            continue
        if seconds > MAX_AGE:
            yield f"Cache-Control has {name}={value}, at most {MAX_AGE} s are allowed"
        if next_update is not None and (over := exchange.left_origin + seconds - next_update) > 0:
            yield f"Cache-Control has {name}={value}, which ends {over} s after nextUpdate"
    expires = http_date(exchange.field("expires"))
    if expires is not None and next_update is not None and expires > next_update:
        yield f"Expires {exchange.field('expires')} is {expires - next_update} s after nextUpdate"


def check_stale(exchange: Exchange) -> Iterator[str]:
    """U-08: windows in which caches give out what is over end before nextUpdate, and contradict nothing."""
    directives, next_update = exchange.directives, exchange.crl.next_update_seconds
    for name in directives.keys() & {"stale-while-revalidate", "stale-if-error"}:
        if "must-revalidate" in directives:
            yield f"Cache-Control has {name} and must-revalidate"
        window, max_age = _seconds(directives[name]), _seconds(directives.get("max-age", "0"))
        if window is None or max_age is None:
            yield f"Cache-Control has {name}={directives[name]}"
        elif next_update is not None and exchange.left_origin + window + max_age >= next_update:
            yield f"Cache-Control has {name}={directives[name]}, which ends after nextUpdate"


def check_age(exchange: Exchange) -> Iterator[str]:
    """RFC 9111 section 4.2: no cache gives out what is over."""
    max_age = _seconds(exchange.directives.get("max-age"))
    age = exchange.response.at - exchange.left_origin
    if max_age is not None and age > max_age + SKEW:
        yield f"the answer is {age} s old and was to be kept for {max_age}"


def check_last_modified(exchange: Exchange) -> Iterator[str]:
    """U-07, U-09: not before thisUpdate, or who has the CRL before would be told that it has not changed."""
    found = exchange.field("last-modified")
    seconds, this_update = http_date(found), exchange.crl.this_update_seconds
    if seconds is None:
        yield f"Last-Modified {found or 'absent'}"
    elif this_update is not None and seconds < this_update:
        yield f"Last-Modified {found} is {this_update - seconds} s before thisUpdate"
    elif seconds > exchange.response.at + SKEW:
        yield f"Last-Modified {found} is ahead of the clock"


def check_etag(exchange: Exchange) -> Iterator[str]:
    """U-07: strong."""
    found = exchange.field("etag")
    if found is None or not STRONG_TAG.fullmatch(found):
        yield f"ETag {found or 'absent'}, not a strong one"


def check_head(exchange: Exchange) -> Iterator[str]:
    """U-09: HEAD says the size and date of what GET brings, unless there is a later CRL by then."""
    for name in ("content-length", "last-modified", "etag"):
        by_get, by_head = exchange.field(name), exchange.head.headers.get(name)
        later = (http_date(exchange.head.headers.get("last-modified")) or 0) > (
            http_date(exchange.field("last-modified")) or 0
        )
        if by_get != by_head and not later:
            yield f"HEAD has {name} {by_head or 'absent'}, GET {by_get or 'absent'}"


HTTP_CHECKS: tuple[tuple[str, HttpCheck], ...] = (
    ("content type", check_content_type),
    ("content length", check_content_length),
    ("caching", check_caching),
    ("stale windows", check_stale),
    ("age", check_age),
    ("last modified", check_last_modified),
    ("etag", check_etag),
    ("head", check_head),
)


def http_faults(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """Everything that is wrong with how one CRL is served: the name of the check, and what it found."""
    for name, check in HTTP_CHECKS:
        for message in check(exchange):
            yield name, message
