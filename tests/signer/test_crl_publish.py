"""Publishing: compare-and-set over a directory, over memory and over an S3 server; races and kills."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
import pytest

from _fastpath.crl_reader import Crl
from signer.crl.build import CrlFields, build_shard
from signer.crl.publish import (
    Disclosure,
    Head,
    PublishConflict,
    catch_up,
    publish,
    publish_ccadb,
    publish_manifest,
)
from store.config import ObjectTarget
from store.errors import StoreFormatError, StoreUnavailable
from store.objects import (
    Manifest,
    ObjectStore,
    PublishedShard,
    ccadb_paths,
    crl_path,
    decode_manifest,
    manifest_path,
    open_object_store,
    read_object,
)
from tests.signer.crl_authority import NOW, crl_fields, make_authority, revoked_entries

CA = make_authority()
PATH = crl_path("r1", 0, 0)


def later(number: int) -> CrlFields:
    """As many seconds later as the number says."""
    return replace(crl_fields(number), this_update=NOW + number)


def crl(number: int, count: int = 3) -> bytes:
    return build_shard(CA, later(number), revoked_entries(count))


class S3Handler(BaseHTTPRequestHandler):
    """As much of S3 as publishing uses: GET and conditional PUT of single objects, versions told by ETag."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, tuple[bytes, dict[str, str]]]  # path -> content, headers of the PUT
    guard: threading.Lock

    def do_GET(self) -> None:
        with self.guard:
            found = self.objects.get(self.path)
        self.answer(200 if found else 404, found[0] if found else b"", found[1]["ETag"] if found else "")

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        with self.guard:
            found = self.objects.get(self.path)
            live = found[1]["ETag"] if found else None
            expected = self.headers.get("If-Match")
            exists = self.headers.get("If-None-Match") == "*" and found is not None
            if exists or (expected is not None and expected != live):
                self.answer(412, b"", "")
                return
            e_tag = f'"{len(self.objects)}-{hash(data):x}"'
            self.objects[self.path] = (data, {**dict(self.headers.items()), "ETag": e_tag})
        self.answer(200, b"", e_tag)

    def answer(self, status: int, body: bytes, e_tag: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", e_tag)
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture(params=["create", "update"])
def before(request: pytest.FixtureRequest, relayed: tuple[type[S3Handler], ObjectStore]) -> int | None:
    """The number of the CRL that is live in the relayed store."""
    if request.param == "create":
        return None
    publish(relayed[1], PATH, crl(1), None)
    return 1


@pytest.fixture
def relayed(tmp_path: Path) -> Iterator[tuple[type[S3Handler], ObjectStore]]:
    """A store whose requests the test can look at and get in the way of."""
    handler = type("Handler", (S3Handler,), {"objects": {}, "guard": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    (tmp_path / "key").write_text("test")
    endpoint = f"http://127.0.0.1:{server.server_port}"
    target = ObjectTarget(
        "s3://bucket/prefix", endpoint, "local", tmp_path / "key", tmp_path / "key", allow_http=True
    )
    yield handler, open_object_store(target)
    server.shutdown()
    thread.join()
    server.server_close()


def live(store: ObjectStore, path: str = PATH) -> bytes | None:
    found = read_object(store, path)
    return found.data if found else None


def test_the_first_and_the_next(objects: ObjectStore) -> None:
    for number, before in ((1, None), (7, 1)):
        data = crl(number)
        publish(objects, PATH, data, before)
        assert live(objects) == data


@pytest.mark.conformance("C-08", "U-06")
@pytest.mark.invariant("D1")
@pytest.mark.parametrize(
    ("number", "expected", "message"),
    [
        (6, None, "expected no CRL to be live, found number 5"),
        (6, 4, "expected number 4 to be live, found number 5"),
        (6, 6, "expected number 6 to be live, found number 5"),
        (5, 5, "number 5 does not follow the live number 5"),
        (4, 5, "number 4 does not follow the live number 5"),
    ],
)
def test_conflicts(objects: ObjectStore, number: int, expected: int | None, message: str) -> None:
    publish(objects, PATH, crl(5), None)
    before = live(objects)
    with pytest.raises(PublishConflict, match=f"{PATH}: {message}"):
        publish(objects, PATH, crl(number), expected)
    assert live(objects) == before


@pytest.mark.conformance("U-06")
@pytest.mark.invariant("D1")
def test_catching_up_replaces_whatever_is_older(objects: ObjectStore) -> None:
    for number in (1, 5, 6):
        data = crl(number)
        catch_up(objects, PATH, data)
        assert live(objects) == data
    with pytest.raises(PublishConflict, match="number 5 does not follow the live number 6"):
        catch_up(objects, PATH, crl(5))
    catch_up(objects, PATH, data)  # the same once more, as after an answer that was lost


@pytest.mark.conformance("U-06")
@pytest.mark.invariant("D1")
def test_this_update_does_not_go_back_nor_does_a_path_change_hands(objects: ObjectStore) -> None:
    publish(objects, PATH, crl(5), None)
    before = live(objects)
    earlier = build_shard(CA, replace(crl_fields(6), this_update=NOW - 1), [])
    with pytest.raises(PublishConflict, match="thisUpdate .* does not follow"):
        catch_up(objects, PATH, earlier)
    foreign = build_shard(make_authority(name="Another CA"), later(6), [])
    with pytest.raises(PublishConflict, match="one of another issuer: CN=CRL test CA"):
        catch_up(objects, PATH, foreign)
    with pytest.raises(PublishConflict, match="one of another issuer: CN=CRL test CA"):
        publish(objects, PATH, foreign, 5)
    assert live(objects) == before


def test_a_predecessor_that_is_gone_is_a_conflict(objects: ObjectStore) -> None:
    with pytest.raises(PublishConflict, match="expected number 5 to be live, found no CRL"):
        publish(objects, PATH, crl(6), 5)
    assert live(objects) is None


def test_what_is_not_a_crl_neither_replaces_nor_is_replaced(objects: ObjectStore) -> None:
    with pytest.raises(StoreFormatError, match=f"{PATH}: not a CRL"):
        publish(objects, PATH, b"not a CRL", None)
    assert live(objects) is None
    obstore.put(objects, PATH, b"not a CRL")
    with pytest.raises(StoreFormatError, match=f"{PATH}: not a CRL"):
        publish(objects, PATH, crl(1), None)
    assert live(objects) == b"not a CRL"


def test_numbers_are_read_of_any_crl() -> None:
    data = build_shard(CA, crl_fields(2**159 - 1), [])
    assert Head.of(PATH, data).number == 2**159 - 1


@pytest.mark.conformance("U-06")
@pytest.mark.invariant("D1")
def test_a_write_between_reading_and_putting_is_a_conflict(
    before: int | None, relayed: tuple[type[S3Handler], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other publisher's CRL arrives after ours was compared: the store's own condition must catch it."""
    s3, store = relayed
    put = s3.do_PUT

    def overtaken(handler: S3Handler) -> None:
        with handler.guard:
            handler.objects[handler.path] = (crl(2), {"ETag": '"theirs"'})
        put(handler)

    monkeypatch.setattr(s3, "do_PUT", overtaken)
    with pytest.raises(PublishConflict, match="somebody else published at the same moment"):
        publish(store, PATH, crl(3), before)
    assert Crl(live(store) or b"").crl_number == 2


def test_a_put_whose_answer_was_lost_is_no_conflict(
    before: int | None, relayed: tuple[type[S3Handler], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent again and then fails its own condition; what is live is ours."""
    s3, store = relayed
    put = s3.do_PUT
    lost: list[str] = []

    def without_answer(handler: S3Handler) -> None:
        if not lost:
            lost.append(handler.path)
            data = handler.rfile.read(int(handler.headers["Content-Length"]))
            handler.objects[handler.path] = (data, {"ETag": '"ours"'})
            handler.answer(503, b"", "")
            return
        put(handler)

    monkeypatch.setattr(s3, "do_PUT", without_answer)
    data = crl(2)
    publish(store, PATH, data, before)
    assert lost
    assert live(store) == data


@pytest.mark.conformance("U-05", "U-07")
def test_stores_that_keep_headers_get_them(relayed: tuple[type[S3Handler], ObjectStore]) -> None:
    s3, store = relayed
    publish(store, PATH, crl(1), None)
    publish_ccadb(store, "r1", Disclosure())
    ((_, crl_headers), (_, json_headers), _) = s3.objects.values()
    assert crl_headers["content-type"] == "application/pkix-crl"
    assert crl_headers["cache-control"] == "public, max-age=3600, no-transform"
    assert json_headers["content-type"] == "application/json"


def test_a_store_that_refuses_is_named(tmp_path: Path) -> None:
    store = open_object_store(str(tmp_path))
    (tmp_path / "crl").write_bytes(b"in the way")
    with pytest.raises(StoreUnavailable, match=PATH):
        publish(store, PATH, crl(1), None)


# ---- two publishers and a reader (D1, D9) ----

ROUNDS = 100


def keep_publishing(target: str) -> list[int]:
    """Publish the next number over and over; the numbers that this one got through."""
    store = open_object_store(target)
    won: list[int] = []
    while True:
        before = read_object(store, PATH)
        number = Crl(before.data).crl_number if before else 0
        if number >= ROUNDS:
            return won
        try:
            publish(store, PATH, crl(number + 1, count=40), number or None)
            won.append(number + 1)
        except PublishConflict:
            continue


@pytest.mark.conformance("C-08", "U-06")
@pytest.mark.invariant("D1")
def test_two_publishers_never_overwrite_each_other(tmp_path: Path) -> None:
    store = open_object_store(str(tmp_path))
    seen: list[int] = []
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        publishers = pool.map_async(keep_publishing, [str(tmp_path)] * 2)
        while not publishers.ready():
            data = live(store)
            if data is not None:
                seen.append(Crl(data).crl_number)
                assert len(Crl(data)) == 40
        first, second = publishers.get()
    assert sorted(first + second) == list(range(1, ROUNDS + 1))
    assert seen == sorted(seen)
    assert len(set(seen)) > 1


def test_threads_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    won: list[list[int]] = [[], []]

    def run(index: int) -> None:
        won[index] = keep_publishing(str(tmp_path))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won[0] + won[1]) == list(range(1, ROUNDS + 1))


# ---- kill -9 on the way (U-06, D9) ----

KILLED_PUBLISHER = """
import os, signal, sys
from pathlib import Path
from signer.crl import publish as module
from store.objects import open_object_store

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def half(path, data):
    path.write_bytes(data[: len(data) // 2])
    die()

def after(call):
    def wrapper(*arguments):
        call(*arguments)
        die()
    return wrapper

match sys.argv[3]:
    case "before-write": module._write_through = die
    case "half-written": module._write_through = half
    case "before-fsync": os.fsync = die
    case "before-rename": Path.rename = die
    case "after-rename": Path.rename = after(Path.rename)
    case "before-directory-fsync": module.sync_directory = die
module.publish(open_object_store(sys.argv[1]), "crl/r1/0-0.crl", Path(sys.argv[2]).read_bytes(), 1)
"""


@pytest.mark.conformance("U-06")
@pytest.mark.invariant("D9")
@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("before-write", 1),
        ("half-written", 1),
        ("before-fsync", 1),
        ("before-rename", 1),
        ("after-rename", 2),
        ("before-directory-fsync", 2),
    ],
)
def test_a_killed_publisher_leaves_a_whole_crl(step: str, number: int, tmp_path: Path) -> None:
    store = open_object_store(str(tmp_path / "objects"), create=True)
    publish(store, PATH, crl(1), None)
    (tmp_path / "next.crl").write_bytes(crl(2, count=1_000))
    done = subprocess.run(
        [sys.executable, "-c", KILLED_PUBLISHER, str(tmp_path / "objects"), str(tmp_path / "next.crl"), step],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    assert Crl(live(store) or b"").crl_number == number
    publish(store, PATH, crl(3), number)
    assert Crl(live(store) or b"").crl_number == 3
    assert sorted(os.listdir(tmp_path / "objects/crl/r1")) == [".lock", "0-0.crl"]


# ---- the lists ----


def manifest(*numbers: int, generated_at: int = NOW) -> Manifest:
    shards = [
        PublishedShard(
            url=f"http://c.example/{index}.crl",
            path=crl_path("r1", 0, index),
            series=0,
            shard_index=index,
            crl_number=number,
            this_update=NOW,
            next_update=NOW + 604_799,
            entries=0,
            size=300,
            sha256="00" * 32,
        )
        for index, number in enumerate(numbers)
    ]
    return Manifest(issuer="r1", generated_at=generated_at, shards=shards)


def test_a_manifest_follows_the_crls(objects: ObjectStore) -> None:
    for following in (manifest(1, 1), manifest(1, 2, generated_at=NOW + 1), manifest(1, 2, 1)):
        publish_manifest(objects, following)
        assert decode_manifest(live(objects, manifest_path("r1")) or b"") == following


def test_an_older_manifest_does_not_replace_a_newer(objects: ObjectStore) -> None:
    publish_manifest(objects, manifest(1, 5))
    with pytest.raises(
        PublishConflict, match="the live manifest has number 5 for crl/r1/0-1.crl, this one number 4"
    ):
        publish_manifest(objects, manifest(2, 4))
    assert decode_manifest(live(objects, manifest_path("r1")) or b"") == manifest(1, 5)


@pytest.mark.conformance("P-04")
@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        ([""], [""]),
        (["http://c.example/1.crl"], ["http://c.example/1.crl"]),
        (
            ["http://c.example/B.crl", "http://c.example/a%2F.crl", "http://c.example/B.crl"],
            ["http://c.example/B.crl", "http://c.example/a%2F.crl"],
        ),
    ],
)
def test_disclosed_urls_are_distinct_and_character_exact(
    objects: ObjectStore, urls: list[str], expected: list[str]
) -> None:
    publish_ccadb(objects, "r1", Disclosure(full=["http://before.example/"]))
    publish_ccadb(objects, "r1", Disclosure(partitioned=urls))
    full, partitioned = (live(objects, path) for path in ccadb_paths("r1"))
    assert full == b"[]"  # each field of CCADB is for one or the other
    assert json.loads(partitioned or b"") == expected
