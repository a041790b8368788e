"""`crl show`: what is published, or what one CRL says."""

from pathlib import Path
from typing import Any

from signer.commands.crl_files import described, entries_of, number_of, open_crl
from signer.commands.output import print_json, print_line, print_table
from signer.config import load_settings
from signer.crl.fetch import Fetcher, Limits
from signer.crl.read import ReadCrl
from store.clock import SystemClock
from store.errors import UsageError
from store.objects import decode_manifest, manifest_path, open_object_store, read_object
from store.text import rfc3339

__all__ = ["show"]


def show(
    file: Path, source: str | None, *, issuer: str | None, entries: bool, as_json: bool, limits: Limits
) -> None:
    """The published set of each issuer; or one CRL from a file or URL, and its entries if asked for."""
    if source is None:
        _show_published(file, issuer, as_json)
    else:
        _show_crl(open_crl(source, Fetcher(limits, SystemClock())), source, entries, as_json)


def _show_published(file: Path, issuer: str | None, as_json: bool) -> None:
    settings = load_settings(file)
    objects = open_object_store(settings.root.objects.place(settings.document), create=True)
    for table in [settings.issuer(issuer)] if issuer else settings.root.issuer:
        found = read_object(objects, manifest_path(table.name))
        if found is None:
            raise UsageError(
                f"issuer {table.name}: no complete CRL set is published", remedy="run `ocsp-signer crl build`"
            )
        for shard in decode_manifest(found.data).shards:
            line = {"issuer": table.name, "url": shard.url, "crl_number": number_of(shard.crl_number),
                    "entries": shard.entries, "this_update": rfc3339(shard.this_update),
                    "next_update": rfc3339(shard.next_update), "size": shard.size, "sha256": shard.sha256}  # fmt: skip
            _print(line, as_json)


def _show_crl(crl: ReadCrl, source: str, entries: bool, as_json: bool) -> None:
    if as_json:
        print_json(described(crl))
    else:
        print_table(source, described(crl))
    for entry in entries_of(crl) if entries else ():
        _print(entry, as_json)


def _print(line: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(line)
    else:
        print_line("  ".join(f"{name}={value}" for name, value in line.items()))
