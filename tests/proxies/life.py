"""An answer as a cache sees it: when it came, how old it says it is, and for how long it may be kept."""

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from tests.conformance.http import Client, Response, target_of
from tests.proxies.origin import Origin

__all__ = ["Sight", "got", "reached"]


@dataclass(frozen=True, slots=True)
class Sight:
    """What came back by GET, and when."""

    answer: Response
    at: float  # seconds since 1970

    @property
    def max_age(self) -> int:
        found = re.search(r"max-age=(\d+)", self.answer.headers["cache-control"])
        assert found
        return int(found[1])

    @property
    def says_age(self) -> float:
        """Its age as RFC 9111 section 4.2.3 has it: by `Age` or by `Date`, whichever is more."""
        apparent = self.at - parsedate_to_datetime(self.answer.headers["date"]).timestamp()
        return max(apparent, int(self.answer.headers.get("age", "0")), 0)


def got(web: Client, request: bytes) -> Sight:
    """Ask by GET."""
    answer = web.request("GET", target_of(request))
    return Sight(answer, time.time())


def reached(origin: Origin) -> int:
    """OCSP requests by GET or HEAD that the responder has seen so far."""
    text = httpx.get(f"http://127.0.0.1:{origin.service.admin_port}/metrics").text
    values = re.findall(r'^ocsp_responses_total\{method="(?:GET|HEAD)",status="\w+"\} (\S+)$', text, re.M)
    assert values
    return int(sum(map(float, values)))
