"""What an outsider can tell of one CRL: conformance groups C and P, each rule a check of its own that yields what is wrong.

None needs the ledger. `CRL_CHECKS` is their order; the names there are the ones users read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import CRLEntryExtensionOID

from _fastpath.errors import MalformedDer
from signer.crl.algorithms import allowed_algorithms, verify
from signer.crl.build import CrlScope, subject_key_identifier
from signer.crl.preflight import MAX_SIZE, MAX_VALIDITY, REASONS
from signer.crl.read import CRL_NUMBER, IDP, KEY_IDENTIFIER, NUMBER_SIZE, ReadCrl, Value
from store.model import UNREADABLE, subject_name, validity_fault

__all__ = ["CRL_CHECKS", "CrlCheck", "Sight", "crl_faults"]

UTC_TIME = 0x17
YEAR_2050 = 2_524_608_000
V2 = b"\x01"
# The extensions of C-07 and how critical each is.
CRITICAL = {KEY_IDENTIFIER: False, CRL_NUMBER: False, IDP: True}
NAMES = {KEY_IDENTIFIER: "authorityKeyIdentifier", CRL_NUMBER: "cRLNumber", IDP: "issuingDistributionPoint"}
FULL_NAME, ONLY_USER, ONLY_CA = 0xA0, 0x81, 0x82


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A CRL, where and when it was seen, and the CA that is to have signed it."""

    crl: ReadCrl
    url: str | None  # None: a file of which nobody knows the URL
    certificate: x509.Certificate
    now: int  # seconds since 1970
    scope: CrlScope | None = None  # None: as its distribution point says, else of subscriber certificates

    @property
    def held_to(self) -> CrlScope:
        """Which certificates' rules hold."""
        if self.scope is not None:
            return self.scope
        return CrlScope.CA_CERTIFICATES if self.crl.only_ca_certificates else CrlScope.USER_CERTIFICATES


CrlCheck = Callable[[Sight], Iterator[str]]


def check_size(sight: Sight) -> Iterator[str]:
    """P-03: below 10 MB."""
    if len(sight.crl.data) > MAX_SIZE:
        yield f"{len(sight.crl.data)} octets, at most {MAX_SIZE} are allowed"


def check_parse(sight: Sight) -> Iterator[str]:
    """C-01: cryptography reads it."""
    if isinstance(sight.crl.parsed, ValueError):
        yield f"cryptography cannot read it: {sight.crl.parsed}"


def check_profile(sight: Sight) -> Iterator[str]:
    """C-01 to C-15: the strict second reader takes every octet of it."""
    if isinstance(sight.crl.strict, MalformedDer):
        yield f"{sight.crl.strict}"


def check_version(sight: Sight) -> Iterator[str]:
    """C-01."""
    if sight.crl.version != V2:
        yield f"version {'absent' if sight.crl.version is None else sight.crl.version.hex()}, not v2 (01)"


def check_issuer(sight: Sight) -> Iterator[str]:
    """C-02, D6: the CA's subject octet for octet."""
    if sight.crl.issuer != subject_name(sight.certificate):
        yield (
            f"issuer {_shown(sight.crl.issuer)} is not the subject of the CA certificate, "
            f"{_shown(subject_name(sight.certificate))}"
        )


def _shown(name: bytes) -> str:
    """Octets: two spellings of one name would look the same in words."""
    return f"{name.hex()[:120]}{'...' if len(name) > 60 else ''}"


def check_ca_certificate(sight: Sight) -> Iterator[str]:
    """RFC 5280 section 6.1.3 (a)(2): in force, or no client takes the CRL."""
    if fault := validity_fault(sight.certificate, sight.now):
        yield f"the CA certificate {fault}"


def check_algorithm(sight: Sight) -> Iterator[str]:
    """A-01, C-03: one of those for the CA's key, and twice the same."""
    crl = sight.crl
    if crl.signature != crl.signature_algorithm:
        yield f"signatureAlgorithm {crl.signature_algorithm.hex()} differs from signature {crl.signature.hex()}"
    if crl.signature_algorithm not in allowed_algorithms(sight.certificate.public_key()):
        yield f"signatureAlgorithm {crl.signature_algorithm.hex()} is not one for the key of the CA"


def check_signature(sight: Sight) -> Iterator[str]:
    """A-05: by the CA's key over the TBSCertList as it stands there."""
    crl = sight.crl
    if isinstance(crl.parsed, ValueError):
        return
    try:
        verify(crl.parsed, sight.certificate.public_key(), crl.signature_value, crl.tbs_cert_list)
    except (InvalidSignature, *UNREADABLE):
        yield "signatureValue does not verify with the key of the CA"


def check_key_identifier(sight: Sight) -> Iterator[str]:
    """C-07: keyIdentifier alone, that of the CA."""
    expected = subject_key_identifier(sight.certificate)
    found = sight.crl.key_identifier
    if sight.crl.extension(KEY_IDENTIFIER) is not None and found != expected:
        said = "no keyIdentifier alone" if found is None else f"keyIdentifier {found.hex()}"
        yield f"authorityKeyIdentifier has {said}, the CA's is {expected.hex()}"


def check_extensions(sight: Sight) -> Iterator[str]:
    """C-07, C-20: these, each once and as critical as it must be. Whether there has to be an IDP, the set says."""
    oids = [extension.oid for extension in sight.crl.extensions]
    for oid in CRITICAL:
        if oid not in oids and oid != IDP:
            yield f"no {NAMES[oid]}"
        if oids.count(oid) > 1:
            yield f"{NAMES[oid]} {oids.count(oid)} times"
    for extension in sight.crl.extensions:
        expected = CRITICAL.get(extension.oid)
        if expected is None:
            yield f"extension with OID octets {extension.oid.hex()} does not belong into a CRL"
        elif extension.critical != expected:
            yield f"{NAMES[extension.oid]} is {'not ' if expected else ''}critical"


def check_distribution_point(sight: Sight) -> Iterator[str]:
    """C-09, C-10, D6, P-06: one URL, octet for octet the one it was fetched from."""
    if sight.crl.extension(IDP) is None:
        return
    urls = sight.crl.urls
    if len(urls) != 1:
        yield f"issuingDistributionPoint has {len(urls)} names, not one URL{': ' if urls else ''}{', '.join(urls)}"
    if sight.url is not None and sight.url not in urls and urls:
        yield f"issuingDistributionPoint names {', '.join(urls)}, not {sight.url}"


def check_scope(sight: Sight) -> Iterator[str]:
    """C-11: onlyContainsUserCerts or onlyContainsCACerts, TRUE, and nothing else beside the name."""
    if sight.crl.extension(IDP) is None:
        return
    fields = sight.crl.point
    if fields is None:
        yield "issuingDistributionPoint is not a SEQUENCE of fields"
        return
    flags = [(field.tag, field.content) for field in fields if field.tag != FULL_NAME]
    wanted = ONLY_CA if sight.held_to is CrlScope.CA_CERTIFICATES else ONLY_USER
    if flags != [(wanted, b"\xff")]:
        said = " ".join(f"[{tag & 0x1F}]={content.hex()}" for tag, content in flags) or "none"
        name = "onlyContainsCACerts" if wanted == ONLY_CA else "onlyContainsUserCerts"
        yield f"issuingDistributionPoint has the flags {said}, not {name} TRUE alone"


def check_number(sight: Sight) -> Iterator[str]:
    """C-08: not negative, below 2^159."""
    if sight.crl.extension(CRL_NUMBER) is None:
        return
    number = sight.crl.crl_number
    if number is None:
        yield f"cRLNumber is not an INTEGER of at most {NUMBER_SIZE} octets"
    elif not 0 <= number < 1 << 159:
        yield f"cRLNumber {number} is {'negative' if number < 0 else 'not below 2^159'}"


def check_date_forms(sight: Sight) -> Iterator[str]:
    """C-05: UTCTime through 2049, GeneralizedTime after, whole seconds and Z; both there."""
    if sight.crl.next_update is None:
        yield "no nextUpdate"
    yield from _form("thisUpdate", sight.crl.this_update, sight.crl.this_update_seconds)
    if sight.crl.next_update is not None:
        yield from _form("nextUpdate", sight.crl.next_update, sight.crl.next_update_seconds)


def _form(name: str, value: Value, seconds: int | None) -> Iterator[str]:
    kind = "UTCTime" if value.tag == UTC_TIME else "GeneralizedTime"
    text = value.content.decode("latin-1")
    if seconds is None:
        yield f"{name} {kind} {text!r} is not whole seconds and Z"
    elif (seconds < YEAR_2050) != (value.tag == UTC_TIME):
        yield f"{name} {text} is {kind}, which is not for its year"


def check_dates(sight: Sight) -> Iterator[str]:
    """B1, C-06: in force, and no longer than allowed."""
    start, end = sight.crl.this_update_seconds, sight.crl.next_update_seconds
    if start is None or end is None:
        return
    if sight.now < start:
        yield f"thisUpdate is {start - sight.now} s ahead of the clock"
    if sight.now >= end:
        yield f"stale: nextUpdate was {sight.now - end} s ago"
    limit = MAX_VALIDITY[sight.held_to]
    if not 0 < end - start <= limit:
        yield f"nextUpdate is {end - start} s after thisUpdate, more than 0 and at most {limit} are allowed"


def check_empty_list(sight: Sight) -> Iterator[str]:
    """C-13."""
    if sight.crl.has_empty_list:
        yield "revokedCertificates is there and empty"


def check_entry_extensions(sight: Sight) -> Iterator[str]:
    """C-15: reasonCode alone and not critical. The second reader takes nothing else, so only what it refused is read."""
    crl = sight.crl
    if not isinstance(crl.strict, MalformedDer) or isinstance(crl.parsed, ValueError):
        return
    for index, entry in enumerate(crl.parsed):
        where = f"entry {index}, serial {entry.serial_number:x}"
        try:
            extensions = list(entry.extensions)
        except UNREADABLE as error:
            yield f"{where}: crlEntryExtensions: {error}"
            continue
        for extension in extensions:
            if extension.oid != CRLEntryExtensionOID.CRL_REASON:
                yield f"{where}: extension {extension.oid.dotted_string} does not belong there"
            elif extension.critical:
                yield f"{where}: reasonCode is critical"
            elif extension.value == x509.CRLReason(x509.ReasonFlags.unspecified):
                yield f"{where}: reasonCode 0 is written out"


def check_reasons(sight: Sight) -> Iterator[str]:
    """C-15, C-16, C-21: 1, 3, 4, 5, 9 or left out; never left out for CA certificates."""
    allowed = REASONS[sight.held_to]
    for index, (serial, _, reason) in enumerate(sight.crl.entries()):
        if reason not in allowed:
            yield f"entry {index}, serial {serial.hex()}: reasonCode {reason or 'absent'} is not allowed"


def check_revocation_dates(sight: Sight) -> Iterator[str]:
    """C-17: none after the CRL itself."""
    this_update = sight.crl.this_update_seconds
    for index, (serial, revocation_time, _) in enumerate(sight.crl.entries()):
        if this_update is not None and revocation_time > this_update:
            yield f"entry {index}, serial {serial.hex()}: revocationDate is {revocation_time - this_update} s after thisUpdate"


def check_serials(sight: Sight) -> Iterator[str]:
    """C-14: each once."""
    seen: set[bytes] = set()
    for index, (serial, _, _) in enumerate(sight.crl.entries()):
        if serial in seen:
            yield f"entry {index}: serial {serial.hex()} was there before"
        seen.add(serial)


CRL_CHECKS: tuple[tuple[str, CrlCheck], ...] = (
    ("size", check_size),
    ("parse", check_parse),
    ("profile", check_profile),
    ("version", check_version),
    ("issuer", check_issuer),
    ("CA certificate", check_ca_certificate),
    ("algorithm", check_algorithm),
    ("signature", check_signature),
    ("key identifier", check_key_identifier),
    ("extensions", check_extensions),
    ("distribution point", check_distribution_point),
    ("scope", check_scope),
    ("number", check_number),
    ("date forms", check_date_forms),
    ("dates", check_dates),
    ("empty list", check_empty_list),
    ("entry extensions", check_entry_extensions),
    ("reasons", check_reasons),
    ("revocation dates", check_revocation_dates),
    ("serials", check_serials),
)


def crl_faults(sight: Sight) -> Iterator[tuple[str, str]]:
    """Everything that is wrong with one CRL: the name of the check, and what it found."""
    for name, check in CRL_CHECKS:
        for message in check(sight):
            yield name, message
