"""What an outsider can tell of a whole CRL set: every CRL of it seen, then what they are to each other and to the lists."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from cryptography import x509

from _fastpath.errors import MalformedDer
from signer.crl.build import CrlScope
from signer.crl.fetch import Fetcher, FetchFault, Response
from signer.crl.read import IDP, read_crl
from signer.crl.verify_crl import Sight, crl_faults
from signer.crl.verify_http import Exchange, http_faults
from store.clock import Clock
from store.errors import StoreFormatError, StoreUnavailable
from store.objects import UNSHARDED, Manifest, ObjectStore, PublishedShard, read_object

__all__ = [
    "Finding",
    "Found",
    "Look",
    "Target",
    "Verdict",
    "check_complete",
    "check_disclosed",
    "check_kinds",
    "check_partition",
    "check_published",
    "check_urls",
    "look_at_objects",
    "look_by_http",
    "verify_one",
]

MISSING = 1000  # shards of a series that are named
FULL = next(series for series, name in UNSHARDED.items() if name == "full")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: where, by which check, and what."""

    url: str
    check: str
    message: str


@dataclass(frozen=True, slots=True)
class Target:
    """One CRL that is to be looked at, and what the manifest says of it."""

    url: str
    published: PublishedShard | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The octets of a CRL, and how they came if it was by HTTP."""

    data: bytes
    at: int  # seconds since 1970
    by_http: tuple[Response, Response] | None = None  # GET, HEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One CRL of a set after it was looked at. What could not be read is None."""

    target: Target
    findings: list[Finding] = field(default_factory=list)
    crl_number: int | None = None
    this_update: int | None = None
    next_update: int | None = None
    size: int | None = None
    sha256: str | None = None
    is_full: bool | None = None  # no issuingDistributionPoint
    left_origin: int = 0  # seconds since 1970, when the answer was made
    serials: list[bytes] = field(default_factory=list)


Look = Callable[[Target], Found]  # raises FetchFault


def look_by_http(fetcher: Fetcher) -> Look:
    """Looks at the URL of a target."""

    def look(target: Target) -> Found:
        head = fetcher.head(target.url)
        response = fetcher.get(target.url)
        return Found(response.body, response.at, (response, head))

    return look


def look_at_objects(store: ObjectStore, prefix: str, clock: Clock) -> Look:
    """Looks into an object store, where the manifest names paths; `prefix` of them is where the store begins."""

    def look(target: Target) -> Found:
        if target.published is None:
            raise FetchFault("fetch", "the manifest does not name its path")
        path = target.published.path.removeprefix(prefix)
        try:
            found = read_object(store, path)
        except StoreUnavailable as error:
            raise FetchFault("fetch", error.message) from None
        except StoreFormatError as error:
            raise FetchFault("size", error.message) from None
        if found is None:
            raise FetchFault("fetch", f"nothing at {path}")
        return Found(found.data, clock.now())

    return look


def verify_one(
    target: Target, look: Look, certificate: x509.Certificate, *, scope: CrlScope | None = None
) -> Verdict:
    """Every check on one CRL of its own; `scope` is whose rules a CRL is held to that does not say."""
    try:
        found = look(target)
        crl = read_crl(found.data)
    except FetchFault as fault:
        return Verdict(target=target, findings=[Finding(target.url, fault.check, str(fault))])
    except MalformedDer as error:
        return Verdict(target=target, findings=[Finding(target.url, "parse", str(error))])
    is_full = crl.extension(IDP) is None
    sight = Sight(
        crl=crl,
        url=target.url,
        certificate=certificate,
        now=found.at,
        scope=scope if is_full else None,
    )
    faults = list(crl_faults(sight))
    left_origin = found.at
    if found.by_http is not None:
        exchange = Exchange(*found.by_http, crl)
        faults += http_faults(exchange)
        left_origin = exchange.left_origin
    return Verdict(
        target=target,
        findings=[Finding(target.url, *fault) for fault in faults],
        crl_number=crl.crl_number,
        this_update=crl.this_update_seconds,
        next_update=crl.next_update_seconds,
        size=len(found.data),
        sha256=crl.sha256.hex(),
        is_full=is_full,
        left_origin=left_origin,
        serials=[serial for serial, _, _ in crl.entries()],
    )


def check_urls(urls: Sequence[str]) -> Iterator[Finding]:
    """P-04, U-01: a list names each URL once, and CRLs are fetched by plain http."""
    for url, times in Counter(urls).items():
        if times > 1:
            yield Finding(url, "list", f"named {times} times")
        if not url.startswith("http://"):
            yield Finding(url, "list", "not a URL of http://")


def check_complete(source: str, manifest: Manifest) -> Iterator[Finding]:
    """P-09: of every series the shards from 0 on, each once."""
    indices: dict[int, list[int]] = {}
    for shard in manifest.shards:
        indices.setdefault(shard.series, []).append(shard.shard_index)
    counts = {shard.series: shard.shard_count for shard in manifest.shards}
    for series, found in sorted(indices.items()):
        times = Counter(found)
        total = max(max(found) + 1, counts[series])
        missing = list(islice((index for index in range(total) if index not in times), MISSING))
        for index in sorted({*times, *missing}):
            if times[index] != 1:
                what = f"is there {times[index]} times" if times[index] else "is missing"
                yield Finding(source, "set", f"series {series}: shard {index} {what}")
        more = total - sum(0 <= index < total for index in times) - len(missing)
        if more > 0:
            yield Finding(source, "set", f"series {series}: {more} more shards are missing")


def check_disclosed(
    source: str, full: Sequence[str], partitioned: Sequence[str], manifest: Manifest
) -> Iterator[Finding]:
    """P-04: what the CCADB is told of is the full CRL, or all that are none, character for character; `""` is nothing."""
    shards = [shard.url for shard in manifest.shards if shard.series != FULL]
    for name, told, known in (
        ("ccadb-full.json", full, [shard.url for shard in manifest.shards if shard.series == FULL]),
        ("ccadb-partitioned.json", partitioned, shards),
    ):
        for url in sorted({*told} - {*known, ""}):
            yield Finding(url, "disclosed", f"is in {name} and not such a CRL of {source}")
        for url, times in Counter(told).items():
            if times > 1:
                yield Finding(url, "disclosed", f"is {times} times in {name}")
    if {*partitioned} - {""}:
        for url in sorted({*shards} - {*partitioned}):
            yield Finding(url, "disclosed", "is not in ccadb-partitioned.json")
    if not full and not partitioned:
        yield Finding(source, "disclosed", "there is no array for the CCADB beside it")


def check_kinds(verdicts: Iterable[Verdict]) -> Iterator[Finding]:
    """C-12, P-04, P-06: all URLs of a full CRL serve the same octets; a shard says where it lives.

    Which of them are full the manifest says; an array of URLs without one is of shards, or of one full CRL.
    """
    read = [verdict for verdict in verdicts if verdict.is_full is not None]
    is_array_of_full = all(verdict.is_full and verdict.target.published is None for verdict in read)
    full: Verdict | None = None
    for verdict in read:
        published, url = verdict.target.published, verdict.target.url
        meant = is_array_of_full if published is None else published.series == FULL
        if verdict.is_full and not meant:
            yield Finding(url, "extensions", "no issuingDistributionPoint")
        elif meant and not verdict.is_full:
            yield Finding(url, "extensions", "a full CRL has an issuingDistributionPoint")
        elif meant:
            full = full or verdict
            if verdict.sha256 != full.sha256:
                yield Finding(url, "set", f"is not the full CRL that {full.target.url} has")


def check_partition(verdicts: Iterable[Verdict]) -> Iterator[Finding]:
    """C-14, C-19, D5: no serial is in two shards. A full CRL repeats them all."""
    seen: dict[bytes, str] = {}
    for verdict in verdicts:
        if verdict.is_full:
            continue
        url = verdict.target.url
        for serial in verdict.serials:
            first = seen.setdefault(serial, url)
            if first != url:
                yield Finding(url, "partition", f"serial {serial.hex()} is in {first} too")


def check_published(verdict: Verdict, generated_at: int) -> Iterator[Finding]:
    """U-06, D1: the CRL that the manifest names, or a later one; an earlier one only from before the manifest.

    A cache may have kept the one before: what left the responder earlier than the manifest was made shows that.
    """
    published = verdict.target.published
    if published is None or verdict.crl_number is None or verdict.this_update is None:
        return
    number, url = verdict.crl_number, verdict.target.url
    if number < published.crl_number and verdict.left_origin >= generated_at:
        yield Finding(url, "manifest", f"cRLNumber {number} is below {published.crl_number} of the manifest")
    elif number > published.crl_number and verdict.this_update <= published.this_update:
        yield Finding(
            url, "manifest", f"cRLNumber {number} is above that of the manifest, thisUpdate is not later"
        )
    elif number == published.crl_number:
        for name in ("this_update", "next_update", "size", "sha256"):
            ours, theirs = getattr(verdict, name), getattr(published, name)
            if ours != theirs:
                yield Finding(url, "manifest", f"{name} is {ours}, in the manifest {theirs}")
        if len(verdict.serials) != published.entries:
            yield Finding(
                url, "manifest", f"{len(verdict.serials)} entries, in the manifest {published.entries}"
            )
