"""A2, C3: a store that lost a thousand acknowledged revocations, or got their old records back. None is answered good.

Everything is a process of its own: the signer, responders with several workers, stores, a Sentinel. How long it takes
until all is answered again is told and kept.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.faults.asking import Outcome
from tests.faults.relay import Relay, follows
from tests.faults.servers import Sentinel, Server
from tests.faults.town import PATIENCE, Responder, Town, built
from tests.kept import keep
from tests.signer.processes import wait_until

pytestmark = pytest.mark.slow

REVOKED = 1_000
FLOOR = 'crl_floor_entries{issuer="demo"}'
PLAIN = ("--repl-diskless-sync-delay", "0")


class Witness:
    """Asks a responder about everything without a pause, from when the doomed are known as revoked to the end."""

    def __init__(self, town: Town, responder: Responder) -> None:
        self.doomed: Counter[Outcome] = Counter()
        self.others: Counter[Outcome] = Counter()
        self.late = time.monotonic()  # when something was last answered with tryLater
        self._town = town
        self._askers = responder.connections()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go)
        self._thread.start()

    def _go(self) -> None:
        asked = cycle(
            [(self.doomed, one) for one in self._town.doomed]
            + [(self.others, one) for one in self._town.others]
        )
        for asker, (seen, serial) in zip(cycle(self._askers), asked, strict=False):
            if self._over.is_set():
                return
            sent = time.monotonic()
            outcome = asker.ask(serial).outcome
            seen[outcome] += 1
            if outcome is Outcome.TRY_LATER:
                self.late = sent

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        for asker in self._askers:
            asker.close()

    def described(self) -> dict[str, dict[str, int]]:
        return {
            name: {outcome.name: count for outcome, count in sorted(seen.items())}
            for name, seen in (("revoked", self.doomed), ("others", self.others))
        }


def is_whole(town: Town, responders: Sequence[Responder]) -> bool:
    """Whether all of them say what holds of every certificate."""
    return all(
        responder.says_only(Outcome.REVOKED, town.doomed) and responder.says_only(Outcome.GOOD, town.others)
        for responder in responders
    )


@dataclass(frozen=True)
class Scene:
    """A town with two responders: one lets its cache go on without the store, the other one does not."""

    town: Town
    lasting: Responder
    strict: Responder

    @property
    def responders(self) -> list[Responder]:
        return [self.lasting, self.strict]

    def wait_until_good(self) -> None:
        for responder in self.responders:
            wait_until(lambda it=responder: it.says_only(Outcome.GOOD, self.town.serials), PATIENCE)  # type: ignore[misc]

    def revoke(self) -> None:
        """Acknowledged, and known to every worker."""
        self.town.revoke(self.town.doomed)
        wait_until(lambda: is_whole(self.town, self.responders), PATIENCE)

    def lose(self, name: str, happens: Callable[[], None]) -> None:
        """Look at all answers until everything is right again, and keep what was seen."""
        with ExitStack() as stack:
            witnesses = []
            for responder in self.responders:
                witnesses.append(Witness(self.town, responder))
                stack.callback(witnesses[-1].end)
            began = time.monotonic()
            happens()
            lost = time.monotonic() - began
            wait_until(lambda: is_whole(self.town, self.responders), PATIENCE)
        found: dict[str, Any] = {
            "revocations": len(self.town.doomed),
            "lost_after_s": round(lost, 2),
            "whole_after_s": round(max(witness.late for witness in witnesses) - began, 2),
            "lasting": witnesses[0].described(),
            "strict": witnesses[1].described(),
        }
        sys.stderr.write(f"{name}: {found}\n")
        keep("lost-revocations", name, found)
        for witness in witnesses:
            assert witness.doomed.keys() <= {Outcome.REVOKED, Outcome.TRY_LATER}
            assert witness.others.keys() <= {Outcome.GOOD, Outcome.TRY_LATER}
        assert witnesses[1].doomed[Outcome.TRY_LATER] > 0


@contextmanager
def scene(directory: Path, store_url: str, *, floor: bool = False) -> Iterator[Scene]:
    with (
        built(directory, store_url, REVOKED, floor=floor) as town,
        town.responder() as lasting,
        town.responder('max_unverified = "0s"') as strict,
    ):
        made = Scene(town, lasting, strict)
        made.wait_until_good()
        yield made


@pytest.mark.invariant("A2", "A1", "A8")
@pytest.mark.conformance("R-20")
def test_a_failover_behind_a_black_hole(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A Sentinel promotes a replica that nothing has reached since before the revocations."""
    directory = tmp_path_factory.mktemp("s")
    with ExitStack() as stack:
        primary = Server(directory / "primary", *PLAIN)
        stack.callback(primary.kill)
        address = stack.enter_context(Relay(primary.port))  # where everybody finds it
        replica = Server(directory / "replica", *PLAIN, "--replicaof", "127.0.0.1", str(address.port))
        stack.callback(replica.kill)
        sentinel = Sentinel(directory / "sentinel", address.port)
        stack.callback(sentinel.end)
        with scene(directory / "ca", sentinel.url) as here, replica.client() as its:
            wait_until(lambda: its.info("replication")["master_link_status"] == "up", PATIENCE)
            wait_until(lambda: sentinel.replicas() == 1, PATIENCE)
            with primary.client() as client:
                assert client.wait(1, 10_000) == 1
            address.back.concerns = follows
            address.back.swallows = True
            here.revoke()

            def lose() -> None:
                primary.kill()
                wait_until(lambda: sentinel.primary() == replica.port, PATIENCE)

            here.lose("failover behind a black hole", lose)


@pytest.mark.invariant("A2", "A8", "C4")
@pytest.mark.conformance("R-20")
def test_an_empty_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The administrator loads the functions again, as docs/operations.md says."""
    directory = tmp_path_factory.mktemp("s")
    with ExitStack() as stack:
        server = Server(directory / "store")
        stack.callback(server.kill)
        with scene(directory / "ca", server.url) as here:
            here.revoke()

            def lose() -> None:
                server.kill()
                server.start()
                here.town.command("store", "init")

            here.lose("empty restart", lose)


@pytest.mark.invariant("A2", "A8")
@pytest.mark.conformance("R-20")
def test_an_old_dump_is_restored(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whole pages and a head, in which nothing is missing but the revocations."""
    directory = tmp_path_factory.mktemp("s")
    with ExitStack() as stack:
        server = Server(directory / "store")
        stack.callback(server.kill)
        with scene(directory / "ca", server.url) as here:
            with server.client() as client:
                client.save()
            here.revoke()

            def lose() -> None:
                server.kill()
                server.start()  # on the dump

            here.lose("restored old dump", lose)


def pages_of(client: redis.Redis) -> dict[bytes, bytes]:
    found = {key: client.dump(key) for key in client.scan_iter("ocsp:page:*")}
    return {key: value for key, value in found.items() if isinstance(value, bytes)}


@pytest.mark.invariant("C3", "A2")
@pytest.mark.conformance("R-20")
def test_old_records_are_written_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    """By somebody who can write to the store, again and again; the revocations are in published CRLs."""
    directory = tmp_path_factory.mktemp("s")
    with ExitStack() as stack:
        server = Server(directory / "store")
        stack.callback(server.kill)
        with scene(directory / "ca", server.url, floor=True) as here, server.client() as client:
            before = pages_of(client)
            here.revoke()
            here.town.command("crl", "build")
            for responder in here.responders:
                wait_until(lambda it=responder: it.metric(FLOOR) == REVOKED, PATIENCE)  # type: ignore[misc]

            def lose() -> None:
                until = time.monotonic() + 5
                while time.monotonic() < until:
                    for key, value in before.items():
                        client.restore(key, 0, value, replace=True)
                    time.sleep(0.05)
                wait_until(lambda: here.lasting.says_only(Outcome.TRY_LATER, here.town.doomed), PATIENCE)
                here.town.command("sign", "--all")  # the remedy

            here.lose("old records written back", lose)
            assert here.lasting.metric("ocsp_floor_refusals_total") >= REVOKED
