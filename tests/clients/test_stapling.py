"""TLS servers that fetch our answers and clients that read them out of the handshake."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.commands import run, version
from tests.clients.report import Report
from tests.clients.staplers import STAPLERS, Stapler, haproxy_says, stored_answer
from tests.clients.wire import CAPTURED, sent
from tests.clients.world import STATUSES, World

pytestmark = pytest.mark.slow

AUTHORITIES = ("ec", "rsa")
NO_STAPLE = "no staple"


@dataclass(frozen=True)
class Reader:
    """A TLS client that reads staples, and how it says what it made of one."""

    name: str
    command: str
    pattern: str
    good: tuple[int, str]
    revoked: tuple[int, str]
    unauthorized: tuple[int, str]
    nothing: tuple[int, str]

    def verdict(self, staple: str) -> tuple[int, str]:
        """Exit status and words for what was stapled."""
        return {
            "good": self.good,
            "revoked": self.revoked,
            "unauthorized": self.unauthorized,
            NO_STAPLE: self.nothing,
        }[staple]


READERS = (
    Reader(
        "`curl --cert-status`",
        "curl --silent --show-error --cert-status --cacert {issuer} https://127.0.0.1:{port}/",
        r"\(91\) .*|\A(?!curl)",
        (0, ""),
        (91, "(91) SSL certificate revocation reason: keyCompromise (1)"),
        (91, "(91) Invalid OCSP response status: unauthorized (6)"),
        (91, "(91) No OCSP response received"),
    ),
    Reader(
        "`openssl s_client -status`",
        "openssl s_client -status -connect 127.0.0.1:{port} -CAfile {issuer}",
        r"Cert Status: \w+|OCSP Response Status: unauthorized|OCSP response: no response sent",
        (0, "Cert Status: good"),
        (0, "Cert Status: revoked"),
        (0, "OCSP Response Status: unauthorized"),
        (0, "OCSP response: no response sent"),
    ),
    Reader(
        "`gnutls-cli`",
        "gnutls-cli --x509cafile={issuer} --port={port} 127.0.0.1",
        r"The certificate is trusted|The certificate chain is revoked",
        (0, "The certificate is trusted"),
        (1, "The certificate chain is revoked"),
        (0, "The certificate is trusted"),
        (0, "The certificate is trusted"),
    ),
    Reader(
        "NSS `tstclnt -T -F -M 1`",
        "tstclnt -h 127.0.0.1 -p {port} -d {nss} -O -T -F -M 1 -Q",
        r"Received \d Cert Status items",
        (0, "Received 1 Cert Status items"),
        (3, "Received 1 Cert Status items"),
        (2, "Received 1 Cert Status items"),
        (2, "Received 0 Cert Status items"),
    ),
)
# What each server staples for a good certificate, a revoked one and one never issued.
STAPLED = {
    "nginx": ("good", NO_STAPLE, NO_STAPLE),
    "Apache mod_ssl": ("good", "revoked", NO_STAPLE),
    "HAProxy": ("good", "revoked", NO_STAPLE),
    "`openssl s_server -status`": ("good", "revoked", "unauthorized"),
}


def told(reader: Reader, staple: str) -> str:
    """A verdict for the table."""
    code, words = reader.verdict(staple)
    return f"`{words}`" if words and not reader.name.startswith("NSS") else f"exit {code}"


@pytest.mark.conformance("K-05", "K-06", "K-07", "H-01", "H-16")
@pytest.mark.parametrize("authority", AUTHORITIES)
@pytest.mark.parametrize("stapler", STAPLERS, ids=lambda stapler: stapler.tool)
def test_staples(
    served: World,
    nss_databases: dict[str, Path],
    stapler: Stapler,
    authority: str,
    tmp_path_factory: pytest.TempPathFactory,
    report: Report,
) -> None:
    subjects = {status: served.subjects[authority, status] for status in STATUSES}
    served.hop.take()
    with stapler.serving(served, subjects, tmp_path_factory.mktemp("t")) as ports:
        for reader in READERS:
            for status, staple in zip(STATUSES, STAPLED[stapler.name], strict=True):
                places = {
                    "issuer": subjects[status].issuer,
                    "port": ports[status],
                    "nss": nss_databases[authority],
                }
                code, output = run(*(word.format(**places) for word in reader.command.split()))
                found = re.search(reader.pattern, output, re.MULTILINE)
                assert found, output
                assert (code, found[0]) == reader.verdict(staple), f"{reader.name}, {status}: {output}"
            said = [told(reader, staple) for staple in STAPLED[stapler.name]]
            report.add("stapling", stapler.name, version(stapler.tool), reader.name, *said, stapler.note)
    requests = [request for connection in served.hop.take() for request in sent(connection)]
    assert bool(requests) == (stapler.shape is not None)
    for request in requests:
        assert stapler.shape and CAPTURED[stapler.shape].sends(request, served.hop.port), request.raw


@pytest.mark.conformance("K-07", "R-03", "R-07")
def test_haproxy_takes_a_response_over_its_socket(
    served: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its own parser judges: one entry, nextUpdate, a status it knows."""
    subjects = {status: served.subjects["ec", status] for status in STATUSES}
    directory = tmp_path_factory.mktemp("t")
    stapler = next(it for it in STAPLERS if it.tool == "HAProxy")
    with stapler.serving(served, subjects, directory):
        for status, reply in (
            ("good", "OCSP Response updated!"),
            ("revoked", "OCSP Response updated!"),
            ("unknown", "OCSP response status not successful."),
        ):
            response = stored_answer(served, subjects[status], directory / "response")
            assert haproxy_says(directory, response) == reply
        # It looks its certificates up by the SHA-1 CertID.
        other = stored_answer(served, subjects["good"], directory / "response", "sha256")
        assert "Certificate ID does not match" in haproxy_says(directory, other)


@pytest.mark.conformance("K-06")
def test_answers_fit_apaches_cache_and_nss(served: World, tmp_path: Path) -> None:
    """10,240 octets with a flag octet before them; 64 KiB."""
    for subject in served.subjects.values():
        for digest in ("sha1", "sha256"):
            assert len(stored_answer(served, subject, tmp_path / "response", digest)) < 10_240
