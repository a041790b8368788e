"""`revoke`: a few certificates, a file of them or all of a CA; summed up first, then for ever."""

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signer.cli_options import DEFAULT_CONFIG
from signer.commands.output import print_json, print_text, remark
from signer.config import IssuerTable, load_settings
from signer.intake.revocations import allowed_reason, fit_date, read_revocations, typed_serial
from signer.intake.rows import RowError
from signer.journal import user
from signer.ledger.ledger import Ledger
from signer.ledger.mass_revocation import Batch, MassOutcome, new_batch_id
from signer.ledger.staging import Staging
from signer.ledger.values import Outcome, Revocation, RevokeResult
from signer.steady import RecordingClock
from signer.witness import clock_to_record_by
from store.clock import Clock, SystemClock
from store.errors import UsageError
from store.progress import bar
from store.text import printable, rfc3339

__all__ = ["RevokeRequest", "revoke"]

FAILED = 1
REJECTED = 3  # done, but for some
Source = Callable[[], Iterator[Revocation]]  # the same revocations at every call


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """What the command line says: serials in hex, a file of them, or all; reason and date for those without their own."""

    serials: tuple[str, ...] = ()
    from_file: Path | None = None
    everything: bool = False
    expect: int | None = None
    reason: str = "unspecified"
    date: str | None = None

    @property
    def detail(self) -> dict[str, Any]:
        """What the journal keeps of it."""
        if self.from_file is not None:
            return {"file": printable(str(self.from_file.absolute()))}
        return {"all": True} if self.everything else {"serials": len(self.serials)}

    def command(self, file: Path, issuer: str, expect: int, *, dry_run: bool) -> str:
        """The command line that says the same and how many are expected."""
        words = ["ocsp-signer", "revoke", "--issuer", issuer]
        words += ["--config", str(file)] if file != DEFAULT_CONFIG else []
        words += ["--from-file", str(self.from_file)] if self.from_file is not None else []
        words += ["--all"] if self.everything else []
        words += ["--reason", self.reason] if self.reason != "unspecified" else []
        words += ["--date", self.date] if self.date is not None else []
        words += ["--dry-run"] if dry_run else []
        return shlex.join([*words, "--expect", str(expect), *self.serials])

    def check(self) -> None:
        ways = bool(self.serials) + (self.from_file is not None) + self.everything
        if ways != 1:
            raise UsageError(
                "name serials, --from-file FILE or --all, one of the three", remedy="see revoke --help"
            )


def revoke(
    file: Path,
    request: RevokeRequest,
    *,
    issuer: str,
    dry_run: bool,
    as_json: bool,
    quiet: bool = True,
    clock: Clock | None = None,
) -> int:
    """Revoke in the ledger; returns the exit code: 1 if every serial was unknown, 3 if some were."""
    settings = load_settings(file)
    table = settings.issuer(issuer)
    request.check()
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger.open(settings.ledger_url)))
        found = ledger.issuer(issuer).id
        clock = clock_to_record_by(ledger, settings.root.issuer, clock or SystemClock())
        now = _now(clock)
        number, time = _reason_and_time(request, now, clock.latest)
        typed = _typed(request.serials, time, number)
        staging = stack.enter_context(Staging(settings.document.directory))
        if request.from_file is not None:
            _stage(staging, request.from_file, number, time, now, clock.latest, quiet=quiet)

        def source() -> Iterator[Revocation]:
            if request.everything:
                return (Revocation(serial, time, number) for serial in ledger.living(found, now))
            return iter(typed) if typed else staging.revocations()

        with bar("look up", None, quiet=quiet) as advance:
            planned = ledger.plan_mass_revocation(found, source(), now, advance)
        results = ledger.plan_revocations(found, typed, now)
        if not dry_run or request.expect is not None:
            _check_expected(
                planned, request, lambda count: request.command(file, issuer, count, dry_run=dry_run), issuer
            )
        if not as_json:
            print_text(_summary(issuer, planned))
        batch = None if dry_run or not planned.changed else _batch(issuer, request, planned)
        done = (
            planned
            if batch is None
            else _carry_out(ledger, found, source, now, batch, planned, again=request.everything, quiet=quiet)
        )
    _report(table, done, results, batch, dry_run=dry_run, as_json=as_json)
    rejected = done.outcomes[Outcome.REJECTED]
    return (FAILED if rejected == done.named else REJECTED) if rejected else 0


def _now(clock: RecordingClock) -> int:
    """A revocation waits for no clock: while that is in doubt it gets a time that has come for certain."""
    now = clock.now()
    if clock.doubt is not None:
        remark(
            f"the wall clock is in doubt: {clock.doubt}: {rfc3339(now)} is taken for the time, for ever; "
            "if the clock is right, run `ocsp-signer resume --accept-clock` first"
        )
    return now


def _reason_and_time(request: RevokeRequest, now: int, latest: float) -> tuple[int, int]:
    try:
        reason = allowed_reason(request.reason)
        return reason, now if request.date is None else fit_date(request.date, now, latest)[0]
    except RowError as error:
        raise UsageError(str(error), remedy="nothing was revoked") from None


def _typed(serials: tuple[str, ...], time: int, number: int) -> list[Revocation]:
    try:
        distinct = dict.fromkeys(typed_serial(one) for one in serials)
    except RowError as error:
        raise UsageError(str(error), remedy="nothing was revoked") from None
    return [Revocation(serial, time, number) for serial in distinct]


def _stage(
    staging: Staging, path: Path, number: int, time: int, now: int, latest: float, *, quiet: bool
) -> None:
    """Read the file whole, sorted as the ledger is, before anything is looked up."""
    size = path.stat().st_size if os.path.isfile(path) else None
    with bar("read", size, quiet=quiet) as advance:
        staging.add_revocations(read_revocations(path, number, time, now, latest, advance))


def _batch(issuer: str, request: RevokeRequest, planned: MassOutcome) -> Batch:
    detail = {"issuer": issuer, **request.detail, "reasons": planned.named_reasons}
    return Batch(new_batch_id(), user(), detail)


def _check_expected(
    planned: MassOutcome, request: RevokeRequest, command: Callable[[int], str], issuer: str
) -> None:
    count, expect = planned.named, request.expect
    if planned.is_expected(expect):
        return
    if expect is None:
        raise UsageError(
            f"{_summary(issuer, planned)}\n{count} certificates would be revoked for ever",
            remedy=f"say --expect {count} if that is meant: {command(count)}",
        )
    raise UsageError(
        f"{_summary(issuer, planned)}\n{count} certificates are named, not {expect}",
        remedy=f"nothing was revoked; if that is meant: {command(count)}",
    )


def _carry_out(
    ledger: Ledger,
    issuer_id: int,
    source: Source,
    now: int,
    batch: Batch,
    planned: MassOutcome,
    *,
    again: bool,
    quiet: bool,
) -> MassOutcome:
    """`again`: then what has come meanwhile, where all that are left are asked for: none can be asked for twice."""
    with bar("revoke", planned.named, quiet=quiet) as advance:
        done = ledger.revoke_mass(issuer_id, source(), now, batch, advance)
        while again and any(True for _ in source()):
            done.extend(ledger.revoke_mass(issuer_id, source(), now, batch, advance))
    return done


def _summary(issuer: str, planned: MassOutcome) -> str:
    counts = planned.outcomes
    line = (
        f"{issuer}: {planned.named} certificates named: {counts[Outcome.REVOKED]} to be revoked, "
        f"{counts[Outcome.UPDATED]} revoked with an earlier date or graver reason, "
        f"{counts[Outcome.ALREADY]} as they are, {counts[Outcome.REJECTED]} unknown"
    )
    return "\n".join([line, *(f"  {name}: {count}" for name, count in planned.named_reasons.items())])


def _report(
    table: IssuerTable,
    done: MassOutcome,
    results: list[RevokeResult],
    batch: Batch | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """`results` are those of serials that were typed; of a file or of all only unknown ones are listed."""
    counts = {one.value: done.outcomes[one] for one in Outcome}
    if as_json:
        found: dict[str, Any] = {
            "issuer": table.name,
            **counts,
            "reasons": done.named_reasons,
            "dry_run": dry_run,
        }
        found |= {"batch": batch.id if batch else None}
        found |= {"rejected_serials": [serial.hex() for serial in done.rejected.first]}
        print_json(found | {"results": [_described(result) for result in results]})
        return
    for serial in done.rejected.first:
        remark(f"serial {serial.hex()}: unknown to the ledger: rejected")
    if done.rejected.count > len(done.rejected.first):
        remark(f"{done.rejected.count} serials are unknown in all")
    print_text(", ".join(f"{count} {name}" for name, count in counts.items()))
    if dry_run:
        print_text("nothing was changed: this was a dry run")
    elif batch is not None:
        print_text(f"batch {batch.id}")
        print_text(f"durable in the ledger; {_who_tells(table)}")


def _who_tells(table: IssuerTable) -> str:
    """How clients get to know."""
    if table.imports_responses:
        return "its responses are signed elsewhere: bring those that say revoked with `ocsp-signer import-signed`"
    if not table.ocsp.enabled:
        return "the next CRLs say so"
    return "`ocsp-signer run` signs it at once, else the next `ocsp-signer sign` does"


def _described(result: RevokeResult) -> dict[str, Any]:
    return {
        "serial": result.serial.hex(),
        "outcome": result.outcome,
        "revocation_time": rfc3339(result.revocation_time),
        "reason": result.reason,
    }
