"""CRLs to write, and the same CRLs by cryptography's builder."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import strategies as st

from _fastpath.certid import serial_from_int
from _fastpath.crl import encode_crl, encode_issuing_distribution_point, encode_tbs_cert_list

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
KEY = ec.derive_private_key(7, ec.SECP256R1())
ALGORITHM = bytes.fromhex("300a06082a8648ce3d040302")
NAMES = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "C" * size)]) for size in (1, 20, 64)]
YEAR_1950, YEAR_2050, YEAR_10000 = -631_152_000, 2_524_608_000, 253_402_300_800
REASONS = {
    1: x509.ReasonFlags.key_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    9: x509.ReasonFlags.privilege_withdrawn,
}
Entry = tuple[int, int, int]  # serial, revocation time, reason (0: none)


@dataclass(frozen=True, slots=True)
class Scope:
    """An IssuingDistributionPoint: one URL or none, user certificates only, CA certificates only."""

    url: str | None
    user: bool
    ca: bool

    def encode(self) -> bytes:
        return encode_issuing_distribution_point(
            self.url, only_contains_user_certs=self.user, only_contains_ca_certs=self.ca
        )

    def by_cryptography(self) -> x509.IssuingDistributionPoint:
        full_name = None if self.url is None else [x509.UniformResourceIdentifier(self.url)]
        return x509.IssuingDistributionPoint(full_name, None, self.user, self.ca, None, False, False)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a CRL says."""

    entries: tuple[Entry, ...]
    name: x509.Name
    updates: tuple[int, int]
    key_identifier: bytes
    number: int
    scope: Scope | None

    def encode_tbs(self) -> bytes:
        return encode_tbs_cert_list(
            ((serial_from_int(serial), when, reason) for serial, when, reason in self.entries),
            signature_algorithm=ALGORITHM,
            issuer_name=self.name.public_bytes(),
            this_update=self.updates[0],
            next_update=self.updates[1],
            authority_key_identifier=self.key_identifier,
            crl_number=self.number,
            issuing_distribution_point=None if self.scope is None else self.scope.encode(),
        )

    def encode(self, signature: bytes = b"signature") -> bytes:
        return encode_crl(self.encode_tbs(), ALGORITHM, signature)


def moment(seconds: int) -> datetime.datetime:
    return EPOCH + datetime.timedelta(seconds=seconds)


def revoked(entry: Entry) -> x509.RevokedCertificate:
    serial, when, reason = entry
    builder = x509.RevokedCertificateBuilder(serial, moment(when))
    if reason:
        builder = builder.add_extension(x509.CRLReason(REASONS[reason]), critical=False)
    return builder.build()


def by_builder(listed: Listed) -> x509.CertificateRevocationList:
    """The same CRL, signed, by cryptography."""
    builder = x509.CertificateRevocationListBuilder(
        listed.name, moment(listed.updates[0]), moment(listed.updates[1])
    )
    for entry in listed.entries:
        builder = builder.add_revoked_certificate(revoked(entry))
    key_identifier = x509.AuthorityKeyIdentifier(listed.key_identifier, None, None)
    builder = builder.add_extension(key_identifier, critical=False)
    builder = builder.add_extension(x509.CRLNumber(listed.number), critical=False)
    if listed.scope is not None:
        builder = builder.add_extension(listed.scope.by_cryptography(), critical=True)
    return builder.sign(KEY, hashes.SHA256())


serials = st.integers(0, 2**160 - 1) | st.sampled_from([0, 1, 127, 128, 255, 256, 2**159, 2**160 - 1])
times = st.integers(YEAR_1950, YEAR_10000 - 2) | st.integers(YEAR_2050 - 2, YEAR_2050 + 1)
reasons = st.sampled_from([0, *REASONS])
PLAIN_URLS = [
    "http://c.example/1.crl",
    "http://c.example/" + "a" * 100 + ".crl",
    "http://c.example/" + "a" * 250,
]
plain_urls = st.sampled_from(PLAIN_URLS)
ascii_text = st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=60)
urls = plain_urls | st.sampled_from(["x", "HTTP://C//%41?#~ "]) | ascii_text


def scopes_of(some_urls: st.SearchStrategy[str]) -> st.SearchStrategy[Scope]:
    kinds = st.sampled_from([(True, False), (False, True), (False, False)])
    with_url = st.builds(lambda url, kind: Scope(url, *kind), some_urls, kinds)
    return with_url | st.sampled_from([Scope(None, True, False), Scope(None, False, True)])


def lists_of(
    some_serials: st.SearchStrategy[int], some_urls: st.SearchStrategy[str]
) -> st.SearchStrategy[Listed]:
    return st.builds(
        Listed,
        st.lists(st.tuples(some_serials, times, reasons), max_size=5).map(tuple),
        st.sampled_from(NAMES),
        st.tuples(times, times).map(lambda both: (min(both), max(both) + 1)),
        st.integers(1, 140).map(bytes),
        serials.map(lambda number: number >> 1),
        st.none() | scopes_of(some_urls),
    )


lists = lists_of(serials, urls)
# asn1crypto writes a URL again in the form of RFC 3986: only one that has it already stays as it is.
lists_for_asn1crypto = lists_of(serials, plain_urls)
# The builder wants positive serials of at most 159 bits.
lists_for_builder = lists_of(serials.map(lambda one: (one >> 1) + (one < 2)), urls)
scopes = scopes_of(urls)


def entries_of_size(size: int) -> tuple[Entry, ...]:
    """Entries that take exactly `size` octets, which is 20 to 39 or at least 40."""
    entries: list[Entry] = []
    while size > 78:
        entries.append(entry_of_size(35, len(entries)))
        size -= 35
    if size >= 40:
        first = max(20, size - 39)
        return (*entries, entry_of_size(first, len(entries)), entry_of_size(size - first, len(entries) + 1))
    return (*entries, entry_of_size(size, len(entries)))


def entry_of_size(size: int, index: int) -> Entry:
    """20 to 39 octets: a serial of one to twenty octets and a UTCTime."""
    octets = size - 19
    return (0x7F << 8 * (octets - 1)) | (index if octets > 3 else 0), 1_700_000_000 + index, 0
