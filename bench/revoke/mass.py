"""Millions of revocations from a file, and how long it takes until clients can know of each."""

import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import redis
from cryptography import x509

from _fastpath.crl_reader import Crl
from _fastpath.page import HEADER_FIELD, PageHeader
from bench.child import ran
from bench.revoke.place import Place, command, made
from bench.scale.answers import check_answers
from bench.scale.corpus import ISSUER, SHARDS
from bench.scale.watched import Failed
from bench.serve.processes import Processes
from bench.sign.contenders import store_processes

__all__ = ["Mass", "revoke_many"]

CHECKED = 500  # certificates
AT_A_TIME = 10_000  # keys of the store

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Mass:
    """Seconds from the start of `revoke` until all is durable, signed, and in CRLs; CPU seconds of each process."""

    revoked: int
    recorded: float
    signed: float
    published: float
    revoke_cpu: float
    signer_cpu: float
    crl_cpu: float
    store_cpu: float
    verified: int  # answers

    @property
    def seconds(self) -> float:
        """Until clients can know of every one."""
        return max(self.signed, self.published)


def revoke_many(count: int, say: Say) -> Mass:
    """Of a CA that issued no others: all of them. Raises Failed."""
    with made(count, CHECKED, revoked_every=0) as place:
        file = _write_file(place)
        with place.signer() as signer:
            say("revoked")
            found = _timed(place, file, count, signer.pids[0], say)
        return replace(found, verified=_check(place, count))


def _write_file(place: Place) -> Path:
    """As the CA would hand it over: in the order of issuance."""
    path = place.directory / "revoked.txt"
    with (place.directory / "index.txt").open() as index, path.open("w") as file:
        file.writelines(line.split("\t")[3] + "\n" for line in index)
    return path


def _timed(place: Place, file: Path, count: int, signer: int, say: Say) -> Mass:
    store = store_processes(place.url)
    cpu, store_cpu, began = Processes(signer).cpu(), store.cpu(), time.monotonic()
    words = ["--issuer", ISSUER, "--from-file", str(file), "--expect", str(count)]
    words += ["--reason", "superseded", "--quiet"]
    signed = _Signed(place, began)
    revoke = _done(command("revoke", place.config, *words), place.directory, began)
    say(f"recorded: {revoke.seconds:.1f} s")
    signed.start()
    crl = _done(command("crl build", place.config, "-q"), place.directory, began)
    say(f"published: {crl.seconds:.1f} s")
    signed.join()
    say(f"signed: {signed.seconds:.1f} s")
    return Mass(
        revoked=count,
        recorded=revoke.seconds,
        signed=signed.seconds,
        published=crl.seconds,
        revoke_cpu=revoke.cpu,
        signer_cpu=Processes(signer).cpu() - cpu,
        crl_cpu=crl.cpu,
        store_cpu=store.cpu() - store_cpu,
        verified=0,
    )


@dataclass(frozen=True, slots=True)
class _Done:
    """When a command ended, and what it took."""

    seconds: float
    cpu: float


def _done(words: Sequence[str], directory: Path, began: float) -> _Done:
    """Raises Failed."""
    _, used = ran(words, directory, subprocess.DEVNULL, Failed)
    return _Done(time.monotonic() - began, used.ru_utime + used.ru_stime)


class _Signed(threading.Thread):
    """Waits until every change is in the store."""

    def __init__(self, place: Place, began: float) -> None:
        super().__init__(name="signed")
        self._place = place
        self._began = began
        self.seconds = 0.0

    def run(self) -> None:
        self._place.wait_until_signed()
        self.seconds = time.monotonic() - self._began


def _check(place: Place, count: int) -> int:
    """Every page says how many of it are revoked, every CRL is fetched, and a sample of answers. Raises Failed."""
    stored = _revoked_in_store(place.url)
    with place.workers(1) as (worker,):
        entries = sum(_entries(worker.port, index) for index in range(SHARDS))
        if (stored, entries) != (count, count):
            raise Failed(f"of {count:,} the store has {stored:,} as revoked and the CRLs {entries:,}")
        ca = x509.load_pem_x509_certificate((place.directory / "ca.pem").read_bytes())
        revoked = [replace(one, revoked=True) for one in place.drawn]
        return check_answers(worker.port, ca, place.corpus.responder, revoked)


def _revoked_in_store(url: str) -> int:
    found = 0
    with redis.Redis.from_url(url) as client:
        keys = list(client.scan_iter(f"ocsp:page:{ISSUER}:*", count=AT_A_TIME))
        for first in range(0, len(keys), AT_A_TIME):
            pipeline = client.pipeline(transaction=False)
            for key in keys[first : first + AT_A_TIME]:
                pipeline.hget(key, HEADER_FIELD)
            found += sum(PageHeader.decode(header).revoked_count for header in pipeline.execute())
    return found


def _entries(port: int, index: int) -> int:
    """Of one CRL, as clients fetch it."""
    url = f"http://127.0.0.1:{port}/crl/{ISSUER}/0-{index}.crl"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return len(Crl(answer.read()))
