"""`crl verify` of 128 shards through nginx and Varnish: nothing is found, until somebody spoils something."""

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from _fastpath.crl_reader import Crl
from _fastpath.der import encode_unsigned
from _fastpath.http import imf_fixdate
from signer.crl.build import CrlEntry, CrlFields, build_shard
from store.objects import Manifest
from tests.proxies.crl_world import SHARDS, World, crl_world, in_the_middle
from tests.proxies.fronts import FRONTS, Front, Kind
from tests.signer.crl_authority import make_authority
from tests.signer.crl_forge import Parts, entry, extension, forge, reason, right
from tests.signer.crl_server import http_message

pytestmark = pytest.mark.slow  # nginx and Varnish are installed by tests/tools.sh

CACHES = {kind.name: kind for kind in FRONTS if kind.name in ("nginx", "varnish")}
DAY = 86_400
WEEK = 7 * DAY


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with crl_world(tmp_path_factory.mktemp("w")) as made:
        yield made


@pytest.fixture(scope="module", params=CACHES)
def kind(request: pytest.FixtureRequest) -> Kind:
    return CACHES[request.param]


@dataclass(frozen=True, slots=True)
class Report:
    """What `crl verify --json` said."""

    crls: int
    entries: int
    findings: list[tuple[str, str, str]]  # URL, check, message


def verified(world: World, port: int, urls: Path, code: int) -> Report:
    done: subprocess.CompletedProcess[str] = world.origin.service.signer(
        *("crl", "verify", "--urls", str(urls), "--issuer", "demo"),
        *("--connect-to", f"127.0.0.1:{port}", "--json"),
        expect=code,
    )
    *crls, summary = map(json.loads, done.stdout.splitlines())
    findings = [(crl["url"], one["check"], one["message"]) for crl in crls for one in crl["findings"]]
    return Report(summary["crls"], summary["entries"], findings)


@pytest.mark.conformance("P-06", "P-07", "P-09", "U-01", "U-05", "U-07", "C-19")
def test_a_published_set_passes(world: World, kind: Kind, tmp_path: Path) -> None:
    """Fetched twice: from the responder and from the cache. By manifest, and by the array for the CCADB."""
    array = tmp_path / "array.json"
    array.write_text(json.dumps([shard.url for shard in world.manifest.shards]))
    revoked = sum(shard.entries for shard in world.manifest.shards)
    assert revoked == 100
    with kind.before(world.origin, tmp_path / "p") as front:
        for urls in (world.manifest_file, array):
            assert verified(world, front.port, urls, 0) == Report(SHARDS, revoked, [])


def url(index: int) -> str:
    return f"http://crl.test/crl/demo/0-{index}.crl"


def path(index: int) -> str:
    return f"/crl/demo/0-{index}.crl"


Spoilt = dict[str, bytes]  # target -> message


@dataclass(frozen=True, slots=True)
class Fault:
    """What is planted, and the findings that have to come: index of the shard, check and a part of the message."""

    plant: Callable[[World], Spoilt]
    expected: tuple[tuple[int, str, str], ...]


def served(data: bytes, *, age: int = 3600, **fields: str) -> bytes:
    """As the responder would serve it, unless `fields` says otherwise."""
    now = int(time.time())
    named = {
        "Date": imf_fixdate(now).decode(),
        "Content_Type": "application/pkix-crl",
        "Last_Modified": imf_fixdate(now).decode(),
        "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
        "Cache_Control": f"public, max-age={age}, no-transform",
    }
    return http_message(200, data, **(named | fields))


def entries(world: World, index: int) -> list[CrlEntry]:
    return list(Crl(world.crl(index)))


def rebuilt(world: World, index: int, more: tuple[CrlEntry, ...] = (), *, at: str | None = None) -> bytes:
    """The next CRL of a shard, by the CA, a second later than the one that is published."""
    before = world.manifest.shards[index]
    fields = CrlFields(
        crl_number=before.crl_number + 1,
        this_update=before.this_update + 1,
        next_update=before.next_update + 1,
        distribution_point_url=at or before.url,
    )
    return build_shard(world.ca, fields, sorted([*entries(world, index), *more]))


def parts(world: World, index: int, **changes: bytes | tuple[bytes, ...]) -> bytes:
    """The same, put together by hand, with changes to its parts."""
    before = world.manifest.shards[index]
    made: Parts = right(
        number=before.crl_number + 1, url=before.url, this_update=before.this_update + 1, signer=world.ca
    )
    same = tuple(
        entry(serial, reason(code) if code else b"", at=when) for serial, when, code in entries(world, index)
    )
    return forge(replace(made, entries=same), world.ca, **changes)


def aged(world: World, index: int, this_update: int) -> bytes:
    """Of another time, for a week."""
    before = world.manifest.shards[index]
    made = right(number=before.crl_number + 1, url=before.url, this_update=this_update, signer=world.ca)
    return forge(made, world.ca)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def of_another_ca(world: World) -> Spoilt:
    stranger = make_authority(name="Another CA")
    before = world.manifest.shards[7]
    made = right(
        number=before.crl_number + 1, url=before.url, this_update=before.this_update + 1, signer=stranger
    )
    return {path(7): served(forge(made, stranger))}


def kept_too_long(world: World) -> Spoilt:
    ends_soon = aged(world, 12, int(time.time()) - WEEK + 600)
    return {path(12): served(ends_soon, age=3600)}


FAULTS: dict[str, Fault] = {
    "a signature that does not verify": Fault(
        lambda world: {path(1): served(flipped(world.crl(1)))},
        ((1, "signature", "signatureValue does not verify with the key of the CA"),),
    ),
    # Varnish does not pass it on.
    "a torn body": Fault(
        lambda world: {path(2): served(world.crl(2))[:-20]},
        ((2, "length|status", "the body ends after|status 503"),),
    ),
    "a body torn and declared so": Fault(
        lambda world: {path(2): served(world.crl(2)[:-20])}, ((2, "parse", "a length points past the end"),)
    ),
    "a stale CRL": Fault(
        lambda world: {
            path(3): served(aged(world, 3, int(time.time()) - WEEK - 60), Cache_Control="no-store")
        },
        ((3, "dates", "stale: nextUpdate was 6. s ago"),),
    ),
    "a CRL from the future": Fault(
        lambda world: {path(3): served(aged(world, 3, int(time.time()) + 3600))},
        ((3, "dates", "thisUpdate is 3... s ahead of the clock"),),
    ),
    "a distribution point that is another URL": Fault(
        lambda world: {path(4): served(rebuilt(world, 4, at=url(4).replace("//crl.", "//CRL.")))},
        ((4, "distribution point", f"names http://CRL.test/crl/demo/0-4.crl, not {url(4)}"),),
    ),
    "a missing shard": Fault(
        lambda world: {path(5): http_message(404)}, ((5, "status", "status 404, not 200"),)
    ),
    "a shard that fails": Fault(
        lambda world: {path(5): http_message(503)}, ((5, "status", "status 503, not 200"),)
    ),
    "a serial in two shards": Fault(
        lambda world: {path(6): served(rebuilt(world, 6, tuple(entries(world, 0)[:1])))},
        ((6, "partition", f"serial .* is in {url(0)} too"),),
    ),
    "a serial twice in a shard": Fault(
        lambda world: {path(6): served(parts(world, 6, entries=(entry(b"\x07"), entry(b"\x07"))))},
        ((6, "serials", "entry 1: serial 07 was there before"),),
    ),
    "another CA's CRL": Fault(
        of_another_ca,
        (
            (7, "issuer", "is not the subject of the CA certificate"),
            (7, "signature", "does not verify with the key of the CA"),
        ),
    ),
    "a reason that is forbidden": Fault(
        lambda world: {path(8): served(parts(world, 8, entries=(entry(b"\x07", reason(6)),)))},
        ((8, "reasons", "entry 0, serial 07: reasonCode 6 is not allowed"),),
    ),
    "a critical reason": Fault(
        lambda world: {path(8): served(parts(world, 8, entries=(entry(b"\x07", reason(1, critical=True)),)))},
        ((8, "entry extensions", "entry 0, serial 7: reasonCode is critical"),),
    ),
    "a number below the manifest's": Fault(
        lambda world: {path(9): served(parts(world, 9, number=_number_beside(world, 9, -1)))},
        ((9, "manifest", r"cRLNumber \d is below \d of the manifest"),),
    ),
    "other octets under the same number": Fault(
        lambda world: {path(9): served(parts(world, 9, number=_number_beside(world, 9, 0)))},
        ((9, "manifest", "sha256 is .*, in the manifest "),),
    ),
    "no key identifier": Fault(
        lambda world: {path(10): served(parts(world, 10, key_identifier=b""))},
        ((10, "extensions", "no authorityKeyIdentifier"),),
    ),
    "another content type": Fault(
        lambda world: {path(11): served(world.crl(11), Content_Type="text/plain")},
        ((11, "content type", "Content-Type text/plain, not application/pkix-crl"),),
    ),
    "kept past nextUpdate": Fault(
        kept_too_long, ((12, "caching", "max-age=3600, which ends (299.|300.) s after nextUpdate"),)
    ),
    "kept for a day": Fault(
        lambda world: {path(12): served(world.crl(12), age=DAY)},
        ((12, "caching", "max-age=86400, at most 14400 s are allowed"),),
    ),
    "a redirect": Fault(
        lambda world: {path(13): http_message(301, Location="http://elsewhere.test/x.crl")},
        ((13, "redirect", "status 301 to http://elsewhere.test/x.crl, which is not followed"),),
    ),
    "a distribution point that is not critical": Fault(
        lambda world: {path(14): served(parts(world, 14, distribution_point=_not_critical(url(14))))},
        ((14, "extensions", "issuingDistributionPoint is not critical"),),
    ),
    "no distribution point": Fault(
        lambda world: {path(14): served(parts(world, 14, distribution_point=b""))},
        ((14, "extensions", "no issuingDistributionPoint"),),
    ),
    "two shards swapped": Fault(
        lambda world: {path(15): served(world.crl(16)), path(16): served(world.crl(15))},
        (
            (15, "distribution point", f"names {url(16)}, not {url(15)}"),
            (16, "distribution point", f"names {url(15)}, not {url(16)}"),
        ),
    ),
    "PEM": Fault(
        lambda world: {path(17): served(b"-----BEGIN X509 CRL-----\nMII=\n-----END X509 CRL-----\n")},
        ((17, "parse", "PEM, not DER"),),
    ),
}


def _number_beside(world: World, index: int, difference: int) -> bytes:
    """The extension with the number of the manifest, or one near it."""
    return extension(20, encode_unsigned(bytes([world.manifest.shards[index].crl_number + difference])))


def _not_critical(at: str) -> bytes:
    critical = right(url=at).distribution_point
    return critical[:1] + bytes([critical[1] - 3]) + critical[2:].replace(b"\x01\x01\xff\x04", b"\x04", 1)


@pytest.mark.conformance(
    "P-06", "P-09", "U-06", "U-07", "C-02", "C-07", "C-08", "C-09", "C-14", "C-15", "C-19"
)
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(world: World, kind: Kind, tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    spoilt = fault.plant(world)
    with (
        in_the_middle(world, spoilt.get) as port,
        kind.before(world.origin, tmp_path / "p", by=port) as front,
    ):
        report = verified(world, front.port, world.manifest_file, 1)
    assert {at for at, _, _ in report.findings} == {url(index) for index, _, _ in fault.expected}
    for index, check, message in fault.expected:
        assert _is_found(report, url(index), check, message), report.findings


def _is_found(report: Report, at: str, check: str, message: str) -> bool:
    return any(
        where == at and re.fullmatch(check, which) and re.search(message, what)
        for where, which, what in report.findings
    )


@pytest.mark.conformance("P-09")
def test_a_manifest_that_leaves_one_out(world: World, tmp_path: Path) -> None:
    manifest = world.manifest
    short = tmp_path / "manifest.json"
    kept = [shard for shard in manifest.shards if shard.shard_index != 20]
    short.write_bytes(Manifest(issuer="demo", generated_at=manifest.generated_at, shards=kept).encode())
    report = verified(world, world.origin.port, short, 1)
    assert (report.crls, report.findings) == (127, [(str(short), "set", "series 0: shard 20 is missing")])


@pytest.mark.conformance("U-06")
def test_a_cache_may_have_the_crl_before(world: World, kind: Kind, tmp_path: Path) -> None:
    """Built again while caches keep the first: what they have is not newer than it says, and passes."""
    with kind.before(world.origin, tmp_path / "p") as front:
        assert verified(world, front.port, world.manifest_file, 0).findings == []
        before = world.manifest.shards[0].crl_number
        world.origin.service.signer("crl", "build", "--quiet")
        assert world.manifest.shards[0].crl_number == before + 1
        assert verified(world, front.port, world.manifest_file, 0).findings == []
        assert _number(front) == before  # out of the cache
        assert verified(world, world.origin.port, world.manifest_file, 0).findings == []


def _number(front: Front) -> int:
    return Crl(front.web.request("GET", path(0)).body).crl_number
