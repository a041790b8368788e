"""A CRL as we, cryptography and a plain walk through the tree see it, and where the first two differ.

Our reader is for CRLs in the profile of conformance rows C-01 to C-15 and refuses what else RFC 5280 allows. The
grounds below say that profile a second time, over the tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509

from _fastpath.crl_reader import Crl
from tests.property.crls import EPOCH
from tests.property.der_tree import Node, read_nodes

GENERALIZED_TIME = b"\x18"
AKI, NUMBER, IDP, REASON = (bytes.fromhex(oid) for oid in ("551d23", "551d14", "551d1c", "551d15"))


@dataclass(frozen=True, slots=True)
class SeenCrl:
    """What both readers say of a CRL; entries are (serial, seconds, reason or 0)."""

    tbs: bytes
    signature: bytes
    updates: tuple[int, int]
    entries: tuple[tuple[int, int, int], ...]
    number: int
    key_identifier: bytes
    url: str | None
    scope: tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class Extension:
    oid: bytes
    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """The parts of a CertificateList, its shape taken for granted."""

    root: Node

    @property
    def fields(self) -> tuple[Node, ...]:
        return (self.root.children or ())[0].children or ()

    @property
    def has_version(self) -> bool:
        return self.fields[0].tag == b"\x02"

    @property
    def after_issuer(self) -> tuple[Node, ...]:
        return self.fields[3 if self.has_version else 2 :]

    @property
    def times(self) -> list[Node]:
        """thisUpdate and, if there is one, nextUpdate."""
        return [one for one in self.after_issuer if one.tag in (b"\x17", b"\x18")]

    @property
    def revoked(self) -> Node | None:
        return next((one for one in self.after_issuer if one.tag == b"\x30"), None)

    @property
    def entries(self) -> tuple[Node, ...]:
        return () if self.revoked is None else self.revoked.children or ()

    @property
    def extensions(self) -> list[Extension]:
        wrapped = next((one for one in self.after_issuer if one.tag == b"\xa0"), None)
        return [] if wrapped is None else read_extensions((wrapped.children or ())[0])

    def values_of(self, oid: bytes) -> list[bytes]:
        return [one.value for one in self.extensions if one.oid == oid]


def read_extensions(node: Node) -> list[Extension]:
    extensions = []
    for one in node.children or ():
        fields = one.children or ()
        extensions.append(Extension(fields[0].content, len(fields) == 3, fields[-1].content))
    return extensions


def seen_by_us(crl: Crl) -> SeenCrl:
    idp = crl.issuing_distribution_point
    flags = () if idp is None else read_nodes(idp)[0].children or ()
    return SeenCrl(
        crl.tbs_cert_list,
        crl.signature,
        (crl.this_update, crl.next_update),
        tuple((int.from_bytes(serial, "big"), when, reason) for serial, when, reason in crl),
        crl.crl_number,
        crl.authority_key_identifier,
        crl.distribution_point_url,
        (any(one.tag == b"\x81" for one in flags), any(one.tag == b"\x82" for one in flags)),
    )


CODES = {"unspecified": 0, "key_compromise": 1, "ca_compromise": 2, "affiliation_changed": 3, "superseded": 4}
CODES |= {"cessation_of_operation": 5, "certificate_hold": 6, "remove_from_crl": 8, "privilege_withdrawn": 9}
CODES |= {"aa_compromise": 10}


def entries_by_cryptography(crl: x509.CertificateRevocationList) -> Iterator[tuple[int, int, int]]:
    for one in crl:
        reasons = [found.value.reason for found in one.extensions if isinstance(found.value, x509.CRLReason)]
        when = int((one.revocation_date_utc - EPOCH).total_seconds())
        yield one.serial_number, when, CODES[reasons[0].name] if reasons else 0


def see_by_cryptography(data: bytes) -> SeenCrl | None:
    """None for a CRL without one of the fields that ours always have."""
    crl = x509.load_der_x509_crl(data)
    try:
        extensions = {type(one.value): one.value for one in crl.extensions}
        entries = tuple(entries_by_cryptography(crl))
    except x509.DuplicateExtension as error:
        raise ValueError(str(error)) from error
    number, key, idp = (
        extensions.get(kind)
        for kind in (x509.CRLNumber, x509.AuthorityKeyIdentifier, x509.IssuingDistributionPoint)
    )
    if crl.next_update_utc is None or number is None or key is None:
        return None
    url, scope = None, (False, False)
    if idp is not None:
        url = idp.full_name[0].value if idp.full_name else None
        scope = (idp.only_contains_user_certs, idp.only_contains_ca_certs)
    updates = [int((one - EPOCH).total_seconds()) for one in (crl.last_update_utc, crl.next_update_utc)]
    return SeenCrl(
        crl.tbs_certlist_bytes,
        crl.signature,
        (updates[0], updates[1]),
        entries,
        number.crl_number,
        key.key_identifier,
        url,
        scope,
    )


# Grounds of our refusals.


def has_early_generalized_time(root: Node) -> bool:
    tree = Tree(root)
    times = [*tree.times, *((one.children or ())[1] for one in tree.entries)]
    return any(one.tag == GENERALIZED_TIME and one.content[:4] < b"2050" for one in times)


def has_other_entry_extensions(root: Node) -> bool:
    """Anything but one reasonCode that is not critical, not 0 and in RFC 5280."""
    for entry in Tree(root).entries:
        fields = entry.children or ()
        if len(fields) > 2:
            extensions = read_extensions(fields[2])
            allowed = [
                Extension(REASON, False, b"\x0a\x01" + bytes([code])) for code in CODES.values() if code
            ]
            if len(extensions) != 1 or extensions[0] not in allowed:
                return True
    return False


def is_unsigned(content: bytes) -> bool:
    """At most 20 octets of value, not negative."""
    return content[0] < 0x80 and len(content.lstrip(b"\0")) <= 20


def has_other_serial(root: Node) -> bool:
    return not all(is_unsigned((one.children or ())[0].content) for one in Tree(root).entries)


def has_other_extension(root: Node) -> bool:
    return any(one.oid not in (AKI, NUMBER, IDP) for one in Tree(root).extensions)


def has_other_criticality(root: Node) -> bool:
    known = [one for one in Tree(root).extensions if one.oid in (AKI, NUMBER, IDP)]
    return any(one.critical != (one.oid == IDP) for one in known)


def has_other_key_identifier(root: Node) -> bool:
    for value in Tree(root).values_of(AKI):
        fields = read_nodes(value)[0].children or ()
        if [one.tag for one in fields] != [b"\x80"] or not fields[0].content:
            return True
    return False


def has_long_number(root: Node) -> bool:
    return any(len(read_nodes(value)[0].content) > 20 for value in Tree(root).values_of(NUMBER))


def is_one_url(point: Node) -> bool:
    """distributionPoint [0] of fullName [0] of one uniformResourceIdentifier [6]."""
    full_names = point.children or ()
    names = (full_names[0].children or ()) if len(full_names) == 1 else ()
    return bool(
        [one.tag for one in full_names] == [b"\xa0"]
        and [one.tag for one in names] == [b"\x86"]
        and names[0].content
    )


def has_other_distribution_point(root: Node) -> bool:
    for value in Tree(root).values_of(IDP):
        fields = read_nodes(value)[0].children or ()
        rest = fields[1:] if fields and fields[0].tag == b"\xa0" else fields
        if not fields or len(rest) > 1 or (rest and rest[0].tag not in (b"\x81", b"\x82")):
            return True
        if len(rest) < len(fields) and not is_one_url(fields[0]):
            return True
    return False


def lacks(oid: bytes, root: Node) -> bool:
    return not Tree(root).values_of(oid)


def has_other_signature(root: Node) -> bool:
    content = (root.children or ())[2].content
    return len(content) < 2 or content[0] != 0
