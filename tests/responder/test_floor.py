"""A2, C3: a serial on a published CRL is never answered good, whatever the store says, with or without the CRLs at hand."""

import asyncio
import datetime
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from structlog.testing import capture_logs
from structlog.typing import EventDict

from _fastpath.certid import SHA1, SHA256, serial_from_int
from responder import floor, floor_crls, floor_keeper
from responder.app import Application
from responder.config import Settings
from responder.counters import Counters
from responder.errors import TryLater
from responder.floor_file import BEGINNING, DamagedFloor, map_floor, read_floor
from responder.floor_keeper import FloorKeeper, FloorSources
from store.embedded import EmbeddedStore
from store.objects import Manifest, PublishedShard
from tests.responder.ca import CA, NOW, Shelf, good, revoked
from tests.responder.conftest import GOOD, GOOD_TOO, FakeClock, eventually, wait_until
from tests.responder.test_resolver import ask, cause_of, resolve_eventually
from tests.responder.test_serve import Service, start, stop

WEEK = 7 * 86400
DOOMED = range(0x5A17_1000, 0x5A17_1000 + 24)
PATH, OTHER_PATH = "crl/demo/0-0.crl", "crl/demo/0-1.crl"


def when(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def crl(
    ca: CA,
    number: int,
    serials: Iterator[int] | range | list[int] = DOOMED,
    *,
    path: str = PATH,
    this_update: int | None = None,
    next_update: int = NOW + WEEK,
    key: ec.EllipticCurvePrivateKey | None = None,
    more: x509.ExtensionType | None = None,
) -> bytes:
    """A CRL of the CA for the shard that belongs at a path."""
    at = NOW - 6000 + number if this_update is None else this_update
    name = x509.UniformResourceIdentifier(f"http://c.example/{path}")
    scope = x509.IssuingDistributionPoint([name], None, False, False, None, False, False)
    builder = x509.CertificateRevocationListBuilder(ca.certificate.subject, when(at), when(next_update))
    builder = builder.add_extension(x509.CRLNumber(number), False).add_extension(scope, True)
    if more is not None:
        builder = builder.add_extension(more, True)
    for serial in serials:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(serial, when(at)).build())
    return builder.sign(key or ca.key, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass
class Host:
    """The object store as one host sees it, and who keeps the host's floor."""

    objects: Path
    ca: CA
    keeper: FloorKeeper

    def publish(self, data: bytes, path: str = PATH) -> None:
        target = self.objects / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".draft")
        draft.write_bytes(data)
        draft.rename(target)

    def name_all(self, numbers: dict[str, int]) -> None:
        """The manifest says that these are published."""
        shards = [
            PublishedShard(
                url=f"http://c.example/{path}",
                path=path,
                series=0,
                shard_index=index,
                crl_number=number,
                this_update=NOW,
                next_update=NOW + WEEK,
                entries=0,
                size=0,
                sha256="",
            )
            for index, (path, number) in enumerate(numbers.items())
        ]
        self.publish(
            Manifest(issuer="demo", generated_at=NOW, shards=shards).encode(), "crl/demo/manifest.json"
        )

    def round(self) -> list[EventDict]:
        """What it says when it looks at everything once."""
        with capture_logs() as logs:
            self.keeper.round()
        return [line for line in logs if line["log_level"] in ("warning", "error")]

    def floor(self) -> set[int]:
        """Which of the doomed are on it, as workers see it."""
        found = map_floor(self.keeper.path)
        return {serial for serial in DOOMED if found.contains(self.ca.issuer.id, serial_from_int(serial))}


@pytest.fixture
def keeper_of(settings: Settings, clock: FakeClock) -> Iterator[Callable[[], FloorKeeper]]:
    settings.state_directory.mkdir(exist_ok=True)
    keepers = []

    def make() -> FloorKeeper:
        sources = FloorSources(settings.ocsp_issuers, settings.objects)
        keepers.append(FloorKeeper(settings.state_directory, lambda: sources, clock, 60.0))
        return keepers[-1]

    yield make
    for keeper in keepers:
        keeper.stop()


@pytest.fixture
def host(settings: Settings, ca: CA, keeper_of: Callable[[], FloorKeeper]) -> Host:
    """With one CRL on its floor."""
    host = Host(Path(settings.objects.location), ca, keeper_of())
    host.name_all({PATH: 1})
    host.publish(crl(ca, 1))
    assert host.round() == []
    return host


@pytest.fixture
async def worker(
    host: Host,
    shelf: Shelf,
    settings: Settings,
    counters: Counters,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Application]:
    monkeypatch.setattr(floor, "WATCH_INTERVAL", 0.02)
    application = Application(settings, counters, clock)
    await application.start()
    yield application
    await application.stop()


class OldPages:
    """What a writer of the store kept: pages on which the doomed are good."""

    def __init__(self, shelf: Shelf) -> None:
        shelf.put(*map(good, DOOMED))
        self.client = shelf.client
        self.pages = {key: self.client.dump(key) for key in {shelf.key_of(serial) for serial in DOOMED}}

    def write_back(self) -> None:
        for key, value in self.pages.items():
            assert isinstance(value, bytes)
            self.client.restore(key, 0, value, replace=True)


@pytest.mark.conformance("R-20")
@pytest.mark.invariant("A2", "C3", "G6")
async def test_old_good_records_written_back_are_not_answered(
    host: Host, worker: Application, shelf: Shelf, ca: CA, counters: Counters
) -> None:
    """0 of all good, by either hash, time and again; revocations and other certificates are answered."""
    old = OldPages(shelf)
    shelf.put(*map(revoked, DOOMED))
    for serial in DOOMED:
        assert (await resolve_eventually(worker, ask(ca, serial))).revoked
    old.write_back()
    await eventually(lambda: counters.value("ocsp_cache_removals_total", "invalidated") > 0)
    for algorithm in (SHA1, SHA256):
        for serial in (*DOOMED, *DOOMED):
            assert await cause_of(worker, ask(ca, serial, algorithm)) == (TryLater, "floor")
    assert counters.value("ocsp_floor_refusals_total") >= 4 * len(DOOMED)
    assert not (await resolve_eventually(worker, ask(ca, GOOD))).revoked


@pytest.mark.invariant("A2", "C3")
async def test_what_is_cached_goes_when_the_floor_rises(
    host: Host, worker: Application, shelf: Shelf, ca: CA
) -> None:
    """Also with the store away: it is not asked for that."""
    shelf.put(good(0x77), good(0x78))
    for serial in (0x77, 0x78):
        assert not (await resolve_eventually(worker, ask(ca, serial))).revoked
    host.publish(crl(ca, 2, [*DOOMED, 0x77]))
    host.name_all({PATH: 2})
    before = worker.source.floor
    host.round()
    await eventually(lambda: worker.source.floor is not before)
    await eventually(lambda: worker.source.find(ask(ca, 0x77).cert_ids[0]) is None)
    assert await cause_of(worker, ask(ca, 0x77)) == (TryLater, "floor")
    assert not (await resolve_eventually(worker, ask(ca, 0x78))).revoked


@pytest.mark.invariant("A2", "C3")
async def test_a_restart_without_the_object_store(
    host: Host,
    keeper_of: Callable[[], FloorKeeper],
    shelf: Shelf,
    ca: CA,
    settings: Settings,
    counters: Counters,
    clock: FakeClock,
) -> None:
    host.keeper.stop()
    shutil.rmtree(host.objects)
    OldPages(shelf)
    host.keeper = keeper_of()
    assert [line["event"] for line in host.round()] == ["floor is not as it should be"]
    assert host.floor() == set(DOOMED)
    worker = Application(settings, counters, clock)
    await worker.start()
    try:
        for serial in DOOMED:
            assert (await cause_of(worker, ask(ca, serial)))[0] is TryLater
        assert counters.value("ocsp_floor_refusals_total") > 0
    finally:
        await worker.stop()


def test_it_follows_the_newest(host: Host, ca: CA) -> None:
    """What leaves the CRL leaves the floor, once that CRL is there."""
    host.publish(crl(ca, 2, DOOMED[5:]))
    host.name_all({PATH: 2})
    assert host.round() == [] and host.floor() == set(DOOMED[5:])
    host.publish(crl(ca, 1 << 130, DOOMED[3:], this_update=NOW))
    host.name_all({PATH: 3})
    assert host.round() == [] and host.floor() == set(DOOMED[3:])


@pytest.mark.invariant("A2", "D1")
@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        (lambda ca: crl(ca, 1, []), "below 5"),
        (lambda ca: crl(ca, 5, []), "that of another one"),
        (lambda ca: crl(ca, 6, [], this_update=NOW - 9000), "thisUpdate is before"),
        (lambda ca: crl(ca, 6, [], key=ec.generate_private_key(ec.SECP256R1())), "signature is not the CA's"),
        (lambda ca: crl(CA("demo", "Another CA", key=ca.key), 6, []), "another CA's"),
        (lambda ca: crl(ca, 6, [], more=x509.DeltaCRLIndicator(5)), "delta CRL"),
        (lambda ca: b"", "cannot be read"),
        (lambda ca: crl(ca, 6, [])[:-1], "cannot be read"),
    ],
    ids=["older", "same_number", "older_date", "forged", "other_ca", "delta", "empty", "cut"],
)
def test_what_does_not_follow_is_refused(
    host: Host, ca: CA, planted: Callable[[CA], bytes], reason: str
) -> None:
    """Told once, counted, and the floor stays, also over a restart; then it follows what is right again."""
    host.publish(crl(ca, 5))
    host.name_all({PATH: 5})
    assert host.round() == []
    host.publish(planted(ca))
    (line,) = host.round()
    assert line["log_level"] == "error" and reason in line["faults"][0]
    assert host.round() == [] and host.keeper.refused == 1
    assert host.floor() == set(DOOMED)
    host.publish(crl(ca, 7, DOOMED[1:]))
    host.name_all({PATH: 7})
    assert host.round() == [] and host.floor() == set(DOOMED[1:])


@pytest.mark.invariant("A2", "C3")
def test_the_memory_of_numbers_outlives_a_restart(
    host: Host, ca: CA, keeper_of: Callable[[], FloorKeeper]
) -> None:
    older = crl(ca, 1, [])
    host.publish(crl(ca, 2))
    host.name_all({PATH: 2})
    host.round()
    host.keeper.stop()
    host.publish(older)
    host.keeper = keeper_of()
    assert "below 2" in host.round()[0]["faults"][0]
    assert host.floor() == set(DOOMED)


def test_crls_of_other_shards_take_nothing_away(host: Host, ca: CA) -> None:
    """A CRL is about what its CA signed with it, wherever it lies: D5, D6."""
    host.name_all({PATH: 2, OTHER_PATH: 9})
    host.publish(crl(ca, 2, DOOMED[:12]))
    host.publish(crl(ca, 9, DOOMED[12:], path=OTHER_PATH), OTHER_PATH)
    assert host.round() == [] and host.floor() == set(DOOMED)
    host.publish(crl(ca, 10, DOOMED[12:], path=OTHER_PATH))  # both paths have that shard now
    host.round()
    assert host.floor() == set(DOOMED)


def test_published_and_not_there(host: Host, ca: CA, clock: FakeClock) -> None:
    """D4, D8: a set that is not whole, or too old, is told, and what there is counts."""
    host.name_all({PATH: 1, OTHER_PATH: 3})
    assert host.round()[0]["faults"] == [f"{OTHER_PATH}: published, and not on the floor"]
    assert [(one.crls, one.entries, one.missing) for one in host.keeper.status] == [(1, len(DOOMED), 1)]
    host.publish(crl(ca, 3, [1, 2, 3], path=OTHER_PATH, next_update=NOW + 60), OTHER_PATH)
    assert host.round() == []
    (status,) = host.keeper.status
    assert (status.crls, status.entries, status.missing) == (2, len(DOOMED) + 3, 0)
    assert status.next_update == NOW + 60
    clock.seconds += 61
    assert host.round()[0]["faults"] == [f"{OTHER_PATH}: the CRL on the floor has expired"]
    assert host.floor() == set(DOOMED)
    host.name_all({PATH: 1})
    assert host.round() == [] and host.keeper.status[0].crls == 2  # there are serials on it
    host.publish(crl(ca, 4, [], path=OTHER_PATH, next_update=NOW + 61), OTHER_PATH)
    host.round()
    assert host.keeper.status[0].crls == 1


@pytest.mark.parametrize(
    "manifest", [b"", b"[", b"{}", b'{"issuer":"demo","generated_at":1,"shards":[{"path":"../x"}]}']
)
def test_a_manifest_that_says_nothing(host: Host, ca: CA, manifest: bytes) -> None:
    """It is not signed: without it the CRLs that are known are followed."""
    host.publish(manifest, "crl/demo/manifest.json")
    host.publish(crl(ca, 2, DOOMED[1:]))
    assert "manifest" in host.round()[0]["faults"][0]
    assert host.floor() == set(DOOMED[1:])


@pytest.mark.parametrize("path", ["crl/demo/../../x", "crl/demo/\0", "crl/demo/a\nb"])
def test_paths_that_can_be_none_keep_nothing_else_back(
    host: Host, ca: CA, clock: FakeClock, path: str
) -> None:
    host.publish(crl(ca, 2, DOOMED[1:], next_update=NOW + 60))
    host.name_all({path: 1, PATH: 2})
    clock.seconds += 61
    faults = host.round()[0]["faults"]
    assert len(faults) == 3 and "Could not parse path" in faults[0] and "expired" in faults[2]
    assert host.floor() == set(DOOMED[1:])


@pytest.mark.parametrize("broken", ["follow", "decode_manifest"])
def test_what_nobody_foresaw_is_a_fault_of_its_issuer(
    host: Host, ca: CA, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """The other one is followed, what was found is written, and what is wrong is told once."""
    other = CA("broken", "Broken CA").issuer
    sources = FloorSources((other, ca.issuer), str(host.objects))
    monkeypatch.setattr(host.keeper, "_sources", lambda: sources)
    works = getattr(floor_keeper, broken)

    def fails(*given: Any) -> Any:
        if other in given or b"broken" in given:
            raise KeyError("nobody foresaw it")
        return works(*given)

    monkeypatch.setattr(floor_keeper, broken, fails)
    shard = PublishedShard(
        url="http://c.example/x",
        path="crl/broken/0-0.crl",
        series=0,
        shard_index=0,
        crl_number=1,
        this_update=NOW,
        next_update=NOW,
        entries=0,
        size=0,
        sha256="",
    )
    manifest = Manifest(issuer="broken", generated_at=NOW, shards=[shard]).encode()
    host.publish(b"broken" if broken == "decode_manifest" else manifest, "crl/broken/manifest.json")
    host.publish(crl(ca, 1), "crl/broken/0-0.crl")
    host.publish(crl(ca, 2, DOOMED[1:], next_update=NOW + 60))
    host.name_all({PATH: 2})
    clock.seconds += 61
    lines = host.round()
    assert [line["event"] for line in lines].count("CRL could not be looked at") == 1
    assert "nobody foresaw it" in lines[-1]["faults"][0] and "expired" in lines[-1]["faults"][-1]
    assert host.floor() == set(DOOMED[1:])
    assert host.round() == []


def test_paths_elsewhere_are_not_read(host: Host) -> None:
    host.name_all({PATH: 1, "archive/0-0/1.crl": 1})
    assert "elsewhere" in host.round()[0]["faults"][0]
    assert host.floor() == set(DOOMED)


@pytest.mark.invariant("F1")
def test_more_than_there_may_be(host: Host, ca: CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """F1: counted before memory is taken; the one that is followed counts no more when it is replaced."""
    monkeypatch.setattr(floor_crls, "ENTRIES_LIMIT", len(DOOMED))
    monkeypatch.setattr(floor_crls, "hashes_of", lambda *_: pytest.fail("too late"))
    host.publish(crl(ca, 2, [*DOOMED, 1]))
    assert "more than 24" in host.round()[0]["faults"][0]
    monkeypatch.undo()
    monkeypatch.setattr(floor_crls, "ENTRIES_LIMIT", len(DOOMED))
    host.publish(crl(ca, 3))
    assert host.round() == [] and host.floor() == set(DOOMED)


def test_a_host_without_crls_says_so_once(
    settings: Settings, ca: CA, keeper_of: Callable[[], FloorKeeper]
) -> None:
    host = Host(Path(settings.objects.location), ca, keeper_of())
    (line,) = host.round()
    assert line["event"].startswith("no floor") and line["issuers"] == ["demo"]
    assert host.round() == [] and not host.keeper.path.exists()


def test_nobody_else_may_read_the_file_and_each_host_has_its_key(
    host: Host, ca: CA, keeper_of: Callable[[], FloorKeeper]
) -> None:
    assert host.keeper.path.stat().st_mode & 0o777 == 0o600
    key = read_floor(host.keeper.path).key
    host.publish(crl(ca, 2))
    host.round()
    assert read_floor(host.keeper.path).key == key
    host.keeper.stop()
    host.keeper.path.unlink()
    host.keeper = keeper_of()
    host.round()
    assert read_floor(host.keeper.path).key not in (key, bytes(16))


def damaged(data: bytes) -> dict[str, bytes]:
    middle = len(data) // 2
    return {
        "empty": b"",
        "short": data[: BEGINNING.size],
        "cut": data[:-1],
        "lengthened": data + bytes(16),
        "other": b"x" + data[1:],
        "key": data[:20] + bytes([data[20] ^ 1]) + data[21:],
        "table": data[:60] + bytes([data[60] ^ 1]) + data[61:],
        "hash": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "lies": BEGINNING.pack(data[:16], data[16:32], 1 << 62, 1 << 62) + data[BEGINNING.size :],
    }


@pytest.mark.parametrize("kind", damaged(bytes(200)))
def test_a_damaged_file_is_told_and_made_anew(
    host: Host, keeper_of: Callable[[], FloorKeeper], kind: str
) -> None:
    path = host.keeper.path
    host.keeper.stop()
    path.write_bytes(damaged(path.read_bytes())[kind])
    with pytest.raises(DamagedFloor):
        read_floor(path)
    host.keeper = keeper_of()
    (line,) = host.round()
    assert line["event"] == "floor is lost and made anew" and line["log_level"] == "error"
    assert host.floor() == set(DOOMED)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kind", ["empty", "lengthened", "hash"])
def test_a_file_that_somebody_changed_is_written_anew(
    host: Host, keeper_of: Callable[[], FloorKeeper], kind: str, again: bool
) -> None:
    """In the next round, also one that was read and not written: nothing of it is mapped any more."""
    path = host.keeper.path
    if again:
        host.keeper.stop()
        host.keeper = keeper_of()
        assert host.round() == []
    before = path.read_bytes()
    path.write_bytes(damaged(before)[kind])
    assert [line["event"] for line in host.round()] == [
        "floor was changed by somebody else and is written anew"
    ]
    assert path.read_bytes() == before
    assert host.round() == []


@pytest.mark.parametrize(
    "change",
    [
        (b'"entries"', b'"entriex"'),
        (b'"entries":24', b'"entries":23'),
        (b'"crl_number":"1"', b'"crl_number":"x"'),
        (b'"path":"crl', b'"path":"\xff\xff\xff'),
        (b'[{"', b'{{"'),
    ],
)
def test_a_table_that_says_something_else(
    host: Host, keeper_of: Callable[[], FloorKeeper], change: tuple[bytes, bytes]
) -> None:
    """With the digest over it, as who writes the directory can make it."""
    path = host.keeper.path
    host.keeper.stop()
    data = path.read_bytes()[:-32].replace(*change)
    path.write_bytes(data + hashlib.sha256(data).digest())
    host.keeper = keeper_of()
    with capture_logs() as logs:
        host.keeper.start()
        wait_until(lambda: path.exists() and host.floor() == set(DOOMED))
    assert "floor is lost and made anew" in [line["event"] for line in logs]


@pytest.mark.parametrize("kind", ["empty", "short", "cut", "lengthened", "other", "lies"])
def test_workers_map_nothing_of_another_length(host: Host, kind: str) -> None:
    """They do not read it all: it was checked by who wrote it."""
    path = host.keeper.path
    path.write_bytes(damaged(path.read_bytes())[kind])
    with pytest.raises(DamagedFloor):
        map_floor(path)


def test_a_damaged_file_is_not_left_for_workers(host: Host, keeper_of: Callable[[], FloorKeeper]) -> None:
    """Also where there is nothing to make another one of."""
    host.keeper.stop()
    shutil.rmtree(host.objects)
    host.keeper.path.write_bytes(damaged(host.keeper.path.read_bytes())["hash"])
    host.keeper = keeper_of()
    events = [line["event"] for line in host.round()]
    assert events[0] == "floor is lost and made anew"
    assert not host.keeper.path.exists()


async def test_a_worker_keeps_the_floor_that_it_has(host: Host, worker: Application) -> None:
    before = worker.source.floor
    assert before is not None
    host.keeper.path.unlink()
    await asyncio.sleep(0.1)
    with capture_logs() as logs:
        host.keeper.path.write_bytes(b"nothing")
        await eventually(lambda: bool(logs))
    assert [line["event"] for line in logs] == ["floor cannot be used"]
    assert worker.source.floor is before
    host.keeper._unwritten = True
    host.round()
    await eventually(lambda: worker.source.floor is not before)


def test_a_start_without_sources_goes_on(
    host: Host, keeper_of: Callable[[], FloorKeeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that cannot be read is a fault of that round."""
    host.keeper.stop()
    host.keeper = keeper_of()
    sources = host.keeper._sources

    def fails() -> FloorSources:
        raise KeyError("nobody foresaw it")

    monkeypatch.setattr(host.keeper, "_sources", fails)
    monkeypatch.setattr(host.keeper, "_interval", 0.02)
    with capture_logs() as logs:
        host.keeper.start()
    assert "floor could not be renewed" in [line["event"] for line in logs]
    monkeypatch.setattr(host.keeper, "_sources", sources)
    wait_until(lambda: [one.crls for one in host.keeper.status] == [1])


async def test_a_worker_tries_again_what_it_could_not_use(
    host: Host, settings: Settings, counters: Counters, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told once; it is the floor as soon as it can be, be it the same file."""
    monkeypatch.setattr(floor, "WATCH_INTERVAL", 0.02)
    tries = []

    def fails(path: Path) -> None:
        tries.append(path)
        raise OSError("no memory")

    monkeypatch.setattr(floor, "map_floor", fails)
    worker = Application(settings, counters, clock)
    with capture_logs() as logs:
        await worker.start()
        try:
            await eventually(lambda: len(tries) > 2)
            monkeypatch.setattr(floor, "map_floor", map_floor)
            await eventually(lambda: worker.source.floor is not None)
        finally:
            await worker.stop()
    assert [line["event"] for line in logs].count("floor cannot be used") == 1


def test_one_of_a_host_keeps_it(host: Host, ca: CA, keeper_of: Callable[[], FloorKeeper]) -> None:
    second = replace(host, keeper=keeper_of())
    host.publish(crl(ca, 2, DOOMED[2:]))
    second.round()
    assert host.floor() == set(DOOMED)
    host.keeper.stop()
    second.round()
    assert second.floor() == set(DOOMED[2:])


def test_a_directory_that_is_not_ours(host: Host, keeper_of: Callable[[], FloorKeeper]) -> None:
    """Told, and served without."""
    host.keeper.stop()
    lock = host.keeper.path.with_suffix(".lock")
    lock.unlink()
    lock.mkdir()
    with capture_logs() as logs:
        keeper_of().start()
    assert [line["event"] for line in logs] == ["no floor: its file cannot be kept"]


@pytest.fixture
def service(short_path: Path, ca: CA, server: EmbeddedStore, shelf: Shelf) -> Iterator[Service]:
    service = start(short_path, ca, server.url, 'floor_interval = "1s"')
    wait_until(lambda: len(service.workers()) == 1 and service.answers(), 30)
    yield service
    if service.process.poll() is None:
        stop(service)


def status_of(service: Service, ca: CA, serial: int) -> ocsp.OCSPCertStatus | None:
    """None is tryLater."""
    response = ocsp.load_der_ocsp_response(service.ask(ca.request(serial)))
    if response.response_status is ocsp.OCSPResponseStatus.TRY_LATER:
        return None
    return response.certificate_status


@pytest.mark.slow
def test_over_http_and_over_a_restart(
    service: Service, ca: CA, shelf: Shelf, short_path: Path, server: EmbeddedStore
) -> None:
    """C3: record responses, revoke, publish the CRL, write the old bytes back, also after restart."""
    assert "no floor" in service.log.read_text()
    old = OldPages(shelf)
    for serial in DOOMED:
        assert status_of(service, ca, serial) is ocsp.OCSPCertStatus.GOOD
    shelf.put(*map(revoked, DOOMED))
    objects = Host(short_path / "objects", ca, None)  # type: ignore[arg-type]
    objects.publish(crl(ca, 1))
    objects.name_all({PATH: 1})
    wait_until(lambda: service.metric('crl_floor_entries{issuer="demo"}') == len(DOOMED))
    assert service.metric('crl_floor_next_update_timestamp_seconds{issuer="demo"}') == NOW + WEEK
    old.write_back()
    wait_until(lambda: status_of(service, ca, DOOMED[0]) is None)
    assert [status_of(service, ca, serial) for serial in DOOMED] == [None] * len(DOOMED)
    assert status_of(service, ca, GOOD_TOO) is ocsp.OCSPCertStatus.GOOD
    assert service.metric('ocsp_try_later_total{cause="floor"}') >= len(DOOMED)
    assert service.metric("ocsp_floor_refusals_total") >= len(DOOMED)
    assert "good record of a revoked certificate" in service.log.read_text()
    assert stop(service) == 0
    shutil.rmtree(short_path / "objects")
    again = start(short_path, ca, server.url)
    try:
        wait_until(lambda: len(again.workers()) == 1 and again.answers(), 30)
        assert httpx.get(f"{again.admin}/readyz").status_code == 200
        assert [status_of(again, ca, serial) for serial in DOOMED] == [None] * len(DOOMED)
        assert status_of(again, ca, GOOD_TOO) is ocsp.OCSPCertStatus.GOOD
    finally:
        assert stop(again) == 0
    assert "Traceback" not in again.log.read_text()
