"""`crl diff`: what one CRL says that another does not."""

from typing import Any

from signer.commands.crl_files import described, entries_of, open_crl
from signer.commands.output import print_json, print_line
from signer.crl.fetch import Fetcher, Limits
from signer.crl.read import ReadCrl
from store.clock import SystemClock

__all__ = ["Difference", "diff"]

Fields = dict[str, Any]
Difference = dict[str, Any]
MARKS = {"removed": "-", "added": "+"}


def diff(first: str, second: str, *, as_json: bool, limits: Limits) -> int:
    """Print how the second CRL differs from the first; returns the exit code, as diff(1): 0 not at all, 1."""
    fetcher = Fetcher(limits, SystemClock())
    a, b = open_crl(first, fetcher), open_crl(second, fetcher)
    difference = _difference(a, b)
    if as_json:
        print_json(difference)
    elif not difference["equal"]:
        _print(difference)
    return 0 if difference["equal"] else 1


def _difference(a: ReadCrl, b: ReadCrl) -> Difference:
    before, after = _by_serial(a), _by_serial(b)
    kept = sorted(before.keys() & after.keys())
    return {
        "equal": a.data == b.data,
        "order": _order(a, b),
        "fields": _changed(described(a), described(b)),
        "added": [after[serial] for serial in sorted(after.keys() - before.keys())],
        "removed": [before[serial] for serial in sorted(before.keys() - after.keys())],
        "changed": [
            {"serial": serial, **_changed(before[serial], after[serial])}
            for serial in kept
            if before[serial] != after[serial]
        ],
    }


def _by_serial(crl: ReadCrl) -> dict[str, Fields]:
    return {entry["serial"]: entry for entry in entries_of(crl)}


def _changed(before: Fields, after: Fields) -> Fields:
    """Name -> [before, after] of what is not the same."""
    return {name: [before[name], after[name]] for name in before if before[name] != after[name]}


def _order(a: ReadCrl, b: ReadCrl) -> str:
    """Whether b follows a, by number and by date, which have to agree (U-06)."""
    number = _word(a.crl_number, b.crl_number)
    date = _word(a.this_update_seconds, b.this_update_seconds)
    return number if number == date else f"number {number}, date {date}"


def _word(before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return "unknown"
    return ("same", "later", "earlier")[(after > before) - (after < before)]


def _print(difference: Difference) -> None:
    print_line(f"order: {difference['order']}")
    for name, (before, after) in difference["fields"].items():
        print_line(f"{name}: {before} -> {after}")
    for kind, mark in MARKS.items():
        for entry in difference[kind]:
            print_line(f"{mark} {entry['serial']}  {entry['revocation_time']}  {entry['reason_name']}")
    for entry in difference["changed"]:
        told = "  ".join(
            f"{name}: {pair[0]} -> {pair[1]}" for name, pair in entry.items() if name != "serial"
        )
        print_line(f"! {entry['serial']}  {told}")
    if not any(difference[kind] for kind in ("fields", "added", "removed", "changed")):
        print_line("the octets differ, and nothing that they say but the signature")
