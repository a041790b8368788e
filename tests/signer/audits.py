"""An issuer whose ledger, store and CRLs agree, audited as the command does."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from signer.audit.patience import Patience
from signer.audit.whole import Request
from signer.commands import audit as command
from signer.ocsp.schedule import PageRange
from signer.ocsp.tail import Tail
from store.clock import Clock
from store.schema import Head
from tests.integration.service import Service
from tests.ports import free_port
from tests.signer.works import FakeClock, Works

__all__ = ["Audited", "Settled", "publish", "serving", "settle", "settle_pages"]


class Settled:
    """Made once: 60 certificates of which 6 are revoked, signed and on CRLs; for any number of tests to damage."""

    def __init__(self, directory: Path, store_url: str) -> None:
        self._directory = directory
        self._url = store_url
        works = Works(directory, store_url, FakeClock())
        with works.context:
            works.add_some(60, revoked_every=10)
            settle(works)
        with redis.Redis.from_url(store_url) as client:
            names: Any = client.keys("*")
            self._dumps: dict[bytes, Any] = {name: client.dump(name) for name in names}

    @contextmanager
    def again(self, directory: Path, clock: FakeClock) -> Iterator[Works]:
        """A copy of all files there, and the empty store filled again."""
        shutil.copytree(self._directory, directory)
        with redis.Redis.from_url(self._url) as client:
            for name, value in self._dumps.items():
                client.restore(name, 0, value)
        works = Works.over(directory, clock)
        with works.context:
            yield works


def settle(works: Works) -> None:
    """As `run` does: the tail, every page, CRLs."""
    settle_pages(works)
    publish(works)


def settle_pages(works: Works) -> None:
    signer = works.signer()
    tail = Tail(works.ledger, signer)
    assert not tail.step().faults
    assert not signer.sign_range(PageRange(0, signer.page_count - 1)).faults
    tail.settle(tail.open_pages, tail.read)
    works.context.writer.write_head("demo", Head(tail.read, works.reader.replication_id()))


def publish(works: Works) -> None:
    job = works.context.crl_job("demo")
    assert [one.message for one in job.build(job.shards(), lambda outcome: None) if one.message] == []


@contextmanager
def serving(works: Works) -> Iterator[str]:
    """Its responder, ready, at this URL."""
    service = Service(works.directory, free_port())
    text = works.file.read_text()
    admin = f'admin = "127.0.0.1:{service.admin_port}"'
    works.file.write_text(f'{text}[responder]\nlisten = "127.0.0.1:{service.port}"\n{admin}\n')
    with service.serving():
        yield service.url


class Audited:
    """Over a `Works`: says what an audit finds."""

    def __init__(self, works: Works, capsys: pytest.CaptureFixture[str], urls: tuple[str, ...] = ()) -> None:
        self.works = works
        self.urls = urls
        self.clock: Clock = works.clock
        self.pauses: list[float] = []
        self.pause: Callable[[float], None] = self.pauses.append
        self._capsys = capsys

    def report(
        self,
        *,
        full: bool = False,
        sample: int = 4,
        report: Path | None = None,
        issuer: str | None = None,
    ) -> Any:
        """The JSON of one audit. Its exit code says whether it is clean."""
        self._capsys.readouterr()
        code = self._audit(Request(sample, full, self.urls, random.Random(1)), report, issuer, as_json=True)
        result = json.loads(self._capsys.readouterr().out)
        assert code == (0 if result["clean"] else 1)
        return result

    def printed(self) -> int:
        """The exit code, with everything for people on stdout."""
        return self._audit(Request(5), None, None, as_json=False)

    def _audit(self, request: Request, report: Path | None, issuer: str | None, *, as_json: bool) -> int:
        return command.audit(
            self.works.file,
            request,
            issuer=issuer,
            report=report,
            as_json=as_json,
            quiet=True,
            clock=self.clock,
            patience=Patience(self.pause),
        )

    def kinds(self, **options: Any) -> dict[str, int]:
        """How many of each kind."""
        return {one["kind"]: one["count"] for one in self.report(**options)["findings"]}

    def first(self, kind: str, **options: Any) -> Any:
        """The first case of a kind, which is the only kind."""
        (found,) = self.report(**options)["findings"]
        assert found["kind"] == kind and found["remedy"]
        return found["first"][0]
