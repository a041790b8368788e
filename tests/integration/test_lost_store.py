"""A2: a store that lost acknowledged revocations is not trusted before the signer has reconciled it.

Real servers, the real signer and responders over TCP: one responder has seen it all, another one starts after the loss.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.x509 import ocsp

from _fastpath import der
from _fastpath.certid import SHA256
from _fastpath.request import parse_request
from responder.app import Application
from responder.config import load_settings
from responder.counters import Counters
from responder.errors import TryLater
from signer.ocsp.batch import Pool
from signer.ocsp.service import IssuerService, open_service
from store.clock import SystemClock
from store.errors import StoreError
from store.writer import install_functions
from tests.faults.relay import Relay
from tests.faults.servers import Server
from tests.responder.conftest import eventually, wait_until
from tests.signer.works import DAY, Works, row_in_page

REVOKED = 24  # certificates, over all four pages
GOOD = ocsp.OCSPCertStatus.GOOD


class Town:
    """A CA with a signer over a store that clients reach through a relay."""

    def __init__(self, directory: Path, server: Server, address: Relay, pool: Pool, works: Works) -> None:
        self.server, self.address, self.pool, self.works = server, address, pool, works
        self.directory = directory
        self.serials = [row_in_page(page, number).serial for number in range(12) for page in range(4)]
        end = works.clock.now() + 60 * DAY
        works.add([row_in_page(p, n, not_after=end) for n in range(12) for p in range(4)])
        self.service = self.opened()
        self.service.sign_all(lambda pages: None)
        self.doomed = self.serials[:REVOKED]

    def opened(self) -> IssuerService:
        return open_service(self.works.context, "demo", self.pool)

    def revoke(self) -> None:
        """Acknowledged, signed and stored."""
        self.works.revoke(*self.doomed)
        assert self.service.sign_due(lambda pages: None).faults == []
        assert all(map(self.works.is_revoked, self.doomed))

    def reconcile(self) -> None:
        """As `run` does it."""
        with pytest.raises(StoreError, match="another primary|lost its record"):
            self.service.patrol()
        self.service = self.opened()
        self.service.enqueue_missing()
        wait_until(lambda: bool(self.service.step()) and not self.service.busy, 30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "primary", "--repl-diskless-sync-delay", "0")
    yield server
    server.kill()


@pytest.fixture
def address(server: Server) -> Iterator[Relay]:
    with Relay(server.port) as relay:
        yield relay


@pytest.fixture
def town(tmp_path: Path, server: Server, address: Relay) -> Iterator[Town]:
    with server.client() as client:
        install_functions(client, "test")
    clock = SystemClock()
    works = Works(tmp_path, f"redis://127.0.0.1:{address.port}", clock)
    (tmp_path / "objects").mkdir()
    with works.context, Pool(works.file, 1, clock) as pool:
        yield Town(tmp_path, server, address, pool, works)


class Responder:
    """One worker, and what it says of a certificate."""

    def __init__(self, town: Town) -> None:
        settings = load_settings(town.works.file)
        self.issuer = settings.issuers[0].id
        self._counters = Counters.private()
        self.application = Application(settings, self._counters, SystemClock())

    def connections(self) -> int:
        return self._counters.value("store_connections_total")

    async def status(self, serial: bytes) -> ocsp.OCSPCertStatus | None:
        """None is tryLater."""
        cert_id = self.issuer.encode_cert_id(SHA256, serial)
        request = der.encode(0x30, der.encode(0x30, der.encode(0x30, der.encode(0x30, cert_id))))
        try:
            answer = await self.application.resolver.resolve(parse_request(request))
        except TryLater:
            return None
        return ocsp.load_der_ocsp_response(answer.body).certificate_status

    async def statuses(self, serials: list[bytes]) -> list[ocsp.OCSPCertStatus | None]:
        return [await self.status(serial) for serial in serials]

    async def says(self, serials: list[bytes], *, revoked: bool) -> None:
        """Wait until it says of all that they are revoked, or good."""
        wanted = ocsp.OCSPCertStatus.REVOKED if revoked else GOOD
        for _ in range(400):
            if (found := await self.statuses(serials)) == [wanted] * len(serials):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"still {found}")


@contextlib.asynccontextmanager
async def responding(town: Town) -> AsyncIterator[Responder]:
    responder = Responder(town)
    await responder.application.start()
    yield responder
    await responder.application.stop()


async def sweep(town: Town, old: Responder) -> None:
    """0 of N good: until the signer comes, and after; then everything is answered, the revocations among it."""
    town.address.cut()
    await eventually(lambda: not old.application.link.up.is_set() or old.connections() > 1)
    async with responding(town) as new:
        for _ in range(3):
            assert await new.statuses(town.serials) == [None] * len(town.serials)
            assert GOOD not in await old.statuses(town.doomed)
            await asyncio.sleep(0.2)
        await asyncio.to_thread(town.reconcile)
        for responder in (old, new):
            assert GOOD not in await responder.statuses(town.doomed)
            await responder.says(town.doomed, revoked=True)
            await responder.says(town.serials[REVOKED:], revoked=False)
    town.works.check_store()


@pytest.mark.conformance("R-20")
@pytest.mark.invariant("A2")
async def test_a_replica_that_missed_revocations_is_promoted(tmp_path: Path, town: Town) -> None:
    """Its second replication id is the old primary's, which proves nothing."""
    with Relay(town.server.port) as link:
        replica = Server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(link.port))
        try:
            with replica.client() as client:
                wait_until(lambda: client.info("replication")["master_link_status"] == "up", 30)
            town.reconcile()  # the first replica gives a primary a new id
            with town.server.client() as primary:
                assert primary.wait(1, 10_000) == 1
            async with responding(town) as old:
                await old.says(town.serials, revoked=False)
                link.back.swallows = True
                town.revoke()
                await old.says(town.doomed, revoked=True)
                town.server.kill()
                with replica.client() as client:
                    client.replicaof("NO", "ONE")
                town.address.target = replica.port
                town.address.cut()
                assert not any(map(town.works.is_revoked, town.doomed))  # all of them are lost
                await sweep(town, old)
        finally:
            replica.kill()


@pytest.mark.slow
async def test_an_empty_restart(town: Town) -> None:
    town.revoke()
    async with responding(town) as old:
        await old.says(town.doomed, revoked=True)
        town.server.kill()
        town.server.start()
        with town.server.client() as client:
            install_functions(client, "test")
        await sweep(town, old)


@pytest.mark.invariant("A2")
async def test_an_old_dump_is_restored(town: Town) -> None:
    """Whole pages, in which nothing is missing but what was revoked since."""
    with town.server.client() as client:
        client.save()
    async with responding(town) as old:
        await old.says(town.serials, revoked=False)
        town.revoke()
        await old.says(town.doomed, revoked=True)
        town.server.kill()
        town.server.start()
        assert not any(map(town.works.is_revoked, town.doomed))
        await sweep(town, old)
