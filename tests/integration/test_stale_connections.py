"""A2: after a failover no process of the pool goes on writing to the primary of before, to which it is still connected.

Real servers. To clients the address of the primary is that of a relay, which leads where it is told to for every new
connection, and leaves those that there are alone: so it is with a primary that was cut off but did not end.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from _fastpath.page import PageHeader
from signer.ocsp.batch import Pool
from signer.ocsp.service import IssuerService, open_service
from signer.steady import SteadyClock
from store.clock import SystemClock
from store.errors import StoreError
from store.writer import install_functions
from tests.faults.relay import Relay
from tests.faults.servers import Server
from tests.signer.loops import Loop
from tests.signer.processes import wait_until
from tests.signer.works import DAY, Works, row_in_page


class Town:
    """A CA whose pool has signed everything into `old`."""

    def __init__(self, works: Works, pool: Pool, address: Relay, old: Server, new: Server) -> None:
        self.works, self.address, self.old, self.new = works, address, old, new
        self._pool = pool
        self._number = 0
        self.issue()
        self.opened().sign_all(lambda pages: None)
        self.before = self.headers_of(old)
        assert len(self.before) == 4

    def opened(self) -> IssuerService:
        return open_service(self.works.context, "demo", self._pool)

    def issue(self) -> None:
        """Certificates in every page."""
        self._number += 1
        end = self.works.clock.now() + 60 * DAY
        self.works.add(row_in_page(page, self._number, not_after=end) for page in range(4))

    def lead(self, server: Server) -> None:
        """Whoever connects from now on comes there."""
        self.address.target = server.port

    def move(self, server: Server) -> None:
        """As `lead`, and the signer itself connects anew."""
        self.lead(server)
        self.works.context.disconnect()
        assert self.works.reader.replication_id() == replication_id(server)

    def headers_of(self, server: Server) -> list[PageHeader]:
        with server.client() as client:
            found = [client.hget(f"ocsp:page:demo:1:{page}", "") for page in range(4)]
        return [PageHeader.decode(one) for one in found if isinstance(one, bytes)]

    def sign(self) -> None:
        """As `run` does it, until all is signed."""
        service = self.opened()
        service.enqueue_missing()
        service.step()
        for _ in range(3_000):
            if not service.busy:
                return
            time.sleep(0.01)  # the pool is at work
            service.step()
        raise AssertionError("it never rests")


def replication_id(server: Server) -> bytes:
    with server.client() as client:
        return str(client.info("replication")["master_replid"]).encode()


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.slow)], ids=["thread", "processes"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Town]:
    old, new = Server(tmp_path / "old"), Server(tmp_path / "new")
    try:
        for server in (old, new):
            with server.client() as client:
                install_functions(client, "test")
        with Relay(old.port) as address:
            clock = SystemClock()
            works = Works(tmp_path, f"redis://127.0.0.1:{address.port}", clock)
            with works.context, Pool(works.file, request.param, clock) as pool:
                yield Town(works, pool, address, old, new)
    finally:
        old.kill()
        new.kill()


@pytest.mark.conformance("R-20")
def test_the_pool_follows_the_signer(town: Town) -> None:
    town.move(town.new)
    town.issue()
    town.sign()
    assert town.headers_of(town.old) == town.before
    town.works.check_store()


@pytest.mark.conformance("R-20")
@pytest.mark.invariant("A2")
def test_a_process_that_is_led_elsewhere_writes_nothing(town: Town) -> None:
    """The signer is connected to the new primary when who asks for its address is told the old one's."""
    town.move(town.new)
    town.lead(town.old)
    town.issue()
    for _ in range(2):
        with pytest.raises(StoreError, match="found another primary"):
            town.sign()
    assert town.headers_of(town.old) == town.before and not town.headers_of(town.new)
    town.lead(town.new)
    town.sign()
    assert town.headers_of(town.old) == town.before
    town.works.check_store()


def rests_untroubled(loop: Loop) -> bool:
    """A second after a trouble it tries again."""
    loop.rest()
    return not loop.reports.troubles()


def test_a_signer_that_is_behind_its_processes_follows_them(town: Town) -> None:
    """It is connected to the old primary when the first of them comes to the new one."""
    steady = SteadyClock(town.works.clock)
    with Pool(town.works.file, 1, steady) as pool:
        loop = Loop(town.works, pool, steady)
        with loop.context:
            loop.context.client.ping()
            town.lead(town.new)
            town.issue()
            wait_until(lambda: rests_untroubled(loop))
    town.works.context.disconnect()
    town.works.check_store()


def test_a_pass_that_is_led_elsewhere_fails(town: Town) -> None:
    town.move(town.new)
    town.lead(town.old)
    with pytest.raises(StoreError, match="found another primary"):
        town.opened().sign_all(lambda pages: None)
    assert town.headers_of(town.old) == town.before
