"""uvicorn's HTTP/1 protocol with limits that hold while a message is read, and refusals that carry a Date."""

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from responder.answers import http_refusal
from responder.config import ResponderSection
from responder.counters import Counters
from store.clock import Clock

__all__ = ["OCSPProtocol", "ServingState"]

REASONS = {
    400: b"Bad Request",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
RETRY_AFTER = (b"retry-after", b"1")


class ServingState:
    """What a connection needs of its worker; kept in the lifespan state under `KEY`."""

    KEY = "ocspeed"

    def __init__(self, section: ResponderSection, counters: Counters, clock: Clock) -> None:
        self.section = section
        self.counters = counters
        self.clock = clock


class OCSPProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._serving: ServingState = self.app_state[ServingState.KEY]
        self._header_size = 0
        self._refusal = 400

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_size = 0

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > self._serving.section.target_limit:
            self._refuse(414)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_size += len(name) + len(value) + 4  # colon, space, line end
        if self._header_size > self._serving.section.header_limit:
            self._refuse(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        limit = self._serving.section.limit_concurrency
        if limit is not None and len(self.connections) > limit:
            self._refuse(503)  # H-20
        # The parser takes what follows an Upgrade for another protocol: such a body cannot be read.
        fields = dict(self.headers)
        if self.parser.should_upgrade() and (fields.keys() & {b"content-length", b"transfer-encoding"}):
            self._refuse(400)
        super().on_headers_complete()

    def _refuse(self, code: int) -> None:
        self._refusal = code
        raise httptools.HttpParserError(f"refused with {code}")  # ends in send_400_response

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser refused, and close: where the next message would begin is not known."""
        extra = (RETRY_AFTER,) if self._refusal == 503 else ()
        answer = http_refusal(self._refusal, self._serving.clock.now(), *extra)
        self._serving.counters.add("http_refusals_total", str(answer.code))
        lines = [b"HTTP/1.1 %d %b" % (answer.code, REASONS[answer.code])]
        lines += [name + b": " + value for name, value in answer.headers]
        self.transport.write(b"\r\n".join([*lines, b"", b""]))
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade is declined by answering as usual; the parser is of no use after it, so the connection ends."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False
