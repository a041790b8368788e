from collections.abc import Callable, Iterable, Mapping
from typing import Any, final

from _fastpath.answer import Entry
from _fastpath.cache import Cache
from _fastpath.certid import CertID, IssuerID
from _fastpath.floor import Floor
from _fastpath.replies import ReplyQueue
from _fastpath.template import Template

# Causes are strings of responder.errors.TryLaterCause; an outcome is an Entry, a cause, "no_record" (the page is
# whole and does not have it) or an exception that nobody foresaw.

@final
class Signer:
    """A template whose signer holds for the issuer, and the sample of its signatures that is verified (C2).

    A response is handed to `verify` if none was for `interval` seconds of the event loop's time, or if the last one
    was bad: where lookups are few, every one. The times are those of the signer's certificate, in seconds since 1970.
    """

    def __init__(
        self,
        number: int,
        template: Template,
        *,
        not_before: int,
        not_after: int,
        verify: Callable[[bytes], bool],
        interval: float,
    ) -> None: ...
    @property
    def number(self) -> int: ...
    @property
    def template(self) -> Template: ...

@final
class View:
    """What the store said of an issuer at one time. It holds until the source has another.

    `imported` is given the body of a response that was imported whole, the hash algorithm and the serial that were
    asked for; its store.imported.Admitted, or None if it must not be served.
    """

    def __init__(
        self,
        name: str,
        issuer: IssuerID,
        *,
        page_prefix: bytes,
        page_bits: int,
        algorithms: Iterable[int],
        signers: Mapping[int, Signer],
        refused: Mapping[int, Any],
        imported: Callable[[bytes, int, bytes], Any],
    ) -> None: ...
    @property
    def name(self) -> str: ...

@final
class StatusSource:
    """One worker's cache, issuers and lookups under way.

    `damaged` is told issuer name, serial and reason of a record that is not the one asked for, `below_floor` issuer name
    and serial of one that is good though the serial is on the floor, which is no answer ("floor"). `wall` is wall time,
    `monotonic` the event loop's time; a lookup has `timeout` seconds.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        damaged: Callable[[str, bytes, str], None],
        below_floor: Callable[[str, bytes], None],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        max_age_cap: int,
        max_unverified: float,
        timeout: float,
    ) -> None: ...
    channel: ReplyQueue | None  # to the store; None while there is no connection
    floor: Floor | None  # for what is read from now on
    @property
    def cache(self) -> Cache: ...
    def pages(self) -> list[bytes]:
        """Keys of the pages of which something is cached."""

    def drop_below_floor(self, page_keys: Iterable[bytes]) -> None:
        """Forget those of these pages that have a good answer for a serial that is on the floor by now."""

    def verified(self, at: float) -> None:
        """The connection answered a heartbeat that was sent at this monotonic time: what is cached holds (A1)."""

    def cut_off(self) -> None:
        """The connection is lost: what is cached may have changed."""

    def renew(self, channel: ReplyQueue) -> None:
        """A new connection tracks changes and takes the lookups: nothing is used that was read over another."""

    def max_age_limit(self) -> int | None:
        """For how many seconds an answer may be kept by others now; None where nothing may be sent out of the cache."""

    def set_view(self, issuer: IssuerID, view: View | None) -> None:
        """The issuer's present view, None while there is none. What was read under another is forgotten."""

    def find(self, cert_id: CertID) -> Entry | None:
        """The entry that the cache has for a CertID."""

    def look_up(self, view: View, cert_id: CertID, waiter: Callable[[Any], None]) -> Any:
        """Ask the store, or join who does: `waiter` is called with the outcome. The cause why it cannot be asked,
        else None."""
