"""The assertions on CRLs, on sets of them and on header fields find what they are there for."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import core, x509
from asn1crypto import crl as asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conformance.assertions import OcspAnswer, http_findings
from tests.conformance.crl_assertions import (
    agreement_findings,
    crl_findings,
    crl_http_findings,
    entry_findings,
    set_findings,
    shard_of,
)
from tests.conformance.doctor import NUMBER, Ward, make_ward
from tests.conformance.linters import lint, lint_by_command
from tests.conformance.signatures import raw_signature

DAY = 86_400
DELTA, INVALIDITY_DATE = "2.5.29.27", "2.5.29.24"
REVOKED = {"revocation_time": 1_790_000_000, "reason": 1}

Change = Callable[[Any], None]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return make_ward(tmp_path_factory.mktemp("ward") / "p256", int(time.time()))


def rows_of(findings: list[str]) -> set[str]:
    return {finding.partition(":")[0] for finding in findings}


def test_nothing_is_found_in_a_good_crl(ward: Ward) -> None:
    for body in (ward.crl_body(), ward.crl_body([])):
        assert crl_findings(ward.crl(body)) == []
        assert lint("crl", body) == []


def extension(crl: Any, oid: str) -> Any:
    return next(one for one in crl["tbs_cert_list"]["crl_extensions"] if one["extn_id"].dotted == oid)


def set_extension(oid: str, **fields: Any) -> Change:
    def change(crl: Any) -> None:
        for name, value in fields.items():
            extension(crl, oid)[name] = value

    return change


def drop_extension(oid: str) -> Change:
    def change(crl: Any) -> None:
        kept = [one for one in crl["tbs_cert_list"]["crl_extensions"] if one["extn_id"].dotted != oid]
        crl["tbs_cert_list"]["crl_extensions"] = asn1.TBSCertListExtensions(kept)

    return change


def delta_indicator(crl: Any) -> None:
    crl["tbs_cert_list"]["crl_extensions"].append({"extn_id": DELTA, "critical": True, "extn_value": 1})


def distribution_point(urls: list[str], **flags: bool) -> Change:
    def change(crl: Any) -> None:
        names = [x509.GeneralName(name="uniform_resource_identifier", value=url) for url in urls]
        point = x509.DistributionPointName(name="full_name", value=x509.GeneralNames(names))
        value = {"distribution_point": point, **flags}
        extension(crl, "2.5.29.28")["extn_value"] = asn1.IssuingDistributionPoint(value)

    return change


def set_time(name: str, offset: int, kind: type[Any] = x509.UTCTime) -> Change:
    def change(crl: Any) -> None:
        moment = crl["tbs_cert_list"]["this_update"].native.timestamp() + offset
        value = kind(datetime.fromtimestamp(moment, UTC))
        choice = "utc_time" if kind is x509.UTCTime else "general_time"
        crl["tbs_cert_list"][name] = x509.Time(name=choice, value=value)

    return change


def entry_reason(reason: int, critical: bool = False) -> Change:
    def change(crl: Any) -> None:
        value = {"extn_id": "crl_reason", "critical": critical, "extn_value": reason}
        entry(crl)["crl_entry_extensions"] = asn1.CRLEntryExtensions([value])

    return change


def entry(crl: Any) -> Any:
    return crl["tbs_cert_list"]["revoked_certificates"][0]


def invalidity_date(crl: Any) -> None:
    value = {"extn_id": INVALIDITY_DATE, "critical": False, "extn_value": datetime(2026, 1, 1, tzinfo=UTC)}
    entry(crl)["crl_entry_extensions"] = asn1.CRLEntryExtensions([value])


def revoked_later(crl: Any) -> None:
    moment = crl["tbs_cert_list"]["this_update"].native.timestamp() + 1
    when = x509.UTCTime(datetime.fromtimestamp(moment, UTC))
    entry(crl)["revocation_date"] = x509.Time(name="utc_time", value=when)


def entry_twice(crl: Any) -> None:
    crl["tbs_cert_list"]["revoked_certificates"].append(entry(crl).copy())


def no_entry_left(crl: Any) -> None:
    crl["tbs_cert_list"]["revoked_certificates"] = asn1.RevokedCertificates([])


def version_1(crl: Any) -> None:
    crl["tbs_cert_list"]["version"] = "v1"


def other_issuer(crl: Any) -> None:
    crl["tbs_cert_list"]["issuer"] = x509.Name.build({"common_name": "another"})


def inner_algorithm(crl: Any) -> None:
    crl["tbs_cert_list"]["signature"] = {"algorithm": "sha384_ecdsa"}


URL = "http://c.example/crl/p256/0-0.crl"
CRLS: dict[str, tuple[Change, set[str]]] = {
    "version v1": (version_1, {"C-01"}),
    "another issuer": (other_issuer, {"C-02"}),
    "two algorithms": (inner_algorithm, {"C-03"}),
    "GeneralizedTime before 2050": (set_time("next_update", 5 * DAY, x509.GeneralizedTime), {"C-05"}),
    "10 d": (set_time("next_update", 10 * DAY), {"C-06"}),
    "a second under 10 d": (set_time("next_update", 10 * DAY - 1), set()),
    "ended": (set_time("next_update", 2), {"C-06"}),
    "IDP not critical": (set_extension("2.5.29.28", critical=False), {"C-07"}),
    "no IDP": (drop_extension("2.5.29.28"), {"C-07", "C-09"}),
    "no number": (drop_extension("2.5.29.20"), {"C-07"}),
    "delta": (delta_indicator, {"C-07"}),
    "another key identifier": (
        set_extension("2.5.29.35", extn_value=x509.AuthorityKeyIdentifier({"key_identifier": bytes(20)})),
        {"C-07"},
    ),
    "number of 2^159": (set_extension("2.5.29.20", extn_value=core.Integer(1 << 159)), {"C-08"}),
    "URL in capitals": (distribution_point([URL.upper()], only_contains_user_certs=True), {"C-09"}),
    "two URLs": (distribution_point([URL, URL + "2"], only_contains_user_certs=True), {"C-09"}),
    "CA certificates": (distribution_point([URL], only_contains_ca_certs=True), {"C-09"}),
    "all certificates": (distribution_point([URL]), {"C-09"}),
    "the same again": (distribution_point([URL], only_contains_user_certs=True), set()),
    "empty list": (no_entry_left, {"C-13"}),
    "a serial twice": (entry_twice, {"C-14"}),
    "reason 0": (entry_reason(0), {"C-15"}),
    "reason 6": (entry_reason(6), {"C-15"}),
    "reason 8": (entry_reason(8), {"C-15"}),
    "critical reason": (entry_reason(1, critical=True), {"C-15"}),
    "invalidityDate": (invalidity_date, {"C-15"}),
    "revoked after thisUpdate": (revoked_later, {"C-17"}),
}


@pytest.mark.parametrize("name", CRLS)
def test_a_doctored_crl(ward: Ward, name: str) -> None:
    change, rows = CRLS[name]
    spoilt = ward.doctored_crl(ward.crl_body(), change)
    assert rows_of(crl_findings(ward.crl(spoilt))) == rows


def test_a_serial_with_a_leading_zero(ward: Ward) -> None:
    body = ward.crl_body([(b"\x7f\x05", ward.now - 60, 0)])
    data = asn1.CertificateList.load(body)["tbs_cert_list"].dump()
    spoilt = data.replace(b"\x02\x02\x7f\x05", b"\x02\x02\x00\x05")
    crl = asn1.CertificateList.load(body.replace(data, spoilt))
    signature = ward.key("ca").sign(spoilt, ec.ECDSA(hashes.SHA256()))
    parts = spoilt + crl["signature_algorithm"].dump() + core.OctetBitString(signature).dump()
    whole = b"\x30\x82" + len(parts).to_bytes(2) + parts
    assert rows_of(crl_findings(ward.crl(whole))) == {"C-01", "C-14"}


def test_a_crl_with_a_sha1_signature(ward: Ward) -> None:
    crl = asn1.CertificateList.load(ward.crl_body())
    for place, name in ((crl, "signature_algorithm"), (crl["tbs_cert_list"], "signature")):
        place[name] = {"algorithm": "sha1_ecdsa"}
    data = crl["tbs_cert_list"].dump(force=True)
    crl["signature"] = ward.key("ca").sign(data, ec.ECDSA(hashes.SHA1()))
    assert rows_of(crl_findings(ward.crl(crl.dump(force=True)))) == {"A-01", "A-02"}


def test_a_crl_signed_by_another_key(ward: Ward) -> None:
    crl = asn1.CertificateList.load(ward.crl_body())
    data = crl["tbs_cert_list"].dump()
    crl["signature"] = ward.key("responder").sign(data, ec.ECDSA(hashes.SHA256()))
    assert rows_of(crl_findings(ward.crl(crl.dump(force=True)))) == {"A-01"}


def test_a_crl_of_more_than_ten_megabytes(ward: Ward) -> None:
    answer = ward.crl(ward.crl_body())
    answer.body += bytes(10_000_000)
    assert "P-03" in rows_of(crl_findings(answer))


def shards_of(serials: list[int], count: int = 3) -> list[tuple[int, list[int]]]:
    return [(index, [one for one in serials if shard_of(one, count) == index]) for index in range(count)]


def test_shards_and_sets_of_them() -> None:
    serials = list(range(1, 60))
    assert list(set_findings(shards_of(serials), serials, 3)) == []
    missing = list(set_findings(shards_of(serials[1:]), serials, 3))
    assert missing == ["C-19: serial 1 is missing"]
    assert list(set_findings(shards_of(serials), serials[1:], 3)) == ["C-19: serial 1 is not revoked"]
    shards = shards_of(serials)
    shards[0][1].append(shards[0][1][0])
    assert rows_of(list(set_findings(shards, serials, 3))) == {"C-19"}
    shards = shards_of(serials)
    shards[0][1].append(shards[1][1].pop())
    assert ["in shard 0" in finding for finding in set_findings(shards, serials, 3)] == [True]


def revoked(ward: Ward, **changes: int) -> tuple[OcspAnswer, Any]:
    """A response, and the CRL entry of the same certificate with some of it changed."""
    expected = ward.expected(**REVOKED)
    said = REVOKED | changes
    body = ward.crl_body([(b"\x80\x01", said["revocation_time"], said["reason"])])
    return ward.answer(ward.body(expected), expected), ward.crl(body).entries[0]


@pytest.mark.parametrize(
    "changes", [{"reason": 0}, {"reason": 4}, {"revocation_time": 1_790_000_001}], ids=str
)
def test_ocsp_and_crl_that_disagree(ward: Ward, changes: dict[str, int]) -> None:
    answer, entry = revoked(ward, **changes)
    assert rows_of(list(agreement_findings(answer, entry))) == {"R-21"}
    assert rows_of(list(entry_findings(entry, answer.expected))) == {"C-17"}


def test_ocsp_and_crl_that_agree(ward: Ward) -> None:
    answer, entry = revoked(ward)
    assert list(agreement_findings(answer, entry)) == []
    assert list(entry_findings(entry, answer.expected)) == []
    good = ward.expected()
    assert rows_of(list(agreement_findings(ward.answer(ward.body(good), good), entry))) == {"R-21"}


def date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


def ocsp_headers(answer: OcspAnswer) -> dict[str, str]:
    raw = raw_signature(answer.signer, answer.signature)
    return {
        "content-type": "application/ocsp-response",
        "content-length": str(len(answer.body)),
        "date": date(answer.now),
        "last-modified": date(answer.produced_at),
        "etag": f'"{raw[:32].hex()}{NUMBER:04x}"',
        "expires": date(answer.next_update),
        "cache-control": "max-age=3600, public, no-transform, must-revalidate",
    }


def ocsp_http(ward: Ward, **changes: str | None) -> set[str]:
    """Rows found with these header fields changed, or left out."""
    expected = ward.expected()
    answer = ward.answer(ward.body(expected), expected)
    merged = ocsp_headers(answer) | {name.replace("_", "-"): value for name, value in changes.items()}
    headers = {name: value for name, value in merged.items() if value is not None}
    raw = raw_signature(answer.signer, answer.signature)
    return rows_of(list(http_findings(answer, headers, raw, NUMBER)))


def test_good_header_fields(ward: Ward) -> None:
    assert ocsp_http(ward) == set()


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"content_type": "application/ocsp-response; charset=utf-8"}, "H-01"),
        ({"etag": None}, "H-02"),
        ({"expires": None}, "H-02"),
        ({"content_length": "12"}, "H-02"),
        ({"cache_control": "max-age=3600"}, "H-02"),
        ({"cache_control": "max-age=3601, public, no-transform, must-revalidate"}, "H-04"),
        ({"cache_control": "max-age=3599, public, no-transform, must-revalidate"}, "H-04"),
        ({"cache_control": "no-store"}, "H-05"),
        ({"pragma": "no-cache"}, "H-05"),
        ({"etag": '"00"'}, "H-07"),
    ],
    ids=str,
)
def test_doctored_header_fields(ward: Ward, changes: dict[str, str | None], row: str) -> None:
    assert ocsp_http(ward, **changes) == {row}


def test_doctored_dates_of_header_fields(ward: Ward) -> None:
    assert ocsp_http(ward, expires=date(ward.now + 4 * DAY)) == {"H-03"}
    assert ocsp_http(ward, last_modified=date(ward.now)) == {"H-08"}
    assert ocsp_http(ward, date=date(ward.now + 1)) == {"H-08"}
    with pytest.raises(ValueError, match="IMF-fixdate"):
        ocsp_http(ward, expires="soon")


@pytest.mark.parametrize(("elapsed", "age"), [(2 * DAY - 3000, 2999), (2 * DAY, 0), (3 * DAY, 0)])
def test_the_lifetime_is_that_of_the_deadline(ward: Ward, elapsed: int, age: int) -> None:
    """R-16: half of four days, and nothing is left after it; V is 4 d - 1 s."""
    fields = {"date": date(ward.now + elapsed)}
    control = "max-age={}, public, no-transform, must-revalidate"
    assert ocsp_http(ward, **fields, cache_control=control.format(age)) == set()
    assert ocsp_http(ward, **fields, cache_control=control.format(age + 1)) == {"H-04"}


CRL_HEADERS: list[dict[str, str | None]] = [
    {"content-type": "application/octet-stream"},
    {"content-length": "1"},
    {"etag": None},
    {"etag": 'W/"1"'},
    {"cache-control": "public, max-age=14401, no-transform"},
    {"cache-control": "no-cache"},
    {"last-modified": "Sat, 21 Nov 2026 10:00:00 GMT"},
    {"expires": "Sat, 21 Nov 2099 10:00:00 GMT"},
]


def test_header_fields_of_crls(ward: Ward) -> None:
    answer = ward.crl(ward.crl_body())
    good: dict[str, str | None] = {
        "content-type": "application/pkix-crl",
        "content-length": str(len(answer.body)),
        "date": date(answer.now),
        "last-modified": date(answer.this_update),
        "etag": '"7"',
        "expires": date(answer.next_update),
        "cache-control": "public, max-age=3600, no-transform",
    }

    def found(headers: dict[str, str | None]) -> set[str]:
        present = {name: value for name, value in headers.items() if value is not None}
        return rows_of(list(crl_http_findings(answer, present)))

    assert found(good) == set()
    for changes in CRL_HEADERS:
        assert found(good | changes) == {"U-07"}, changes
    assert found(good | {"date": date(answer.next_update - 3599)}) == {"U-07"}


def test_pkilint_in_this_process_finds_what_its_command_finds(ward: Ward, tmp_path: Path) -> None:
    def spoil(crl: Any) -> None:
        set_time("next_update", 11 * DAY)(crl)
        entry_reason(6)(crl)

    spoilt = ward.doctored_crl(ward.doctored_crl(ward.crl_body(), spoil), drop_extension("2.5.29.20"))
    path = tmp_path / "shard.crl"
    path.write_bytes(spoilt)
    by_kind = {kind: lint_by_command(kind, path) for kind in ("crl", "crl-pkix")}
    assert {"cabf.crl_invalid_validity_period", "cabf.crl_prohibited_reason_code"} <= set(by_kind["crl"])
    assert by_kind == {kind: lint(kind, spoilt) for kind in by_kind}
    assert 0 < len(by_kind["crl-pkix"]) < len(by_kind["crl"])
