"""The store comes back from an old dump while `run` goes on: what happens in that moment hides nothing it lacks (A1, A2)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from signer.ocsp.batch import Pool
from signer.steady import SteadyClock
from store.embedded import EmbeddedStore
from tests.signer.failures import kill, put_back, take_dump
from tests.signer.loops import Loop
from tests.signer.works import FakeClock, Works, row_in_page

pytestmark = pytest.mark.conformance("R-20")


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path_factory.mktemp("o")) as store:
        yield store


def test_a_change_in_the_moment_of_the_restore(
    tmp_path: Path, store: EmbeddedStore, clock: FakeClock
) -> None:
    rows = [row_in_page(1, number) for number in range(3)]
    steady = SteadyClock(clock)
    works = Works(tmp_path, store.url, clock)
    with works.context, Pool(works.file, 1, steady) as pool:
        works.add(rows)
        loop = Loop(works, pool, steady)
        with loop.context:
            loop.rest()
            dump = take_dump(store)
            clock.pass_time(1)
            works.revoke(rows[0].serial)
            loop.rest()
            assert works.is_revoked(rows[0].serial)
            kill(store)
            put_back(store, dump)
            assert not works.is_revoked(rows[0].serial)
            works.revoke(rows[1].serial)
            for _ in range(3):
                loop.rest()
                clock.pass_time(2)
        works.clock = clock
        assert works.is_revoked(rows[0].serial) and works.is_revoked(rows[1].serial)
