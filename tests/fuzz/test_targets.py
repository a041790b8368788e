"""The fuzz targets without a fuzzer: every seed passes, damage to seeds passes, and each check can fail (F6)."""

import importlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from store.embedded import EmbeddedStore
from tests.fuzz import targets
from tests.fuzz.connection import connection_target
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.responder.test_both_paths import change

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")

DAMAGED = 100  # inputs a target


def inputs(target: Target) -> Iterator[bytes]:
    """All seeds, then damaged ones, the same each time."""
    source = random.Random(1)
    seeds = target.seeds()
    yield from seeds
    for _ in range(DAMAGED):
        yield change(source, source.choice(seeds))


@pytest.mark.invariant("F6")
@pytest.mark.invariant("F6")
@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_like_pass(name: str) -> None:
    for data in inputs(TARGETS[name]):
        TARGETS[name].check(data)


@pytest.mark.invariant("F6")
def test_seeds_of_connections_pass(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedStore(tmp_path_factory.mktemp("s")) as store:
        monkeypatch.setenv("OCSPEED_FUZZ_STORE", store.url)
        target = connection_target()
        for data in inputs(target):
            target.check(data)


def wrong(result: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reader made to say something else."""

    def broken(read: Any) -> Any:
        return lambda *arguments, **options: result(read(*arguments, **options))

    return broken


BROKEN = {
    "request": ("tests.property.request_readers.seen", wrong(lambda found: found[1:])),
    "response": ("tests.property.response_readers.split_response", wrong(lambda found: found[::-1])),
    "crl": ("tests.fuzz.targets.first_out_of_order", wrong(lambda found: 7)),
    "der": ("tests.fuzz.targets.der.encode", wrong(lambda found: found[:-1])),
    "imported": (
        "tests.fuzz.targets.decode_imported_record",
        wrong(lambda found: {one: body + b"x" for one, body in found.items()}),
    ),
    "head": ("tests.fastpath.test_head.parse_head", wrong(lambda found: found and ("PUT", *found[1:]))),
    "path": ("tests.fuzz.targets.decode_get_path", wrong(lambda found: (found[0] + b"\0", 0))),
    "index": ("signer.intake.openssl_index.read_index", wrong(lambda found: found._replace(expired=9))),
    "csv": ("signer.intake.csv_rows.read_csv", wrong(lambda found: found._replace(rows=b""))),
    "rows": ("tests.fuzz.intake.sort_rows", wrong(lambda found: found[::-1])),
    "issuer-record": (
        "tests.fuzz.state.IssuerRecord.decode",
        wrong(lambda found: replace(found, page_bits=33)),
    ),
    "presence": ("tests.fuzz.state.primary_id", wrong(lambda found: b"x")),
    "floor": ("tests.fuzz.state.read_floor", wrong(lambda found: replace(found, key=bytes(16), followed={}))),
    "floor-crl": ("responder.floor_crls.hashes_of", wrong(lambda found: bytes(len(found)))),
    "brought-crl": ("tests.fuzz.crls.read_signed", wrong(lambda found: replace(found, issuer=b""))),
    "signed-response": ("tests.fuzz.crls.read_response", wrong(lambda found: replace(found, serial=b"\0"))),
    "crl-list": (
        "tests.fuzz.state.decode_manifest",
        wrong(lambda found: msgspec.structs.replace(found, issuer="x")),
    ),
    "fetch": ("tests.fuzz.exchanges.Fetcher.get", wrong(lambda found: replace(found, body=b""))),
    "answer": ("tests.fuzz.exchanges.Client.get", wrong(lambda found: found + b"x")),
    "conditions": ("tests.fuzz.exchanges.ranged", wrong(lambda found: replace(found, body=found.body[1:]))),
    "certificate": (
        "tests.fuzz.certificates._row",
        wrong(lambda found: found and found._replace(serial=b"\0")),
    ),
    "responder": ("tests.fuzz.certificates._is_fit_responder", wrong(lambda found: True)),
    "recorded": ("tests.fuzz.shadow.Corpus", lambda read: lambda paths, **named: read((), **named)),
    "pem": ("tests.fuzz.certificates.pem_file", wrong(lambda found: [*found][1:])),
    "json": ("tests.fuzz.rows.JsonRows.parse", wrong(lambda found: found._replace(serial=b"\0"))),
    "revocations": ("tests.fuzz.rows.read_revocations", wrong(lambda found: [*found][1:])),
    "call": ("tests.fuzz.rows.reserve", wrong(lambda found: found._replace(item=b""))),
    "batch": ("signer.admin.bodies._bounded", wrong(lambda found: b"z")),
    "export": ("tests.fuzz.rows.read_export", wrong(lambda found: [*found][1:])),
    "run-state": (
        "tests.fuzz.state.run_state.read",
        wrong(lambda found: msgspec.structs.replace(found, process=0)),
    ),
    "tokens": ("tests.fuzz.state.Tokens.name", wrong(lambda found: "one")),
    "record": ("tests.fuzz.targets.encode_response", wrong(lambda found: found + b"\0")),
}


@pytest.mark.invariant("F6")
@pytest.mark.parametrize("name", BROKEN)
def test_a_reader_that_says_something_else_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, broken = BROKEN[name]
    module, _, attribute = place.rpartition(".")
    monkeypatch.setattr(place, broken(getattr(_resolve(module), attribute)))
    seeds = TARGETS[name].seeds()
    with pytest.raises(AssertionError):
        for data in seeds:
            TARGETS[name].check(data)


def _resolve(path: str) -> Any:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        parent, _, name = path.rpartition(".")
        return getattr(importlib.import_module(parent), name)


def test_replies_that_depend_on_where_they_are_cut_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_events", lambda segments: sum(1 for _ in segments))
    with pytest.raises(AssertionError):
        TARGETS["replies"].check(TARGETS["replies"].seeds()[0])
