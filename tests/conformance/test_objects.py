"""A whole run: imported, signed, published, served; then every response and every CRL is fetched and looked at.

Forty certificates of two issuers in the fast tests, a thousand of three in the slow ones; all reasons, serials of 1 to 20
octets, certificates that end soon. Every object goes through pkilint and through our own assertions.
"""

import json
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signer.cli import app
from signer.context import Context
from tests.conformance.asking import KeptClient, cert_id, request_of
from tests.conformance.assertions import Expected, OcspAnswer, http_findings, ocsp_findings
from tests.conformance.corpus import EXPIRED, KINDS, REASONS, Issuer, make_issuer
from tests.conformance.crl_assertions import (
    CrlAnswer,
    agreement_findings,
    crl_findings,
    crl_http_findings,
    entry_findings,
    set_findings,
)
from tests.conformance.linters import COMMANDS, lint, lint_by_command
from tests.conformance.signatures import raw_signature
from tests.integration.service import Service
from tests.ports import free_port

HOUR = 3600
DAY = 86_400
HASHES = ("sha1", "sha256")
UNAUTHORIZED = bytes.fromhex("30030a0106")
Key = tuple[str, int, str]  # issuer, serial, CertID hash


@dataclass
class Fetched:
    """Everything that a run served."""

    issuers: list[Issuer]
    answers: dict[Key, OcspAnswer]
    headers: dict[Key, dict[str, str]]
    crls: dict[tuple[str, int], CrlAnswer]
    crl_headers: dict[tuple[str, int], dict[str, str]]
    expired: list[bytes]  # bodies for certificates that have ended
    templates: dict[str, int]  # template number by issuer

    def of(self, issuer: Issuer, digest: str) -> Iterator[OcspAnswer]:
        for one in issuer.living:
            yield self.answers[issuer.name, one.serial, digest]


def fetch_all(issuers: list[Issuer], port: int, templates: dict[str, int]) -> Fetched:
    client = KeptClient(port)
    fetched = Fetched(issuers, {}, {}, {}, {}, [], templates)
    for issuer in issuers:
        for one in issuer.living:
            for digest in HASHES:
                _fetch_answer(fetched, client, issuer, one, digest)
        for one in issuer.expired:
            fetched.expired.append(client.ask(request_of(cert_id(issuer, one.serial, "sha1")))[0])
        for index, url in enumerate(issuer.urls):
            body, headers = client.fetch("GET", urlsplit(url).path)
            fetched.crls[issuer.name, index] = CrlAnswer(body, url, issuer.certificate, int(time.time()))
            fetched.crl_headers[issuer.name, index] = headers
    client.close()
    return fetched


def _fetch_answer(fetched: Fetched, client: KeptClient, issuer: Issuer, one: Expected, digest: str) -> None:
    asked = cert_id(issuer, one.serial, digest)
    body, headers = client.ask(request_of(asked))
    key = issuer.name, one.serial, digest
    fetched.answers[key] = OcspAnswer(body, asked.dump(), issuer.certificate, one, int(time.time()))
    fetched.headers[key] = headers


def revoke_by_command(service: Service, issuer: Issuer) -> None:
    """Six of the good certificates, one with each reason that may be published."""
    now = int(time.time()) - 5
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    good = [number for number, one in enumerate(issuer.living) if one.revocation_time is None]
    lines = []
    for number, reason in zip(good, (0, 1, 3, 4, 5, 9), strict=False):
        one = issuer.living[number]
        issuer.living[number] = Expected(one.serial, one.not_after, now, reason)
        lines.append(f"{one.serial:x},{reason},{date}\n")
    path = issuer.directory / "revoke.txt"
    path.write_text("".join(lines))
    signer(service, "revoke", "--issuer", issuer.name, "--from-file", str(path))


def signer(service: Service, *arguments: str) -> str:
    """What `ocsp-signer` prints, run in this process: five starts would take longer than all its work here."""
    with redirect_stdout(StringIO()) as printed:
        assert not app([*arguments, "--config", str(service.config)], standalone_mode=False)
    return printed.getvalue()


@pytest.fixture(
    scope="module", params=[(20, 20), pytest.param((400, 300, 300), marks=pytest.mark.slow)], ids=sum
)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fetched:
    """So many certificates of each issuer, served, and all of it fetched."""
    service = Service(tmp_path_factory.mktemp("run"), free_port())
    host, now, first = f"127.0.0.1:{service.port}", int(time.time()), 0
    shares: tuple[int, ...] = request.param
    issuers = [
        make_issuer(kind, service.directory / kind, host) for kind, _ in zip(KINDS, shares, strict=False)
    ]
    service.write_config("".join(issuer.table for issuer in issuers))
    for share, issuer in zip(shares, issuers, strict=True):
        issuer.populate(first, share, now)
        first += share
        index = str(issuer.directory / "index.txt")
        report = json.loads(signer(service, "import", "--issuer", issuer.name, index, "--json"))
        assert report["rows"] == share + share // EXPIRED
        assert report["rejected"] == 0
    revoke_by_command(service, issuers[0])
    signer(service, "sign", "--all", "--workers", "1", "--quiet")
    signer(service, "crl", "build", "--quiet")
    with service.serving():
        return fetch_all(issuers, service.port, _templates(service.config, issuers))


def _templates(config: Path, issuers: list[Issuer]) -> dict[str, int]:
    """Each issuer has one, numbered by the ledger."""
    with Context.open(config) as context:
        known = {
            issuer.name: context.ledger.templates(context.ledger_issuer(issuer.name).id) for issuer in issuers
        }
    return {name: templates[0].number for name, templates in known.items()}


@pytest.mark.conformance("R-09", "Q-05")
def test_the_run_has_every_kind_of_certificate(run: Fetched) -> None:
    """Nothing tells a precertificate from a certificate: a serial is issued when the CA says so."""
    everyone = [one for issuer in run.issuers for one in issuer.living]
    octets = [one.serial.to_bytes((one.serial.bit_length() + 7) // 8) for one in everyone]
    assert {len(serial) for serial in octets} == set(range(1, 21))
    assert sum(serial[0] >= 0x80 for serial in octets) >= len(octets) // 3
    assert {one.reason for one in everyone if one.revocation_time} == set(REASONS.values())
    assert len(run.answers) == 2 * len(everyone)


@pytest.mark.invariant("B4")
@pytest.mark.conformance(
    "R-01", "R-03", "R-04", "R-05", "R-06", "R-07", "R-12", "R-13", "R-14", "R-17", "R-18", "R-21", "R-23", "R-24",
    "R-29", "A-01", "A-02", "D-01",
)  # fmt: skip
@pytest.mark.parametrize("digest", HASHES)
def test_own_assertions_find_nothing_in_any_response(run: Fetched, digest: str) -> None:
    found = {
        (issuer.name, answer.expected): findings
        for issuer in run.issuers
        for answer in run.of(issuer, digest)
        if (findings := ocsp_findings(answer))
    }
    assert found == {}


@pytest.mark.conformance("R-12", "R-15", "R-18")
@pytest.mark.invariant("B2")
def test_every_response_ends_when_the_profile_says(run: Fetched) -> None:
    """Four days counted with both ends, or the end of the certificate, or 8 h where even that is too soon."""
    clamped = 0
    for answer in run.answers.values():
        longest = answer.this_update + 4 * DAY - 1
        end = max(answer.expected.not_after, answer.this_update + 8 * HOUR)
        assert answer.next_update == min(longest, end), answer.expected
        clamped += answer.next_update < longest
    assert clamped >= len(run.answers) // 2


@pytest.mark.conformance("R-17", "D-09")
def test_each_issuer_signs_as_it_is_configured(run: Fetched) -> None:
    for issuer in run.issuers:
        answer = next(run.of(issuer, "sha1"))
        assert answer.certificates == [issuer.responder]
        assert answer.next_update <= issuer.responder.not_valid_after_utc.timestamp()


@pytest.mark.conformance("R-01", "R-04", "R-07", "R-29")
@pytest.mark.parametrize("digest", HASHES)
def test_pkilint_finds_nothing_in_any_response(run: Fetched, digest: str) -> None:
    for issuer in run.issuers:
        for answer in run.of(issuer, digest):
            assert lint("response", answer.body) == [], answer.expected


@pytest.mark.conformance("C-01", "C-06", "C-13", "C-15")
@pytest.mark.parametrize("kind", ["crl", "crl-pkix"])
def test_pkilint_finds_nothing_in_any_crl(run: Fetched, kind: str) -> None:
    for key, answer in run.crls.items():
        assert lint(kind, answer.body) == [], key


@pytest.mark.conformance("R-01", "C-01", "D-06")
@pytest.mark.parametrize("kind", COMMANDS)
def test_pkilints_commands_find_nothing(run: Fetched, tmp_path: Path, kind: str) -> None:
    """One object of each kind, and every responder certificate, by the command lines of the release gate."""
    first = run.issuers[0]
    crl = run.crls[first.name, 0].body
    delegated = [issuer.responder for issuer in run.issuers if issuer.responder != issuer.certificate]
    objects = {
        "response": [next(run.of(first, "sha256")).body],
        "crl": [crl],
        "crl-pkix": [crl],
        "responder": [certificate.public_bytes(Encoding.DER) for certificate in delegated],
    }
    path = tmp_path / "object.der"
    for data in objects[kind]:
        path.write_bytes(data)
        assert lint_by_command(kind, path) == []


@pytest.mark.conformance("H-01", "H-02", "H-03", "H-04", "H-05", "H-07", "H-08")
def test_header_fields_of_every_response(run: Fetched) -> None:
    for (name, serial, digest), answer in run.answers.items():
        raw = raw_signature(answer.signer, answer.signature)
        headers = run.headers[name, serial, digest]
        assert list(http_findings(answer, headers, raw, run.templates[name])) == [], answer.expected


@pytest.mark.conformance("H-07")
def test_no_two_responses_have_one_entity_tag(run: Fetched) -> None:
    tags = {headers["etag"] for headers in run.headers.values()}
    assert len(tags) == len(run.headers)


@pytest.mark.conformance("R-11")
def test_ended_certificates_are_unauthorized(run: Fetched) -> None:
    assert set(run.expired) == {UNAUTHORIZED}


@pytest.mark.invariant("B4")
@pytest.mark.conformance(
    "C-01", "C-02", "C-03", "C-05", "C-06", "C-07", "C-08", "C-09", "C-10", "C-11", "C-13", "C-14", "C-15", "C-17",
    "C-20", "C-21", "A-01", "A-02", "P-03",
)  # fmt: skip
def test_own_assertions_find_nothing_in_any_crl(run: Fetched) -> None:
    found = {key: findings for key, answer in run.crls.items() if (findings := crl_findings(answer))}
    assert found == {}


@pytest.mark.conformance("U-05", "U-07")
def test_header_fields_of_every_crl(run: Fetched) -> None:
    for key, answer in run.crls.items():
        assert list(crl_http_findings(answer, run.crl_headers[key])) == [], key


@pytest.mark.conformance("C-19")
def test_the_shards_of_an_issuer_are_its_revocations(run: Fetched) -> None:
    """The expired ones among them too: this is the first CRL after their end (C-18)."""
    for issuer in run.issuers:
        shards = [(index, run.crls[issuer.name, index].serials) for index in range(issuer.shards)]
        revoked = [one.serial for one in issuer.revoked]
        assert list(set_findings(shards, revoked, issuer.shards)) == []


@pytest.mark.invariant("A5")
@pytest.mark.conformance("R-21", "C-15", "C-17")
def test_responses_and_crls_agree_on_every_revocation(run: Fetched) -> None:
    agreed = 0
    for issuer in run.issuers:
        expected = {one.serial: one for one in issuer.revoked}
        living = {one.serial for one in issuer.living}
        for index in range(issuer.shards):
            for entry in run.crls[issuer.name, index].entries:
                serial = int(entry["user_certificate"].native)
                assert list(entry_findings(entry, expected[serial])) == []
                for digest in HASHES if serial in living else ():
                    answer = run.answers[issuer.name, serial, digest]
                    assert list(agreement_findings(answer, entry)) == []
                    agreed += 1
    assert agreed == 2 * sum(
        one.revocation_time is not None for issuer in run.issuers for one in issuer.living
    )
