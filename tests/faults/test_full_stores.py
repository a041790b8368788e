"""C4, A8, G6: a store that cannot write or has no room. It is told of, nothing made up is answered, and it passes."""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
import redis

from tests.faults.asking import Outcome
from tests.faults.servers import Server
from tests.faults.town import PATIENCE, Responder, Town, built
from tests.signer.processes import wait_until

pytestmark = pytest.mark.slow

FLOOR = 'crl_floor_entries{issuer="demo"}'
EACH = 10  # revocations a test


@dataclass
class Scene:
    """A town whose responder keeps nothing that it cannot verify."""

    server: Server
    town: Town
    responder: Responder
    revoked: int = 0

    def doom(self) -> list[bytes]:
        """Revoke some more; the ledger acknowledges them."""
        first, self.revoked = self.revoked, self.revoked + EACH
        chosen = self.town.doomed[first : self.revoked]
        self.town.revoke(chosen)
        return chosen

    def is_whole(self) -> bool:
        revoked, good = self.town.doomed[: self.revoked], self.town.doomed[self.revoked :] + self.town.others
        return (
            self.responder.says_only(Outcome.GOOD, good)
            and (not revoked or self.responder.says_only(Outcome.REVOKED, revoked))
            and self.town.signer.client.get("/healthz").status_code == 200
        )

    def wait_until_whole(self) -> None:
        wait_until(self.is_whole, PATIENCE)

    def wait_until_told(self, words: str) -> None:
        """By the signer, to whoever asks whether it is well."""

        def told() -> bool:
            response = self.town.signer.client.get("/healthz")
            return response.status_code == 503 and words in json.dumps(response.json())

        wait_until(told, PATIENCE)

    def on_crls(self) -> None:
        """Publish, and wait until the responder has it on its floor."""
        self.town.command("crl", "build")
        wait_until(lambda: self.responder.metric(FLOOR) == self.revoked, PATIENCE)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("s")
    with ExitStack() as stack:
        server = Server(directory / "store", "--appendonly", "yes", "--appendfsync", "everysec")
        stack.callback(server.kill)
        town = stack.enter_context(built(directory / "ca", server.url, 5 * EACH, 500))
        responder = stack.enter_context(town.responder('max_unverified = "0s"'))
        made = Scene(server, town, responder)
        made.wait_until_whole()
        yield made


@contextmanager
def configured(server: Server, **settings: object) -> Iterator[None]:
    """With other settings of the server, until the end."""
    with server.client() as client:
        before = {name: client.config_get(name)[name] for name in settings}
        for name, value in settings.items():
            client.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


def used(server: Server) -> int:
    with server.client() as client:
        return int(client.info("memory")["used_memory"])


@pytest.mark.invariant("A8", "A2", "C3", "G6")
def test_the_stores_disk_is_full(here: Scene) -> None:
    """What it cannot write it refuses. Revocations that it cannot take are on CRLs, and so not answered good."""
    here.server.limit_files(1)
    try:
        with here.server.client() as client, pytest.raises(redis.RedisError, match="MISCONF"):
            while True:  # what comes before it has noticed is in its memory
                client.set("other", "1")
                time.sleep(0.1)
        doomed = here.doom()
        here.wait_until_told("MISCONF")
        here.on_crls()
        wait_until(lambda: here.responder.says_only(Outcome.TRY_LATER, doomed), PATIENCE)
        wait_until(lambda: here.responder.says_only(Outcome.GOOD, here.town.others), PATIENCE)
    finally:
        here.server.limit_files(resource.RLIM_INFINITY)
    here.wait_until_whole()


@pytest.mark.invariant("C4", "A8", "G6")
def test_the_store_has_no_room(here: Scene) -> None:
    """With `noeviction` it keeps what it has."""
    with configured(here.server, maxmemory=used(here.server) // 2):
        doomed = here.doom()
        here.wait_until_told("the store is full")
        here.on_crls()
        wait_until(lambda: here.responder.says_only(Outcome.TRY_LATER, doomed), PATIENCE)
        wait_until(lambda: here.responder.says_only(Outcome.GOOD, here.town.others), PATIENCE)
    here.wait_until_whole()


@pytest.mark.invariant("C4", "A3", "A8")
def test_a_server_that_evicts_pages(here: Scene) -> None:
    """As nobody may configure it: what is gone is tryLater, never unauthorized, for nobody said that it was not issued."""
    with configured(here.server, **{"maxmemory-policy": "allkeys-lru", "maxmemory": used(here.server) // 2}):
        here.doom()
        wait_until(lambda: Outcome.TRY_LATER in here.responder.says_everywhere(here.town.others), PATIENCE)
        for _ in range(5):
            found = here.responder.says_everywhere(here.town.serials)
            assert found.keys() <= {Outcome.GOOD, Outcome.REVOKED, Outcome.TRY_LATER}
    here.wait_until_whole()
