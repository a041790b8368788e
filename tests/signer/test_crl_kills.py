"""kill -9 of a publisher at every line of publishing and at moments by chance; what readers see of it (invariant D9)."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from _fastpath.crl_reader import Crl
from signer.crl.build import build_shard
from store.config import ObjectTarget
from store.objects import ObjectStore, archive_path, crl_path, open_object_store, read_object
from tests.signer.crl_authority import NOW, crl_fields, make_authority, revoked_entries
from tests.signer.crl_readers import Reader
from tests.store.s3_server import S3Server

CA = make_authority()
PATH = crl_path("r1", 0, 0)
ENTRIES = 2_000
SEED = 20261121


def crl(number: int) -> bytes:
    fields = replace(crl_fields(number), this_update=NOW + number)
    return build_shard(CA, fields, revoked_entries(ENTRIES))


class Series:
    """CRLs that publishers are killed over, each with the next number, and the reader that looks on."""

    def __init__(self, target: ObjectTarget, directory: Path) -> None:
        self.store: ObjectStore = open_object_store(target, create=True)
        self.reader = Reader(self.store, PATH, CA.certificate)
        self._target = json.dumps(asdict(target), default=str)
        self._file = directory / "next.crl"
        self._number = 0
        self.killed = 0

    def publish(self, way: str, when: int) -> bool:
        """Whether it was killed over it. What is live then is the CRL before or this one, whole."""
        before, self._number = self.live(), self._number + 1
        self._file.write_bytes(crl(self._number))
        arguments = [self._target, PATH, str(self._file), way, str(when)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.signer.crl_doomed", *arguments],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            timeout=60,
        )
        assert done.returncode in (0, -signal.SIGKILL)
        after = self.live()
        assert after in (before, self._number)
        assert after == self._number or done.returncode != 0
        self.killed += done.returncode != 0
        return done.returncode != 0

    def live(self) -> int:
        found = read_object(self.store, PATH)
        return Crl(found.data).crl_number if found else 0

    def check(self) -> None:
        """The reader saw whole CRLs in their order; each that went live is archived, and nothing is half there."""
        self.reader.stop()
        assert self.reader.torn == []
        assert self.reader.numbers == sorted(set(self.reader.numbers))
        for number in self.reader.numbers:
            archived = read_object(self.store, archive_path(PATH, number))
            assert archived is not None
            assert Crl(archived.data).crl_number == number


@pytest.fixture(params=["directory", "s3"])
def series(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Series]:
    target = ObjectTarget(str(tmp_path / "objects"))
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        target = server.target("kills", prefix=tmp_path.name)
    made = Series(target, tmp_path)
    made.reader.start()
    yield made
    made.reader.stop()


@pytest.mark.conformance("U-06")
@pytest.mark.parametrize(
    "stride", [pytest.param(40, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]
)
def test_at_the_lines_of_publishing(stride: int, series: Series) -> None:
    line = 0
    while series.publish("line", line):
        line += stride
    assert line > 40  # it was killed on the way, and then had come past the last line
    series.check()


@pytest.mark.slow
@pytest.mark.conformance("U-06")
def test_at_moments_by_chance(series: Series) -> None:
    """Also in the middle of writing, of fsync and of a request: 80 moments in the first 30 ms."""
    chance = random.Random(SEED)
    for _ in range(80):
        series.publish("timer", chance.randrange(30_000))
    assert series.killed > 10
    assert len(series.reader.numbers) > 1
    series.check()
