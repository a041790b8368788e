"""The last response of a certificate: one that ends with it is kept to the end and not signed again (R-18)."""

from collections.abc import Callable, Iterable

from _fastpath.errors import FastpathError
from _fastpath.page import Record, decode_record
from signer.ledger.values import CertificateRow, CertificateValues
from signer.ocsp.responses import ResponseSigner
from store.reader import StoreReader

__all__ = ["LAST_SIGNED", "last_responses"]

# Seconds before notAfter. One signed later would be valid for less than 16 h, which makes other deadlines hold,
# and below 8 h it would outlive its certificate, which Caddy refuses to staple.
LAST_SIGNED = 57_600


def last_responses(
    reader: StoreReader,
    signer: ResponseSigner,
    certificates: Iterable[CertificateValues],
    this_update: int,
    key_of: Callable[[CertificateRow], bytes],
) -> dict[bytes, bytes]:
    """Records, by serial, that stay as they are stored. `key_of` gives the key of a row's page.

    Kept is what says the same of a certificate that is about to end, under the same template, until it ends. All
    else is to be signed.
    """
    end = this_update + LAST_SIGNED
    ending = [CertificateRow(*values) for values in certificates if this_update <= values[2] < end]
    if not ending:
        return {}
    stored = reader.records((key_of(row), row.serial) for row in ending)
    return {
        row.serial: record
        for row, record in zip(ending, stored, strict=True)
        if record is not None and _is_last(signer, row, record)
    }


def _is_last(signer: ResponseSigner, row: CertificateRow, stored: bytes) -> bool:
    try:
        record = decode_record(signer.issuer.id, signer.template, row.serial, stored)
    except FastpathError:
        return False  # damaged, or of another template: signed anew
    said = record.response
    return (
        record.template_slot == signer.slot
        and (said.revocation_time, said.reason) == (row.revocation_time, row.reason)
        and said.next_update >= row.not_after
        # What was signed earlier had been renewed since, unless signing was away: it is of a store that was put back.
        and said.this_update >= row.not_after - LAST_SIGNED - signer.cycle
        and _has_all(record, signer.certid_algorithms)
    )


def _has_all(record: Record, algorithms: tuple[int, ...]) -> bool:
    signatures = {1: record.sha1_signature, 2: record.sha256_signature}
    return all(signatures[algorithm] is not None for algorithm in algorithms)
