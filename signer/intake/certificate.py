"""An issued certificate as a row: whether this issuer signed it, its serial, its end and the CRL it names.

A precertificate (RFC 6962 section 3.1) counts as issued like any other (R-09): it has the serial of the final
certificate, and nothing here looks at its poison.
"""

import warnings
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from _fastpath import der
from _fastpath.certid import minimal_serial
from _fastpath.errors import MalformedDer
from signer.intake.rows import ImportRow, RowError, printable
from signer.intake.scope import Scope
from signer.ledger.values import CA_SERIES, UNSPECIFIED, PlacedBy, Placement
from store.model import UNREADABLE, subject_name

__all__ = ["CertificateRows"]

MAX_SERIAL = 20  # octets (RFC 5280 section 4.1.2.2)
SHORT_LIVED = timedelta(days=7)  # since 15 March 2026 (BR 1.6.1)
VERSION_TAG = 0xA0
INTEGER_TAG = 0x02


class CertificateRows:
    """Reads DER into rows."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._ca = scope.issuer.certificate
        self._name = subject_name(self._ca)

    def parse(self, data: bytes) -> ImportRow:
        """Raises RowError."""
        serial, issuer = _serial_and_issuer(data)
        certificate = _load(data)
        self._check_issuer(certificate, issuer)
        not_after = int(certificate.not_valid_after_utc.timestamp())
        points = _distribution_points(certificate)
        placement = self._place_authority(points) if _is_authority(certificate) else self._place(points)
        warning = "" if points else _unanswered(certificate)
        expired = not_after < self._scope.now
        return ImportRow(serial, not_after, None, UNSPECIFIED, expired, "", placement, warning)

    def _check_issuer(self, certificate: x509.Certificate, issuer: bytes) -> None:
        name = self._scope.issuer.name
        if issuer != self._name:
            raise RowError("issuer", f"another name than that of issuer {name}")
        try:
            certificate.verify_directly_issued_by(self._ca)
        except (InvalidSignature, *UNREADABLE):
            raise RowError("signature", f"not made with the key of issuer {name}") from None

    def _place(self, points: list[str]) -> Placement | None:
        if not points:
            return None
        place = self._scope.shards.place("cRLDistributionPoints", points, PlacedBy.CERTIFICATE)
        if place is not None and place.series == CA_SERIES:
            raise RowError("cRLDistributionPoints", "names the CRL of CA certificates, and it is not a CA's")
        return place

    def _place_authority(self, points: list[str]) -> Placement:
        """C-11: in the CRL of CA certificates, whether it names that one or none."""
        if not self._scope.shards.for_authorities:
            raise RowError(
                "basicConstraints",
                f"a CA's certificate: issuer {self._scope.issuer.name} has no `crl.ca_url`",
            )
        named = (
            self._scope.shards.place("cRLDistributionPoints", points, PlacedBy.CERTIFICATE)
            if points
            else None
        )
        if named is not None and named.series != CA_SERIES:
            raise RowError(
                "cRLDistributionPoints",
                f"{self._scope.shards.url(named)} is not about CA certificates, and this is one",
            )
        return Placement(CA_SERIES, 0, PlacedBy.CERTIFICATE)


def _is_authority(certificate: x509.Certificate) -> bool:
    """RFC 5280 section 4.2.1.9."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
    except UNREADABLE as error:
        raise RowError("extensions", f"cannot be read: {printable(str(error))}") from None


def _serial_and_issuer(data: bytes) -> tuple[bytes, bytes]:
    """Minimal serial number, and the DER of the issuer Name as it stands there."""
    try:
        tbs = der.read(der.read(data)[1])[1]
        rest = der.read(tbs)[2] if tbs[:1] == bytes([VERSION_TAG]) else tbs
        tag, content, rest = der.read(rest)
        names = der.read(rest)[2]  # after the signature algorithm
        issuer = names[: len(names) - len(der.read(names)[2])]
    except MalformedDer as error:
        raise RowError("certificate", f"not DER: {error}") from None
    if tag != INTEGER_TAG or not content:
        raise RowError("serial", "not an INTEGER")
    if content[0] & 0x80:
        raise RowError("serial", "is negative")
    serial = minimal_serial(content)
    if len(serial) > MAX_SERIAL:
        raise RowError("serial", f"{serial[:24].hex()} has {len(serial)} octets, more than {MAX_SERIAL}")
    return serial, issuer


def _load(data: bytes) -> x509.Certificate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd certificates: they were issued all the same
            return x509.load_der_x509_certificate(data)
    except UNREADABLE as error:
        raise RowError("certificate", f"cannot be read: {printable(str(error))}") from None


def _distribution_points(certificate: x509.Certificate) -> list[str]:
    """Every URI of the CRL distribution points that are not another CRL issuer's."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return []
    except UNREADABLE as error:
        raise RowError("extensions", f"cannot be read: {printable(str(error))}") from None
    return [
        name.value
        for point in points
        if not point.crl_issuer
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    ]


def _unanswered(certificate: x509.Certificate) -> str:
    """U-12: without a distribution point it has to have an OCSP URL or live short; a responder's own is neither."""
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc <= SHORT_LIVED:
        return ""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        access = None
    if access and any(one.access_method == AuthorityInformationAccessOID.OCSP for one in access):
        return ""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage and ExtendedKeyUsageOID.OCSP_SIGNING in usage:
        return ""
    return (
        "lives long, but names neither an OCSP URL nor a CRL (BR 7.1.2.11.2): clients cannot learn its status"
    )
