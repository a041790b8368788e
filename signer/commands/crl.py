"""`crl build`: one pass over the shards, then exit. `crl show`: what is published, or what a CRL file says."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _fastpath.crl_reader import Crl
from _fastpath.errors import MalformedDer
from signer.commands.output import print_json, print_text
from signer.context import Context
from signer.crl.job import ShardOutcome, ShardStatus
from signer.progress import bar
from store.errors import UsageError
from store.objects import decode_manifest, manifest_path, open_object_store, read_object

__all__ = ["build", "show"]


def build(file: Path, *, issuer: str | None, dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Build every shard; returns the exit code: 1 if one was refused."""
    refused = 0
    with Context.open(file) as context:
        names = [issuer] if issuer else [table.name for table in context.settings.root.issuer]
        for name in names:
            context.ledger.issuer(name)  # a pass never adds an issuer: its certificates come first
            job = context.crl_job(name)
            shards = job.shards()
            with bar(f"crl {name}", len(shards), quiet=quiet) as advance:
                outcomes = job.build(shards, _one_step(advance), dry_run=dry_run)
            for outcome in outcomes:
                _report(name, outcome, as_json)
            refused += sum(outcome.status is ShardStatus.REFUSED for outcome in outcomes)
    return 1 if refused else 0


def _one_step(advance: Callable[[int], None]) -> Callable[[ShardOutcome], None]:
    return lambda outcome: advance(1)


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


def show(file: Path, crl: Path | None, *, issuer: str | None, entries: bool, as_json: bool) -> None:
    """The published set of each issuer, or one CRL from a file."""
    if crl is not None:
        _show_file(crl, entries, as_json)
        return
    with Context.open(file) as context:
        names = [issuer] if issuer else [table.name for table in context.settings.root.issuer]
        objects = open_object_store(context.settings.objects_target, create=True)
        for name in names:
            context.settings.issuer(name)
            found = read_object(objects, manifest_path(name))
            if found is None:
                raise UsageError(
                    f"issuer {name}: no complete CRL set is published", remedy="run `ocsp-signer crl build`"
                )
            for shard in decode_manifest(found.data).shards:
                described = {"issuer": name, "url": shard.url, "crl_number": shard.crl_number, "entries": shard.entries,
                             "this_update": _time(shard.this_update), "next_update": _time(shard.next_update),
                             "size": shard.size, "sha256": shard.sha256}  # fmt: skip
                _print(described, as_json)


def _show_file(path: Path, entries: bool, as_json: bool) -> None:
    try:
        crl = Crl(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", remedy="check the path") from None
    except MalformedDer as error:
        raise UsageError(
            f"{path}: not a CRL of the profile that is written here: {error}",
            remedy="`openssl crl -inform DER -in FILE -noout -text` reads others",
        ) from None
    described: dict[str, Any] = {
        "url": crl.distribution_point_url,
        "crl_number": crl.crl_number,
        "entries": len(crl),
        "this_update": _time(crl.this_update),
        "next_update": _time(crl.next_update),
    }
    _print(described, as_json)
    for entry in _entries(crl) if entries else ():
        _print(entry, as_json)


def _entries(crl: Crl) -> Iterator[dict[str, Any]]:
    for serial, revocation_time, reason in crl:
        yield {"serial": serial.hex(), "revocation_time": _time(revocation_time), "reason": reason}


def _print(described: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(described)
    else:
        print_text("  ".join(f"{name}={value}" for name, value in described.items()))


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
