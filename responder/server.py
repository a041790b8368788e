"""The supervisor: binds both listeners, keeps the embedded store and the workers running, serves the admin port."""

import contextlib
import os
import resource
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from responder.admin import admin_app, check_readiness
from responder.app import WorkerFactory
from responder.config import Settings, load_settings
from responder.counters import CounterFile
from responder.errors import WorkerFailed
from responder.floor_keeper import FloorKeeper, FloorSources
from responder.logs import uvicorn_config
from responder.metrics import registry_of
from store.clock import Clock, SystemClock
from store.embedded import EmbeddedStore
from store.errors import ConfigError, OcspeedError, StoreError
from store.listening import BACKLOG, Address, bind

__all__ = ["serve"]

log = structlog.get_logger()

GRACE = 10  # seconds for requests under way when a worker is told to stop
SPARE_ROWS = 16  # counter rows for workers that are being replaced
WATCH_INTERVAL = 1.0
SPARE_DESCRIPTORS = 64  # of a worker for all but its clients


def serve(settings: Settings, verbosity: int, clock: Clock | None = None) -> None:
    """Serve until SIGTERM or SIGINT, by `clock` or the machine's.

    Raises AddressUnavailable, ConfigError, StoreError, WorkerFailed.
    """
    section, clock = settings.responder, clock or SystemClock()
    _check_hashing()
    _allow_connections(section.limit_concurrency)
    with contextlib.ExitStack() as stack:
        public = stack.enter_context(bind("responder.listen", Address.parse(section.listen)))
        public.set_inheritable(True)  # by the workers
        admin = stack.enter_context(bind("responder.admin", Address.parse(section.admin)))
        if settings.embedded:
            stack.enter_context(_embedded_store(settings.state_directory))
        counters = stack.enter_context(_counter_file(settings))
        floor = stack.enter_context(_floor(settings, clock))
        config = _worker_config(settings, counters.path, verbosity, clock)
        supervisor = Multiprocess(config, sockets=[public])
        stack.enter_context(_admin_server(settings, counters, floor, admin, verbosity, clock))
        log.info("serving", listen=section.listen, admin=section.admin, workers=section.workers)
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            raise WorkerFailed(
                "a worker could not start", remedy="see the message above; `ocsp-responder check-config`"
            )


def _check_hashing() -> None:
    """F4: what clients send becomes keys of dictionaries; whoever knows their hash could have them all collide."""
    if not sys.flags.ignore_environment and os.environ.get("PYTHONHASHSEED") not in (None, "", "random"):
        raise ConfigError(
            "PYTHONHASHSEED is set: clients could choose keys that collide in every table",
            remedy="start ocsp-responder without it in the environment",
        )


def _allow_connections(limit: int) -> None:
    """Let each worker have as many descriptors as connections, and as many again to refuse (H-20).

    Workers inherit this; the soft limit of a service is often 1024.
    """
    needed = 2 * limit + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    if raised < limit + SPARE_DESCRIPTORS:
        log.warning("fewer descriptors than limit_concurrency connections take", nofile=raised, limit=limit)


def _worker_config(settings: Settings, counters: Path, verbosity: int, clock: Clock) -> uvicorn.Config:
    section = settings.responder
    return uvicorn.Config(
        WorkerFactory(settings.file, counters, verbosity, clock),
        factory=True,
        workers=section.workers,
        loop="uvloop",
        http="responder.protocol:connection",
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=uvicorn_config(verbosity, access_log=section.access_log),
        access_log=section.access_log,
        proxy_headers=False,
        server_header=False,
        date_header=False,  # each answer carries the second that it was made for
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE,
    )


@contextlib.contextmanager
def _counter_file(settings: Settings) -> Iterator[CounterFile]:
    settings.state_directory.mkdir(parents=True, exist_ok=True)
    path = settings.state_directory / f"responder-{os.getpid()}.counters"
    file = CounterFile(path, rows=2 * settings.responder.workers + SPARE_ROWS)
    try:
        yield file
    finally:
        file.close()
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _floor(settings: Settings, clock: Clock) -> Iterator[FloorKeeper]:
    """Keep the floor; the file is read anew each time, for SIGHUP gives the workers what changed in it."""
    keeper = FloorKeeper(
        settings.state_directory,
        lambda: _floor_sources(settings),
        clock,
        settings.responder.floor_interval,
    )
    if settings.ocsp_issuers:
        keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()


def _floor_sources(settings: Settings) -> FloorSources:
    with contextlib.suppress(OcspeedError):  # workers go on with what they have, too
        settings = load_settings(settings.file)
    return FloorSources(settings.ocsp_issuers, settings.objects)


@contextlib.contextmanager
def _embedded_store(directory: Path) -> Iterator[None]:
    """Start the store or find it, and start it again when the process that owned it ended it."""
    store = EmbeddedStore(directory)
    store.ensure_running()
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(store, ended), name="embedded store", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        store.stop()


def _watch(store: EmbeddedStore, ended: threading.Event) -> None:
    while not ended.wait(WATCH_INTERVAL):
        if _listens(store.socket):
            continue
        log.warning("embedded store ended; starting it again")
        try:
            store.ensure_running()
        except StoreError as error:
            log.error("embedded store cannot be started", reason=str(error))


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(os.fspath(path)) == 0


@contextlib.contextmanager
def _admin_server(
    settings: Settings,
    counters: CounterFile,
    floor: FloorKeeper,
    listener: socket.socket,
    verbosity: int,
    clock: Clock,
) -> Iterator[None]:
    """Serve the admin listener from a thread of the supervisor."""
    app = admin_app(lambda: check_readiness(settings, clock), registry_of(counters, floor))
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=uvicorn_config(verbosity, access_log=False),
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="admin", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
