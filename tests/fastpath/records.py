"""A worker's cache and lookups over a connection whose store is the test: records as they are asked for, no sockets."""

from collections.abc import Callable
from typing import Any

import hiredis

from _fastpath import der
from _fastpath.cache import Cache
from _fastpath.certid import SHA1, CertID, IssuerID
from _fastpath.lookup import Signer, StatusSource, View
from _fastpath.ocsp import SingleResponse
from _fastpath.page import encode_record, page_number
from _fastpath.replies import ReplyQueue
from _fastpath.request import parse_request
from _fastpath.template import Template
from responder.counters import Counters, bounds_of, slot_of
from tests.fastpath.authority import NAME, THIS_UPDATE, VALIDITY, good, make_template

NOW = THIS_UPDATE + 3600
SLOT = 3
SIGNATURE = bytes(range(64))
NEXT_UPDATE = THIS_UPDATE + VALIDITY
PAGE_BITS = 4


def bulk(value: bytes | None) -> bytes:
    """A reply as the server writes it."""
    return b"_\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def invalidation(*keys: bytes) -> bytes:
    return b">2\r\n$10\r\ninvalidate\r\n*%d\r\n%b" % (len(keys), b"".join(bulk(key) for key in keys))


class Source:
    """A StatusSource with a connection, a clock to set, and what it told."""

    def __init__(
        self,
        limit: int = 1 << 40,
        *,
        template: Template | None = None,
        page_bits: int = PAGE_BITS,
        interval: float = 1e12,
        max_unverified: float = 300.0,
        room: int = 1 << 40,
    ) -> None:
        self.now = NOW
        self.monotonic = 1000.0
        self.damaged: list[tuple[str, bytes, str]] = []
        self.below_floor: list[tuple[str, bytes]] = []
        self.verifies: Callable[[bytes], bool] = lambda body: True
        self.room = room
        self.interval = interval
        self.page_bits = page_bits
        self.template = template or make_template()
        self.issuer = IssuerID(NAME.public_bytes(), b"the key")
        self.cache = Cache(limit)
        self.compiled = StatusSource(
            self.cache,
            damaged=lambda issuer, serial, reason: self.damaged.append((issuer, serial, reason)),
            below_floor=lambda issuer, serial: self.below_floor.append((issuer, serial)),
            wall=lambda: self.now,
            monotonic=lambda: self.monotonic,
            max_age_cap=3600,
            max_unverified=max_unverified,
            timeout=0.04,
        )
        self.signer = Signer(
            7,
            self.template,
            not_before=0,
            not_after=1 << 40,
            verify=lambda body: self.verifies(body),
            interval=interval,
        )
        self.connect()
        self.view = self.new_view()
        self.compiled.set_view(self.issuer, self.view)

    def connect(self) -> None:
        """A new connection, which is verified."""
        self.channel = ReplyQueue(
            flush=lambda: None,
            arm=lambda deadline: None,
            invalidated=self.cache.invalidate,
            refused=lambda message: None,
            room=self.room,
            tally=Counters.private().tally,
            slot=slot_of("store_seconds", "lookup"),
            bounds=bounds_of("store_seconds"),
        )
        self.compiled.renew(self.channel)
        self.compiled.verified(self.monotonic)

    def new_view(self, *, epoch: int = 1, name: str = "demo", refused: dict[int, Any] | None = None) -> View:
        return View(
            name,
            self.issuer,
            page_prefix=b"ocsp:page:%b:%d:" % (name.encode(), epoch),
            page_bits=self.page_bits,
            algorithms=(SHA1,),
            signers={SLOT: self.signer},
            refused=refused or {},
            imported=lambda body, algorithm, serial: None,
        )

    def cert_id(self, serial: bytes, algorithm: int = SHA1) -> CertID:
        encoded = self.issuer.encode_cert_id(algorithm, serial)
        for _ in range(4):  # Request, requestList, TBSRequest, OCSPRequest
            encoded = der.encode(0x30, encoded)
        return parse_request(encoded).cert_ids[0]

    def page_key(self, serial: bytes) -> bytes:
        return b"ocsp:page:demo:1:%d" % page_number(serial, self.page_bits)

    def record(self, response: SingleResponse, *, slot: int = SLOT, sha1: bytes | None = SIGNATURE) -> bytes:
        return encode_record(self.issuer, self.template, slot, response, sha1, SIGNATURE)

    def ask(self, serial: bytes, algorithm: int = SHA1) -> list[Any]:
        """Look up; what it comes to is appended to what is returned, or is there already."""
        told: list[Any] = []
        cause = self.compiled.look_up(self.view, self.cert_id(serial, algorithm), told.append)
        if cause is not None:
            told.append(cause)
        return told

    def requests(self) -> list[list[bytes]]:
        """The commands that leave now."""
        reader = hiredis.Reader()
        reader.feed(self.channel.take_outgoing())
        return list(iter(reader.gets, False))

    def reply(self, *values: bytes | None) -> None:
        for value in values:
            self.channel.feed(bulk(value), self.monotonic)

    def reply_absent(self, header: bytes | None = None, length: int = 1) -> None:
        """No record, however often it is asked for; header and length to who asks for them."""
        while commands := self.requests():
            for command in commands:
                if command[0] == b"HLEN":
                    self.channel.feed(b":%d\r\n" % length, self.monotonic)
                else:
                    self.reply(header if command[2] == b"" else None)

    def fetch(self, serial: bytes) -> Any:
        """Look up and be answered at once with a good record."""
        told = self.ask(serial)
        self.channel.take_outgoing()
        self.reply(self.record(good(serial)))
        return told[0]

    def has(self, serial: bytes, algorithm: int = SHA1) -> bool:
        return self.compiled.find(self.cert_id(serial, algorithm)) is not None
