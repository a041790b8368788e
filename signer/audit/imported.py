"""An issuer whose responses are signed elsewhere: store and answers have what the ledger has, octet for octet."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from _fastpath.errors import FastpathError
from _fastpath.http import MARGIN
from _fastpath.imported import decode_imported_record
from _fastpath.page import page_number
from signer.audit.answers import AnswerAudit
from signer.audit.client import Client
from signer.audit.pages import PageAudit, Read
from signer.audit.report import Finding, Kind
from signer.ledger.values import AnsweredCertificate, CertificateRow
from signer.ocsp.imported import imported_record
from store.imported import ImportedResponse, Unfit, read_response
from store.text import rfc3339

__all__ = ["ImportedAnswerAudit", "ImportedPageAudit"]


class ImportedPageAudit(PageAudit):
    """Every certificate that has a response to be served is expected, and no other."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._answered: dict[bytes, AnsweredCertificate] = {}

    def _read(self, first: int, last: int) -> list[Read]:
        found = super()._read(first, last)
        bounds = first << self._shift, ((last + 1) << self._shift) - 1
        answered = self._ledger.answered(self._issuer.id, *bounds)[1]
        self._answered.update((one.row.serial, one) for one in answered)
        served = {one.row.serial for one in answered if one.served}
        return [replace(read, rows=[row for row in read.rows if row.serial in served]) for read in found]

    def _of_record(self, read: Read, row: CertificateRow, octets: bytes, verify: bool) -> Iterator[Finding]:
        known = self._answered[row.serial]
        if octets != imported_record(self._subject.issuer, known):
            yield self._of_another(read.page, row.serial, octets)
            return
        for one in known.served:
            if one.next_update - MARGIN <= read.now < row.not_after:
                message = f"ended at {rfc3339(one.next_update)}: the CA has to sign another"
                yield self._finding(Kind.OVERDUE, message, read.page, row.serial)
            if verify and (fault := self._fault(one.body)):
                yield self._finding(Kind.SIGNATURE, fault, read.page, row.serial)

    def _fault(self, body: bytes) -> str | None:
        try:
            read_response(self._subject.issuer, body)
        except Unfit as error:
            return str(error)
        return None

    def _of_stranger(self, page: int, serial: bytes, octets: bytes) -> Finding:
        if len(serial) > 20 or page_number(serial, self._issuer.page_bits) != page:
            return self._finding(Kind.RECORD_DAMAGED, "it does not belong into this page", page, serial)
        return self._of_another(page, serial, octets)

    def _of_another(self, page: int, serial: bytes, octets: bytes) -> Finding:
        """A record that the ledger would not have made."""
        try:
            responses = decode_imported_record(self._subject.issuer.id, serial, octets)
        except FastpathError as error:
            return self._finding(Kind.RECORD_DAMAGED, str(error), page, serial)
        try:
            said = [read_response(self._subject.issuer, body) for body in responses.values()]
        except Unfit as error:
            return self._finding(Kind.SIGNATURE, str(error), page, serial)
        return self._finding(*self._news(serial, said), page, serial)

    def _news(self, serial: bytes, said: list[ImportedResponse]) -> tuple[Kind, str]:
        """What the CA said that the ledger does not know: then it is an older one (A2)."""
        known = self._answered.get(serial)
        if known is None:
            return Kind.RECORD_UNKNOWN, "the ledger has no such certificate"
        if not known.row.revoked and any(one.revoked for one in said):
            return Kind.REVOCATION_UNKNOWN, "the record says revoked, the ledger good"
        return Kind.STATUS, "its responses are not those that the ledger has"


class ImportedAnswerAudit(AnswerAudit):
    """Asks only for CertIDs of which a response was imported."""

    def _asked(self, client: Client, serial: bytes, algorithm: int) -> Iterator[Finding]:
        if self._stored(serial, algorithm) is not None:
            yield from super()._asked(client, serial, algorithm)

    def _stored(self, serial: bytes, algorithm: int) -> bytes | None:
        kept = self._ledger.signed_response(self._subject.recorded.id, serial, algorithm)
        return None if kept is None else kept.body

    def _is_proven(self, body: bytes) -> bool:
        try:
            read_response(self._subject.issuer, body)
        except Unfit:
            return False
        return True
