"""Preflight: each check blocks one bad CRL and names the field, and the good one passes them all."""

import datetime
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from _fastpath.crl import encode_crl
from _fastpath.crl_reader import Crl
from signer.crl.algorithms import allowed_algorithms
from signer.crl.build import CrlEntry, CrlFields, CrlScope, CrlSigner, build_shard
from signer.crl.preflight import (
    MAX_SIZE,
    PreflightError,
    check_extensions,
    check_lint,
    check_parse,
    check_size,
    preflight,
)
from tests.signer.crl_authority import NOW, URL, SoftwareKey, crl_fields, make_authority, revoked_entries

CA = make_authority()
CA_KEY = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
OTHER_KEY = ec.derive_private_key(99, ec.SECP256R1())
ENTRIES = revoked_entries(120)
FIRST = ENTRIES[0][0].hex()
LIVE = Crl(build_shard(CA, crl_fields(1, this_update=NOW - 14_400), ENTRIES[:100]))


def never(serial: bytes, live_this_update: int) -> bool:
    return False


def run(
    data: bytes,
    *,
    signer: CrlSigner = CA,
    fields: CrlFields | None = None,
    entries: list[CrlEntry] = ENTRIES,
    live: Crl | None = LIVE,
    now: int = NOW,
    may_vanish: Callable[[bytes, int], bool] = never,
) -> Crl:
    return preflight(
        data, signer, fields or crl_fields(2), iter(entries), live=live, now=now, may_vanish=may_vanish
    )


def build(
    entries: list[CrlEntry] = ENTRIES, *, signer: CrlSigner = CA, fields: CrlFields | None = None
) -> bytes:
    return build_shard(signer, fields or crl_fields(2), entries)


def sign_again(data: bytes, old: bytes, new: bytes) -> bytes:
    """The CRL with one piece of its TBSCertList replaced, signed as it then is."""
    crl = Crl(data)
    assert crl.tbs_cert_list.count(old) == 1 and len(old) == len(new)
    tbs = crl.tbs_cert_list.replace(old, new)
    return encode_crl(tbs, crl.signature_algorithm, CA.key.sign_der(tbs))


def blocked(check: str, message: str, data: bytes, **changes: object) -> None:
    with pytest.raises(PreflightError, match=message) as caught:
        run(data, **changes)  # type: ignore[arg-type]
    assert caught.value.check == check
    assert "nothing was published" in str(caught.value)


def test_a_good_crl_passes_every_check() -> None:
    crl = run(build())
    assert (len(crl), crl.crl_number) == (120, 2)


@pytest.mark.conformance("A-01")
@pytest.mark.parametrize("algorithm", ["p384", "rsa-sha256", "pss-sha256", "ed25519", "mldsa65"])
def test_a_good_crl_of_every_kind_of_key_passes(algorithm: str) -> None:
    signer = make_authority(algorithm)
    assert len(run(build(ENTRIES[:3], signer=signer), signer=signer, entries=ENTRIES[:3], live=None)) == 3


def test_an_empty_first_crl_passes() -> None:
    assert len(run(build([]), entries=[], live=None)) == 0


def test_a_full_crl_passes() -> None:
    fields = crl_fields(2, url=None)
    assert run(build(fields=fields), fields=fields).distribution_point_url is None


@pytest.mark.conformance("P-03")
@pytest.mark.invariant("D11")
def test_size() -> None:
    check_size(bytes(MAX_SIZE))
    with pytest.raises(PreflightError, match="size: 10000000 octets, at most 9999999") as caught:
        check_size(bytes(MAX_SIZE + 1))
    assert caught.value.check == "size"
    blocked("size", "at most 9999999", build() + bytes(MAX_SIZE))


@pytest.mark.conformance("C-01")
@pytest.mark.invariant("D7")
def test_parse() -> None:
    blocked("parse", "CertificateList", build() + b"\0")
    blocked(
        "parse", "CertificateList", x509.load_der_x509_crl(build()).public_bytes(serialization.Encoding.PEM)
    )


def crl_by_cryptography(*, idp_critical: bool = True, freshest: bool = False) -> bytes:
    point = x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(URL)],
        relative_name=None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    identifier = CA.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(CA.certificate.subject)
        .last_update(datetime.datetime.fromtimestamp(NOW - 60, datetime.UTC))
        .next_update(datetime.datetime.fromtimestamp(NOW - 60 + 604_799, datetime.UTC))
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .add_extension(x509.CRLNumber(2), critical=False)
        .add_extension(point, critical=idp_critical)
    )
    if freshest:
        delta = x509.DistributionPoint([x509.UniformResourceIdentifier(URL + ".delta")], None, None, None)
        builder = builder.add_extension(x509.FreshestCRL([delta]), critical=False)
    return builder.sign(CA_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_what_cryptography_builds_passes_too() -> None:
    assert len(run(crl_by_cryptography(), entries=[], live=None)) == 0


@pytest.mark.invariant("D10")
def test_second_reader() -> None:
    blocked(
        "second reader",
        "crlExtensions, extension 3",
        crl_by_cryptography(freshest=True),
        entries=[],
        live=None,
    )
    blocked(
        "second reader",
        "crlExtensions, extension 2",
        crl_by_cryptography(idp_critical=False),
        entries=[],
        live=None,
    )


@pytest.mark.conformance("A-01", "C-03")
def test_algorithm() -> None:
    sha384 = SoftwareKey(
        bytes.fromhex("300a06082a8648ce3d040303"), lambda data: CA_KEY.sign(data, ec.ECDSA(hashes.SHA384()))
    )
    data = build(signer=replace(CA, key=sha384))
    assert x509.load_der_x509_crl(data).is_signature_valid(CA_KEY.public_key())
    blocked("algorithm", "signatureAlgorithm 300a06082a8648ce3d040303", data)


@pytest.mark.conformance("A-01")
def test_no_algorithm_is_allowed_for_keys_outside_the_profile() -> None:
    assert allowed_algorithms(ec.generate_private_key(ec.SECP256K1()).public_key()) == frozenset()


@pytest.mark.conformance("A-02")
def test_no_sha1_among_the_allowed() -> None:
    assert not any(
        bytes.fromhex(oid) in algorithm
        for oid in ("2a864886f70d010105", "2a8648ce3d0401")
        for signer in map(make_authority, ("p256", "rsa-sha256"))
        for algorithm in allowed_algorithms(signer.certificate.public_key())
    )


@pytest.mark.conformance("A-05", "U-06")
@pytest.mark.invariant("D7")
def test_signature_by_another_key() -> None:
    other = SoftwareKey(
        CA.key.signature_algorithm, lambda data: OTHER_KEY.sign(data, ec.ECDSA(hashes.SHA256()))
    )
    blocked("signature", "signatureValue does not verify", build(signer=replace(CA, key=other)))


@pytest.mark.conformance("A-05", "U-06")
@pytest.mark.invariant("D7")
def test_signature_over_other_entries() -> None:
    last = ENTRIES[-1][0]
    blocked("signature", "signatureValue", build().replace(last, last[:-1] + bytes([last[-1] ^ 1])))


@pytest.mark.conformance("C-02", "U-06")
@pytest.mark.invariant("D6")
def test_issuer_name() -> None:
    blocked("issuer", "issuer 30.*is not the subject", build(signer=make_authority(name="Another CA")))


@pytest.mark.conformance("C-07")
@pytest.mark.invariant("D10")
def test_issuer_key_identifier() -> None:
    identifier = CA.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    data = sign_again(build(), identifier, bytes(20))
    blocked("issuer", f"authorityKeyIdentifier (00){{20}}, the CA's key is {identifier.hex()}", data)


@pytest.mark.conformance("C-09", "P-06", "U-06")
@pytest.mark.invariant("D6")
@pytest.mark.parametrize("url", [URL.replace("/crl/", "//crl/"), URL.upper(), None])
def test_distribution_point_url(url: str | None) -> None:
    message = (
        r"crlExtensions \(name: critical\)"
        if url is None
        else f"IssuingDistributionPoint names {url}, not {URL}"
    )
    blocked("extensions", message, build(fields=crl_fields(2, url=url)))


@pytest.mark.conformance("C-12")
def test_a_distribution_point_in_a_full_crl() -> None:
    blocked("extensions", "IssuingDistributionPoint", build(), fields=crl_fields(2, url=None))


@pytest.mark.conformance("C-11")
def test_distribution_point_scope() -> None:
    fields = replace(crl_fields(2), scope=CrlScope.CA_CERTIFICATES)
    blocked("extensions", "IssuingDistributionPoint has not the scope user", build([], fields=fields))


@pytest.mark.conformance("C-07")
@pytest.mark.invariant("D10")
def test_criticality_is_seen_without_the_second_reader() -> None:
    lenient = check_parse(crl_by_cryptography(idp_critical=False))
    with pytest.raises(PreflightError, match="'IssuingDistributionPoint': False"):
        check_extensions(lenient, Crl(build([])), crl_fields(2))


@pytest.mark.conformance("C-06")
@pytest.mark.invariant("B2")
@pytest.mark.parametrize(
    ("this_update", "next_update", "message"),
    [
        (NOW + 1, NOW + 604_800, f"this_update {NOW + 1} is 1 s ahead of the clock"),
        (NOW - 604_800, NOW, f"next_update {NOW} has passed"),
        (NOW, NOW + 864_000, "next_update is 864000 s after this_update, at most 863999 s"),
    ],
)
def test_dates(this_update: int, next_update: int, message: str) -> None:
    fields = replace(crl_fields(2), this_update=this_update, next_update=next_update)
    blocked("dates", message, build(fields=fields), fields=fields)


@pytest.mark.conformance("C-06")
def test_dates_at_their_limits_pass() -> None:
    fields = replace(crl_fields(2), this_update=NOW, next_update=NOW + 863_999)
    assert run(build(fields=fields), fields=fields).next_update == NOW + 863_999


@pytest.mark.conformance("C-06")
def test_dates_of_a_crl_about_cas() -> None:
    """A year, both ends counted."""
    entries = [(serial, time, 4) for serial, time, _ in revoked_entries(3)]
    year = replace(
        crl_fields(2), scope=CrlScope.CA_CERTIFICATES, this_update=NOW, next_update=NOW + 31_535_999
    )
    assert run(build(entries, fields=year), fields=year, entries=entries, live=None).this_update == NOW
    longer = replace(year, next_update=NOW + 31_536_000)
    blocked("dates", "at most 31535999 s", build(fields=longer), fields=longer)


@pytest.mark.parametrize("name", ["this_update", "next_update"])
def test_dates_that_were_not_meant(name: str) -> None:
    meant = crl_fields(2)
    other = replace(meant, **{name: getattr(meant, name) - 1})
    blocked("dates", f"{name} is {getattr(other, name)}, not {getattr(meant, name)}", build(fields=other))


@pytest.mark.conformance("C-19", "U-06")
@pytest.mark.invariant("D4")
@pytest.mark.parametrize("position", range(0, 119, 17))
def test_a_stream_cut_anywhere(position: int) -> None:
    """D4: the list breaks off, or lacks one entry in the middle."""
    serial = ENTRIES[position][0].hex()
    blocked(
        "entries",
        f"entry {position}: the CRL has nothing, the ledger serial {serial}",
        build(ENTRIES[:position]),
    )
    missing = ENTRIES[:position] + ENTRIES[position + 1 :]
    blocked("entries", f"entry {position}: the CRL has serial .*, the ledger serial {serial}", build(missing))


def test_entries_the_ledger_has_not() -> None:
    blocked("entries", "entry 119: the CRL has serial .*, the ledger nothing", build(), entries=ENTRIES[:-1])


@pytest.mark.conformance("R-21", "U-06")
@pytest.mark.invariant("D4")
@pytest.mark.parametrize("change", [(0, 1, 0), (0, 0, 1)])
def test_an_entry_that_says_something_else(change: tuple[int, int, int]) -> None:
    serial, time, reason = ENTRIES[0]
    other = [(serial, time + change[1], reason + change[2]), *ENTRIES[1:]]
    blocked("entries", f"entry 0: the CRL has serial {FIRST} .*, the ledger serial {FIRST}", build(other))


@pytest.mark.conformance("C-14")
@pytest.mark.invariant("D10")
def test_a_serial_twice() -> None:
    twice = [ENTRIES[0], *ENTRIES]
    blocked("order", f"entry 1: serial {FIRST} does not come after {FIRST}", build(twice), entries=twice)


def test_entries_out_of_order() -> None:
    swapped = [ENTRIES[1], ENTRIES[0], *ENTRIES[2:]]
    blocked("order", f"entry 1: serial {FIRST} does not come after", build(swapped), entries=swapped)


@pytest.mark.conformance("C-15", "C-21")
@pytest.mark.invariant("D10")
@pytest.mark.parametrize("reason", [2, 6, 8, 10])
def test_reasons_that_subscriber_certificates_never_have(reason: int) -> None:
    data = sign_again(build([(b"\x05", NOW - 100, 1)]), b"\x0a\x01\x01", bytes([10, 1, reason]))
    entries = [(b"\x05", NOW - 100, reason)]
    blocked("reasons", f"entry 0, serial 05: reasonCode {reason}", data, entries=entries, live=None)


@pytest.mark.conformance("C-16")
def test_ca_certificates_always_have_a_reason() -> None:
    fields = replace(crl_fields(2), scope=CrlScope.CA_CERTIFICATES)
    entries = [(b"\x05", NOW - 100, 1), (b"\x06", NOW - 100, 0)]
    data = build(entries, fields=fields)
    blocked(
        "reasons", "entry 1, serial 06: reasonCode absent", data, fields=fields, entries=entries, live=None
    )


@pytest.mark.conformance("C-17")
def test_revocation_after_the_crl() -> None:
    entries = [(b"\x05", NOW - 60, 1), (b"\x06", NOW - 59, 1)]
    blocked(
        "revocation times",
        f"entry 1, serial 06: revocationDate {NOW - 59} is after",
        build(entries),
        entries=entries,
        live=None,
    )


@pytest.mark.conformance("C-08", "U-06", "U-09")
@pytest.mark.invariant("D1")
@pytest.mark.parametrize(
    ("number", "this_update", "message"),
    [
        (1, NOW - 60, "crl_number 1 is not above that of the live CRL, 1"),
        (0, NOW - 60, "crl_number 0 is not above"),
        (2, NOW - 14_400, f"this_update {NOW - 14_400} is not above that of the live CRL, {NOW - 14_400}"),
        (2, NOW - 14_401, "this_update .* is not above"),
    ],
)
def test_number_and_date_only_go_up(number: int, this_update: int, message: str) -> None:
    fields = crl_fields(number, this_update=this_update)
    blocked("number", message, build(fields=fields), fields=fields)


def test_a_number_that_was_not_meant() -> None:
    blocked("number", "crl_number is 3, not 2", build(fields=crl_fields(3)))


@pytest.mark.conformance("U-06")
def test_another_issuers_crl_at_the_live_path() -> None:
    foreign = Crl(
        build(fields=crl_fields(1, this_update=NOW - 14_400), signer=make_authority(name="Another CA"))
    )
    blocked("number", "live CRL is one of another issuer", build(), live=foreign)


@pytest.mark.conformance("C-18")
@pytest.mark.invariant("D3", "D4")
def test_entries_vanish_only_when_proven_over() -> None:
    gone = {ENTRIES[3][0], ENTRIES[90][0]}
    remaining = [entry for entry in ENTRIES if entry[0] not in gone]
    asked: list[tuple[bytes, int]] = []

    def proven(serial: bytes, live_this_update: int) -> bool:
        asked.append((serial, live_this_update))
        return serial in gone

    run(build(remaining), entries=remaining, may_vanish=proven)
    assert asked == [(ENTRIES[3][0], LIVE.this_update), (ENTRIES[90][0], LIVE.this_update)]
    blocked(
        "vanished entries",
        f"118 entries of 100, and 1 vanished before their time, first serial {ENTRIES[90][0].hex()}",
        build(remaining),
        entries=remaining,
        may_vanish=lambda serial, _: serial == ENTRIES[3][0],
    )


def test_a_live_crl_in_another_order_is_compared_all_the_same() -> None:
    live = Crl(build_shard(CA, crl_fields(1, this_update=NOW - 14_400), ENTRIES[99::-1]))
    assert len(run(build(), live=live)) == 120
    blocked("vanished entries", f"first serial {FIRST}", build(ENTRIES[1:]), entries=ENTRIES[1:], live=live)


@pytest.mark.conformance("C-19", "U-06")
@pytest.mark.invariant("D3", "D4")
def test_an_empty_list_after_a_full_one() -> None:
    blocked("vanished entries", "no entry is left of 100, and 100 vanished", build([]), entries=[])
    assert len(run(build([]), entries=[], may_vanish=lambda serial, _: True)) == 0


@pytest.mark.invariant("D10")
def test_lint_of_a_fault_that_no_check_of_ours_has() -> None:
    nameless = make_authority(name="")
    data = build(ENTRIES[:1], signer=nameless)
    blocked("lint", r"\(ERROR\)", data, signer=nameless, entries=ENTRIES[:1], live=None)


def test_lint_reads_a_twin_with_the_fields_it_is_given() -> None:
    fields = replace(crl_fields(2), next_update=NOW + 864_000)
    with pytest.raises(PreflightError, match=r"cabf\.crl_invalid_validity_period \(ERROR\)"):
        check_lint(Crl(build()), CA, fields)


def test_lint_sees_what_occurs_anywhere_in_the_list() -> None:
    """D10: every reason, size of serial and form of date, be it of the last entry alone, in a list of few."""
    signed: list[bytes] = []

    def remember(data: bytes) -> bytes:
        signed.append(data)
        return CA.key.sign_der(data)

    alike = [(serial, NOW - 100, 1) for serial, _, _ in ENTRIES]
    last = (b"\x7f\xff", NOW - 100, 9)
    signer = replace(CA, key=SoftwareKey(CA.key.signature_algorithm, remember))
    check_lint(Crl(build([*alike, last])), signer, crl_fields(2))
    (twin,) = signed
    assert [serial in twin for serial, _, _ in (alike[0], alike[1], last)] == [True, False, True]


def test_odd_serials_of_revoked_certificates_do_not_block_a_crl() -> None:
    """Zero and 21 octets are faults of the certificate, and a reason to revoke it."""
    entries = [(b"\0", NOW - 100, 4), (b"\xf0" * 20, NOW - 100, 4)]
    assert len(run(build(entries), entries=entries, live=None)) == 2
