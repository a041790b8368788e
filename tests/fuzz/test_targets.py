"""The fuzz targets without a fuzzer: every seed passes, damage to seeds passes, and each check can fail (F6)."""

import importlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from store.embedded import EmbeddedStore
from tests.fuzz import targets
from tests.fuzz.connection import connection_target
from tests.fuzz.targets import TARGETS, Target
from tests.responder.test_both_paths import change

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")

DAMAGED = 300  # inputs a target


def inputs(target: Target) -> Iterator[bytes]:
    """All seeds, then damaged ones, the same each time."""
    source = random.Random(1)
    seeds = target.seeds()
    yield from seeds
    for _ in range(DAMAGED):
        yield change(source, source.choice(seeds))


@pytest.mark.invariant("F6")
@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_like_pass(name: str) -> None:
    for data in inputs(TARGETS[name]):
        TARGETS[name].check(data)


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
    "record": ("tests.fuzz.targets.encode_response", wrong(lambda found: found + b"\0")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_reader_that_says_something_else_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, broken = BROKEN[name]
    module, _, attribute = place.rpartition(".")
    monkeypatch.setattr(place, broken(getattr(_resolve(module), attribute)))
    with pytest.raises(AssertionError):
        for data in TARGETS[name].seeds():
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
