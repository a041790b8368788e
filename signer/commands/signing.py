"""`sign`: one pass over what is due, then exit. `run`: everything, for ever."""

import signal
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from typing import Any

from signer.commands.output import print_json, print_text, remark
from signer.config import load_settings
from signer.context import Context
from signer.files import held
from signer.ocsp.batch import Pool
from signer.ocsp.pages import Tally
from signer.ocsp.repage import pages_lock
from signer.ocsp.service import IssuerService, open_service
from signer.restored import check_audited
from signer.run import Runner
from signer.witness import clock_to_sign_by
from store.clock import Clock
from store.logs import configure
from store.progress import bar

__all__ = ["run", "sign"]


def sign(
    file: Path,
    *,
    everything: bool,
    issuer: str | None,
    workers: int | None,
    as_json: bool,
    quiet: bool,
    clock: Clock | None = None,
) -> int:
    """Sign; returns the exit code: 1 if a page could not be signed. Raises ClockStopped (B6)."""
    with Context.open(file, clock) as context, _pages(context.settings.state_directory):
        check_audited(context.ledger)
        tables = context.settings.root.issuer
        context.clock = clock_to_sign_by(context.ledger, tables, context.clock)
        names = [issuer] if issuer else [table.name for table in tables if table.ocsp.enabled]
        for name in names:
            context.settings.with_ocsp(name)
            context.ledger.issuer(name)  # a pass never adds an issuer: its certificates come first
        faults = 0
        with Pool(file, workers or context.settings.root.signer.worker_count, context.clock) as pool:
            for name in names:
                began = monotonic()
                service = open_service(context, name, pool)
                with bar(f"sign {name}", service.page_count, quiet=quiet) as advance:
                    tally = service.sign_all(advance) if everything else service.sign_due(advance)
                _report(name, service, tally, monotonic() - began, as_json)
                faults += len(tally.faults)
    return 1 if faults else 0


def _pages(directory: Path) -> AbstractContextManager[None]:
    """Sign no page while others are put in force."""

    def taken(process: str) -> None:
        remark(f"waiting for process {process}, which puts other pages in force")

    return held(pages_lock(directory), taken, shared=True)


def _report(name: str, service: IssuerService, tally: Tally, seconds: float, as_json: bool) -> None:
    found: dict[str, Any] = {
        "issuer": name,
        "pages": tally.pages,
        "responses": tally.responses,
        "current": tally.current,
        "faults": [{"page": fault.page, "message": fault.message} for fault in tally.faults],
        "seconds": round(seconds, 3),
    }
    if as_json:
        print_json(found)
        return
    print_text(
        f"{name}: {tally.responses:,} responses signed in {tally.pages:,} of {service.page_count:,} pages, {seconds:.1f} s"
    )
    for fault in tally.faults:
        remark(f"{name}: page {fault.page}: {fault.message}")


def run(file: Path, verbosity: int) -> None:
    """Until SIGTERM or SIGINT."""
    load_settings(file)
    configure(verbosity)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stop.set())
    Runner(file).run(stop)
