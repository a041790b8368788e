"""One CRL from a file or a URL, whoever made it, as `crl show` and `crl diff` tell of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _fastpath.errors import MalformedDer
from signer.crl.fetch import Fetcher, FetchFault
from signer.crl.read import ReadCrl, read_crl, read_file
from signer.ledger.values import REASON_NAMES
from store.errors import UsageError
from store.text import rfc3339

__all__ = ["described", "entries_of", "number_of", "open_crl"]


def open_crl(source: str, fetcher: Fetcher) -> ReadCrl:
    """The CRL in DER at a path or a URL. Raises UsageError naming it."""
    try:
        return read_crl(_octets(source, fetcher))
    except MalformedDer as error:
        raise UsageError(
            f"{source}: not a CRL in DER: {error}",
            remedy="`openssl crl -in FILE -outform DER` makes one of a PEM file",
        ) from None


def _octets(source: str, fetcher: Fetcher) -> bytes:
    try:
        if source.startswith(("http://", "https://")):
            return fetcher.get(source).body
        return read_file(Path(source))
    except FetchFault as fault:
        raise UsageError(
            f"{source}: {fault.check}: {fault}", remedy="check the URL and who serves it"
        ) from None


def described(crl: ReadCrl) -> dict[str, Any]:
    """The fields of its header; what is absent or cannot be read is None."""
    parsed = crl.parsed
    return {
        "url": " ".join(crl.urls) or None,
        "crl_number": number_of(crl.crl_number),
        "this_update": rfc3339(crl.this_update_seconds),
        "next_update": rfc3339(crl.next_update_seconds),
        "entries": sum(1 for _ in crl.entries()),
        "size": len(crl.data),
        "issuer": crl.issuer.hex() if isinstance(parsed, ValueError) else parsed.issuer.rfc4514_string(),
        "authority_key_identifier": crl.key_identifier.hex() if crl.key_identifier else None,
        "only_contains": _scope(crl),
        "signature_algorithm": _algorithm(crl),
    }


def _scope(crl: ReadCrl) -> str | None:
    """What the distribution point says that the CRL is about."""
    scopes = {0x81: "user certificates", 0x82: "CA certificates"}
    return " ".join(scopes[field.tag] for field in crl.point or () if field.tag in scopes) or None


def _algorithm(crl: ReadCrl) -> str:
    """The OID; hexadecimal octets of the whole where it cannot be read."""
    if isinstance(crl.parsed, ValueError):
        return crl.signature_algorithm.hex()
    return crl.parsed.signature_algorithm_oid.dotted_string


def number_of(value: int | None) -> int | str | None:
    """Beyond 2^53 JSON readers round: in hexadecimal then, as serials are."""
    return value if value is None or abs(value) < 1 << 53 else f"{value:x}"


def entries_of(crl: ReadCrl) -> Iterator[dict[str, Any]]:
    """Each entry; `reason` is its number, 0 where none is given."""
    for serial, revocation_time, reason in crl.entries():
        yield {
            "serial": serial.hex(),
            "revocation_time": rfc3339(revocation_time),
            "reason": reason,
            "reason_name": REASON_NAMES.get(reason),
        }
