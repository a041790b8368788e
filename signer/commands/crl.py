"""`crl build`: one pass over the shards, then exit."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

from signer.commands.output import print_json, print_text, remark
from signer.context import Context
from signer.crl.job import ShardOutcome, ShardStatus
from signer.crl.targets import Target
from signer.files import held
from signer.restored import check_audited
from signer.witness import clock_to_sign_by
from store.clock import Clock
from store.progress import bar

__all__ = ["build"]


def build(
    file: Path,
    *,
    issuer: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    clock: Clock | None = None,
) -> int:
    """Build every shard; returns the exit code: 1 if one was refused or a target lacks CRLs. Raises ClockStopped (B6)."""
    failed = 0
    with Context.open(file, clock) as context, nullcontext() if dry_run else _turn(context):
        check_audited(context.ledger)
        tables = context.settings.root.issuer
        context.clock = clock_to_sign_by(context.ledger, tables, context.clock)
        names = [issuer] if issuer else [table.name for table in tables if not table.crl.offline]
        for name in names:
            context.ledger.issuer(name)  # a pass never adds an issuer: its certificates come first
            job = context.crl_job(name)
            shards = job.shards()
            with bar(f"crl {name}", len(shards), quiet=quiet) as advance:
                outcomes = job.build(shards, _one_step(advance), dry_run=dry_run)
            for outcome in outcomes:
                _report(name, outcome, as_json)
            failed += sum(outcome.status is ShardStatus.REFUSED for outcome in outcomes)
            for target in job.catalogue.targets.failing:
                _report_target(name, target, as_json)
                failed += 1
    return 1 if failed else 0


def _turn(context: Context) -> AbstractContextManager[None]:
    """One build after the other: of two at once each would be overtaken somewhere."""

    def taken(process: str) -> None:
        remark(f"another `ocsp-signer crl build` is at work (process {process}): waiting for its end")

    return held(context.settings.state_directory / "crl-build.lock", taken)


def _one_step(advance: Callable[[int], None]) -> Callable[[ShardOutcome], None]:
    return lambda outcome: advance(1)


def _report_target(issuer: str, target: Target, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "issuer": issuer,
                "target": target.location,
                "faults": target.faults,
                "message": str(target.fault),
            }
        )
    else:
        print_text(f"{target.location}: lacks CRLs of {issuer}: {target.fault}")


def _report(issuer: str, outcome: ShardOutcome, as_json: bool) -> None:
    if as_json:
        print_json({"issuer": issuer, **asdict(outcome)})
    elif outcome.status is ShardStatus.REFUSED:
        print_text(f"{outcome.url}: refused: {outcome.message}")
    else:
        print_text(
            f"{outcome.url}: {outcome.status}, number {outcome.crl_number}, "
            f"{outcome.entries:,} entries, {outcome.size:,} octets"
        )
