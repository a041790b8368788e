"""What must hold before anyone can fetch a CRL: each check on its own, and all of them in a row.

The live CRL is the one now at the same path of the object store; None before the first.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from operator import itemgetter

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from _fastpath.crl_entries import (
    first_difference,
    first_out_of_order,
    first_reason_outside,
    first_revoked_after,
    sample,
    serials_absent,
)
from _fastpath.crl_reader import Crl
from _fastpath.errors import MalformedDer
from signer.crl.algorithms import allowed_algorithms, verify
from signer.crl.build import CrlEntry, CrlFields, CrlScope, CrlSigner, build_shard, subject_key_identifier
from signer.crl.lint import lint_crl
from store.errors import OcspeedError
from store.model import subject_name

__all__ = [
    "MAX_SIZE",
    "MAX_VALIDITY",
    "PreflightError",
    "check_algorithm",
    "check_dates",
    "check_entries",
    "check_extensions",
    "check_issuer",
    "check_lint",
    "check_number",
    "check_order",
    "check_parse",
    "check_reasons",
    "check_revocation_times",
    "check_second_reader",
    "check_signature",
    "check_size",
    "check_vanished",
    "preflight",
]

MAX_SIZE = 9_999_999  # octets (P-03)
# nextUpdate - thisUpdate in seconds, both ends counted (C-06, B2): 10 days, and 12 months for CRLs over CAs.
MAX_VALIDITY = {CrlScope.USER_CERTIFICATES: 863_999, CrlScope.CA_CERTIFICATES: 31_535_999}
# C-15; 0 is "not given", which entries of CA certificates never have (C-16). Not the ledger's: it is what is checked.
REASONS = {
    CrlScope.USER_CERTIFICATES: frozenset({0, 1, 3, 4, 5, 9}),
    CrlScope.CA_CERTIFICATES: frozenset({1, 3, 4, 5, 9}),
}


class PreflightError(OcspeedError):
    """A CRL that is not to be published. `check` names what it failed."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(
            f"CRL preflight, {check}: {message}",
            remedy="nothing was published and the live CRL stays; correct the cause and build again",
        )
        self.check = check


def preflight(
    data: bytes,
    signer: CrlSigner,
    fields: CrlFields,
    entries: Iterable[CrlEntry],
    *,
    live: Crl | None,
    now: int,
    may_vanish: Callable[[bytes, int], bool],
) -> Crl:
    """Every check on the CRL `data`, which was built with `signer` and `fields`. Raises PreflightError.

    `entries` is a second reading of the ledger at the generation the CRL was built from; `may_vanish` says of a
    serial and the live thisUpdate whether the entry may be left out from now on (C-18).
    """
    certificate = signer.certificate
    check_size(data)
    parsed = check_parse(data)
    crl = check_second_reader(data)
    check_algorithm(crl, certificate)
    check_signature(parsed, crl, certificate)
    check_issuer(crl, certificate)
    check_extensions(parsed, crl, fields)
    check_dates(crl, fields, now)
    check_entries(crl, entries)
    check_order(crl)
    check_reasons(crl, fields.scope)
    check_revocation_times(crl)
    check_number(crl, fields, live)
    check_vanished(crl, live, may_vanish)
    check_lint(crl, signer, fields)
    return crl


def check_size(data: bytes) -> None:
    """P-03: below 10 MB."""
    if len(data) > MAX_SIZE:
        raise PreflightError("size", f"{len(data)} octets, at most {MAX_SIZE} may be published")


def check_parse(data: bytes) -> x509.CertificateRevocationList:
    """C-01: one CRL in DER, as cryptography reads it."""
    try:
        parsed = x509.load_der_x509_crl(data)
        len(parsed)
    except ValueError as error:
        raise PreflightError("parse", f"CertificateList: {error}") from error
    return parsed


def check_second_reader(data: bytes) -> Crl:
    """The whole profile, octet by octet: version, dates (C-05), entry and CRL extensions (C-07, C-13, C-15)."""
    try:
        return Crl(data)
    except MalformedDer as error:
        raise PreflightError("second reader", str(error)) from error


def check_algorithm(crl: Crl, certificate: x509.Certificate) -> None:
    """A-01, A-02: the AlgorithmIdentifier that the CA's key must have, octet for octet."""
    if crl.signature_algorithm not in allowed_algorithms(certificate.public_key()):
        raise PreflightError(
            "algorithm",
            f"signatureAlgorithm {crl.signature_algorithm.hex()} is not one for the key of the CA",
        )


def check_signature(parsed: x509.CertificateRevocationList, crl: Crl, certificate: x509.Certificate) -> None:
    """A-05: over the TBSCertList as it stands in the file, by the CA's public key."""
    try:
        verify(parsed, certificate.public_key(), crl.signature, crl.tbs_cert_list)
    except InvalidSignature as error:
        raise PreflightError("signature", "signatureValue does not verify with the key of the CA") from error


def check_issuer(crl: Crl, certificate: x509.Certificate) -> None:
    """C-02, C-07, D6: the CA's Name octet for octet, and its key identifier."""
    if crl.issuer_name != subject_name(certificate):
        raise PreflightError(
            "issuer", f"issuer {crl.issuer_name.hex()} is not the subject of the CA certificate"
        )
    expected = subject_key_identifier(certificate)
    if crl.authority_key_identifier != expected:
        raise PreflightError(
            "issuer",
            f"authorityKeyIdentifier {crl.authority_key_identifier.hex()}, the CA's key is {expected.hex()}",
        )


def check_extensions(parsed: x509.CertificateRevocationList, crl: Crl, fields: CrlFields) -> None:
    """C-07, C-09 to C-12: which extensions, how critical, and the URL and scope that were meant."""
    expected = {"AuthorityKeyIdentifier": False, "CRLNumber": False}
    if fields.distribution_point_url is not None:
        expected["IssuingDistributionPoint"] = True
    found = {type(extension.value).__name__: extension.critical for extension in parsed.extensions}
    if found != expected:
        raise PreflightError("extensions", f"crlExtensions (name: critical) {found}, not {expected}")
    if crl.distribution_point_url != fields.distribution_point_url:
        raise PreflightError(
            "extensions",
            f"IssuingDistributionPoint names {crl.distribution_point_url}, not {fields.distribution_point_url}",
        )
    if crl.issuing_distribution_point != fields.issuing_distribution_point():
        raise PreflightError("extensions", f"IssuingDistributionPoint has not the scope {fields.scope.value}")


def check_dates(crl: Crl, fields: CrlFields, now: int) -> None:
    """C-06, B2: the dates that were meant, in force at `now`, no further apart than allowed."""
    for name in ("this_update", "next_update"):
        found, meant = getattr(crl, name), getattr(fields, name)
        if found != meant:
            raise PreflightError("dates", f"{name} is {found}, not {meant}")
    if crl.this_update > now:
        raise PreflightError(
            "dates", f"this_update {crl.this_update} is {crl.this_update - now} s ahead of the clock"
        )
    if crl.next_update <= now:
        raise PreflightError("dates", f"next_update {crl.next_update} has passed")
    validity, limit = crl.next_update - crl.this_update, MAX_VALIDITY[fields.scope]
    if validity > limit:
        raise PreflightError(
            "dates", f"next_update is {validity} s after this_update, at most {limit} s are allowed"
        )


def check_entries(crl: Crl, entries: Iterable[CrlEntry]) -> None:
    """D4, D7: exactly the entries of the ledger, in its order, each with its time and reason."""
    difference = first_difference(crl, entries)
    if difference is not None:
        index, found, expected = difference
        raise PreflightError(
            "entries", f"entry {index}: the CRL has {_show(found)}, the ledger {_show(expected)}"
        )


def check_order(crl: Crl) -> None:
    """C-14: each serial once. The ledger sorts serials as octets, so that a second one would stand next to the first."""
    index = first_out_of_order(crl)
    if index is not None:
        before, (serial, _, _) = islice(crl, index - 1, index + 1)
        raise PreflightError(
            "order", f"entry {index}: serial {serial.hex()} does not come after {before[0].hex()}"
        )


def check_reasons(crl: Crl, scope: CrlScope) -> None:
    """C-15, C-16, C-21."""
    index = first_reason_outside(crl, REASONS[scope])
    if index is not None:
        serial, _, reason = _entry(crl, index)
        raise PreflightError(
            "reasons", f"entry {index}, serial {serial.hex()}: reasonCode {reason or 'absent'} is not allowed"
        )


def check_revocation_times(crl: Crl) -> None:
    """C-17: no entry is later than the CRL."""
    index = first_revoked_after(crl, crl.this_update)
    if index is not None:
        serial, revocation_time, _ = _entry(crl, index)
        raise PreflightError(
            "revocation times",
            f"entry {index}, serial {serial.hex()}: revocationDate {revocation_time} is after "
            f"this_update {crl.this_update}",
        )


def check_number(crl: Crl, fields: CrlFields, live: Crl | None) -> None:
    """C-08, U-06, U-09, D1: number and thisUpdate go up. Last-Modified is thisUpdate, so that a second must pass."""
    if crl.crl_number != fields.crl_number:
        raise PreflightError("number", f"crl_number is {crl.crl_number}, not {fields.crl_number}")
    if live is None:
        return
    if crl.issuer_name != live.issuer_name:
        raise PreflightError("number", f"the live CRL is one of another issuer: {live.issuer_name.hex()}")
    for name in ("crl_number", "this_update"):
        found, before = getattr(crl, name), getattr(live, name)
        if found <= before:
            raise PreflightError("number", f"{name} {found} is not above that of the live CRL, {before}")


def check_vanished(crl: Crl, live: Crl | None, may_vanish: Callable[[bytes, int], bool]) -> None:
    """C-18, D3, D4: what the live CRL has and this one has not must be proven to be over."""
    if live is None:
        return
    serials = map(itemgetter(0), live)
    in_order = first_out_of_order(live) is None  # unless somebody else made it
    vanished = serials_absent(crl, serials if in_order else sorted(serials))
    unproven = [serial for serial in vanished if not may_vanish(serial, live.this_update)]
    if unproven:
        what = "no entry is left" if len(crl) == 0 else f"{len(crl)} entries"
        raise PreflightError(
            "vanished entries",
            f"{what} of {len(live)}, and {len(unproven)} vanished before their time, first serial {unproven[0].hex()}",
        )


def check_lint(crl: Crl, signer: CrlSigner, fields: CrlFields) -> None:
    """D10: pkilint over a twin, the same but for its entries: those that have what occurs in the list among them."""
    findings = lint_crl(build_shard(signer, fields, sample(crl)), fields.scope)
    if findings:
        raise PreflightError("lint", "; ".join(findings))


def _entry(crl: Crl, index: int) -> CrlEntry:
    return next(islice(crl, index, None))


def _show(entry: CrlEntry | None) -> str:
    if entry is None:
        return "nothing"
    serial, revocation_time, reason = entry
    return f"serial {serial.hex()} revoked at {revocation_time} for reason {reason}"
