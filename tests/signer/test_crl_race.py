"""Two publishers of one shard and a reader, over a directory and over an S3 server (invariants D1 and D9).

One of the publishers is stopped between signing and publishing in every other attempt, until the other one has published.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store.objects import ObjectStore, archive_path, crl_path, open_object_store, read_object
from tests.signer.crl_readers import Reader
from tests.signer.processes import wait_until
from tests.signer.works import Works
from tests.store.s3_server import S3Server

PATH = crl_path("demo", 0, 0)
ENTRIES = 200
FAST, SLOW = 30, 1_000


class Racers:
    """The two processes, what each printed, and the shard's readers."""

    def __init__(self, works: Works, store: ObjectStore, mode: str) -> None:
        self._started = str(time.time())
        self._works = works
        self.reader = Reader(store, PATH, works.context.crl_signer("demo").certificate)
        self.reader.start()
        self.free = self._start("free")
        self.stopping = self._start(mode)

    def _start(self, mode: str) -> "subprocess.Popen[bytes]":
        command = [
            sys.executable,
            "-m",
            "tests.signer.crl_racer",
            str(self._works.file),
            self._started,
            mode,
        ]
        with (self._works.directory / f"{mode}.jsonl").open("wb") as output:
            return subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": os.getcwd()}
            )

    def round(self) -> None:
        """Until the one has stopped itself, and then until the other has published; then it goes on."""
        _, status = os.waitpid(self.stopping.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), (self._works.directory / "stops.jsonl").read_text()[-2000:]
        before = self.reader.newest
        wait_until(lambda: self.reader.newest > before, 60)
        self.stopping.send_signal(signal.SIGCONT)

    def end(self) -> None:
        for process in (self.free, self.stopping):
            process.kill()
            process.wait()
        self.reader.stop()

    def attempts(self, mode: str) -> list[dict[str, object]]:
        lines = (self._works.directory / f"{mode}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


@contextmanager
def race(works: Works, store: ObjectStore, mode: str = "stops") -> Iterator[Racers]:
    racers = Racers(works, store, mode)
    try:
        yield racers
    finally:
        racers.end()


@pytest.fixture(params=["directory", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, works: Works) -> Iterator[ObjectStore]:
    """The object store that the works publish to."""
    works.add_some(ENTRIES * 3, revoked_every=1)
    if request.param == "directory":
        yield open_object_store(works.context.settings.objects_target, create=True)
        return
    server: S3Server = request.getfixturevalue("s3_server")
    target = server.target("race", prefix=tmp_path.name)
    section = (
        f'[objects]\ntarget = "{target.location}"\nendpoint = "{target.endpoint}"\nregion = "local"\n'
        f'access_key_file = "{target.access_key_file}"\nsecret_key_file = "{target.secret_key_file}"\n'
        "allow_http = true\n[signer]"
    )
    with works.configured("[signer]", section):
        yield open_object_store(target)


@pytest.mark.conformance("C-08", "U-06")
@pytest.mark.parametrize(
    "rounds", [pytest.param(FAST, id="fast"), pytest.param(SLOW, id="slow", marks=pytest.mark.slow)]
)
def test_who_was_stopped_before_publishing_replaces_nothing(
    rounds: int, works: Works, opened: ObjectStore
) -> None:
    with race(works, opened) as racers:
        for _ in range(rounds):
            racers.round()
        wait_until(lambda: sum(one["number"] is None for one in racers.attempts("stops")) >= rounds, 60)
    reader = racers.reader
    assert reader.torn == []
    assert reader.numbers == sorted(set(reader.numbers))
    assert len(reader.numbers) > rounds
    won = {
        mode: [one["number"] for one in racers.attempts(mode) if one["number"]] for mode in ("free", "stops")
    }
    assert won["free"]
    assert won["stops"]  # in the attempts in which it was not stopped
    assert set(won["free"]).isdisjoint(won["stops"])
    lost = [str(one["message"]) for one in racers.attempts("stops") if one["number"] is None]
    overtaken = [message for message in lost if "to be live, found number" in message]
    assert len(overtaken) >= rounds
    # What was seen was published by one of them, and is archived. The last one may be ahead of its line.
    assert set(reader.numbers[:-1]) <= {*won["free"], *won["stops"]}
    for number in reader.numbers[-50:]:
        assert read_object(opened, archive_path(PATH, number)) is not None


@pytest.mark.slow
def test_without_compare_and_set_an_older_one_goes_live(works: Works, opened: ObjectStore) -> None:
    """The guard of the test above removed: so it can see what must not be."""
    with race(works, opened, "unguarded-stops") as racers:
        for _ in range(3):
            racers.round()
        wait_until(lambda: racers.reader.numbers != sorted(racers.reader.numbers), 60)
    assert racers.reader.torn == []
