"""What befalls a signer in a simulation: each begins by itself, and most end after some hours."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import redis

from store.embedded import EmbeddedStore
from tests.signer.processes import wait_until, workers_of
from tests.signer.simulation import HOUR, Simulation
from tests.signer.test_rollover import issue
from tests.signer.works import DAY

__all__ = [
    "Failure",
    "all_of_them",
    "bad_row",
    "clock_a_day_ahead",
    "kill",
    "old_dump",
    "put_back",
    "signer_killed",
    "store_killed",
    "successor",
    "take_dump",
    "workers_killed",
]

Failure = Callable[[Simulation], None]


def store_away(simulation: Simulation) -> None:
    """Cut off for 8 h. What it has it keeps."""
    socket = simulation.store.socket
    away = socket.with_suffix(".away")
    with redis.Redis(unix_socket_path=str(socket)) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    socket.rename(away)

    def back() -> None:
        away.rename(socket)

    simulation.later(8 * HOUR, back)


def store_killed(simulation: Simulation) -> None:
    """It comes back empty."""
    kill(simulation.store)
    simulation.later(60, simulation.store.ensure_running)


def old_dump(simulation: Simulation) -> None:
    """20 h later it is killed, and comes back as it is now."""
    dump = take_dump(simulation.store)

    def restore() -> None:
        kill(simulation.store)
        put_back(simulation.store, dump)

    simulation.later(20 * HOUR, restore)


def kill(store: EmbeddedStore) -> None:
    """Its server."""
    with redis.Redis(unix_socket_path=str(store.socket)) as client:
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
    wait_until(lambda: not _answers(store))


def _answers(store: EmbeddedStore) -> bool:
    try:
        with redis.Redis(unix_socket_path=str(store.socket)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def take_dump(store: EmbeddedStore) -> Path:
    """What it has now, in a file that it does not find again by itself."""
    dump, kept = store.socket.with_name("dump.rdb"), store.socket.with_name("kept.rdb")
    with redis.Redis(unix_socket_path=str(store.socket)) as client:
        client.save()
    return dump.rename(kept)


def put_back(store: EmbeddedStore, dump: Path) -> None:
    """Start a server on it."""
    dump.rename(store.socket.with_name("dump.rdb"))
    store.ensure_running()


def bad_row(simulation: Simulation) -> None:
    """For 60 h: longer than the answers of its neighbours could go without renewal."""
    living = [
        one for one in simulation.checker.subjects.values() if one.row.not_after > simulation.now + 4 * DAY
    ]
    chosen = next(one for one in living if one.revoked_at is None and one.last is not None and not one.known_bad)  # fmt: skip
    chosen.known_bad = True
    simulation.works.damage(chosen.row.serial)

    def good_again() -> None:
        chosen.known_bad = False

    def mend() -> None:
        simulation.works.mend(chosen.row.serial)
        simulation.later(4 * HOUR, good_again)

    simulation.later(60 * HOUR, mend)


def workers_killed(simulation: Simulation) -> None:
    killed = workers_of(os.getpid())
    for worker in killed:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not killed & workers_of(os.getpid()))


def signer_killed(simulation: Simulation) -> None:
    """In the middle of its work; a minute later it is there again."""
    simulation.doom(simulation.chooser.randrange(60))


def signer_down(simulation: Simulation) -> None:
    """For 20 h."""
    simulation.stop()
    simulation.later(20 * HOUR, simulation.start)


def restart(simulation: Simulation) -> None:
    simulation.stop()
    simulation.start()


def clock_back(simulation: Simulation) -> None:
    _jump(simulation, -HOUR, 2 * HOUR)


def clock_a_day_ahead(simulation: Simulation) -> None:
    _jump(simulation, DAY, 5 * HOUR)


def clock_a_year_ahead(simulation: Simulation) -> None:
    _jump(simulation, 365 * DAY, 20 * HOUR)


def restart_on_a_wrong_clock(simulation: Simulation) -> None:
    simulation.stop()
    _jump(simulation, 30 * DAY, 6 * HOUR)
    simulation.start()


def restart_on_a_dead_clock(simulation: Simulation) -> None:
    """Whose battery is empty."""
    simulation.stop()
    _jump(simulation, -20 * 365 * DAY, 6 * HOUR)
    simulation.start()


def _jump(simulation: Simulation, seconds: int, lasts: int) -> None:
    simulation.wrong += seconds

    def right() -> None:
        simulation.wrong -= seconds
        simulation.pass_time(1)

    simulation.later(lasts, right)
    simulation.pass_time(1)


def key_gone(simulation: Simulation) -> None:
    """As a token is taken out, for 7 h: every process has to open the key again."""
    keys = sorted((simulation.works.directory / "responders").glob("*.key"))
    for key in keys:
        key.rename(key.with_suffix(".away"))
    restart(simulation)

    def back() -> None:
        for key in keys:
            key.with_suffix(".away").rename(key)

    simulation.later(7 * HOUR, back)


def successor(simulation: Simulation) -> None:
    """A responder certificate for the next 60 days."""
    issue(simulation.works, "b", simulation.now - 60, simulation.now + 60 * DAY)


# And hours until the next one may begin; all but the first six are hours in which nothing may be signed.
FAILURES: tuple[tuple[Failure, int], ...] = (
    (store_killed, 1),
    (old_dump, 21),
    (bad_row, 0),
    (workers_killed, 0),
    (signer_killed, 1),
    (restart, 0),
    (store_away, 8),
    (signer_down, 20),
    (key_gone, 7),
    (clock_back, 3),
    (clock_a_day_ahead, 6),
    (clock_a_year_ahead, 21),
    (restart_on_a_wrong_clock, 7),
    (restart_on_a_dead_clock, 7),
)


def all_of_them(chooser: random.Random, begin: int, end: int) -> list[tuple[int, Failure]]:
    """In any order between two times, one after the other, with at least an hour in which it can recover."""
    deck = list(FAILURES)
    chooser.shuffle(deck)
    spare = end - begin - sum((lasts + 1) * HOUR for _, lasts in deck)
    gaps = sorted(chooser.randrange(spare) for _ in deck)
    found, taken = [], begin
    for (failure, lasts), gap in zip(deck, gaps, strict=True):
        found.append((taken + gap, failure))
        taken += (lasts + 1) * HOUR
    return found
