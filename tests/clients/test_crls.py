"""Readers of CRLs over our shards: the signature, the entry, and the scope that the distribution point gives."""

import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from _fastpath.page import hash32
from tests.clients.commands import run, version
from tests.clients.report import Report
from tests.clients.world import SHARDS, Subject, World

pytestmark = pytest.mark.slow

CASES = ("good", "revoked", "other shard")
NONE = (-1, "")


@dataclass(frozen=True)
class Reader:
    """One way to use a shard, and what it says of a good certificate, a revoked one, and that one by another shard."""

    name: str
    tool: str
    command: str
    pattern: str
    verdicts: tuple[tuple[int, str], ...]  # exit status and words, in the order of CASES
    note: str = ""


READERS = (
    Reader(
        "`openssl crl -CAfile`",
        "openssl",
        "openssl crl -inform DER -in {der} -CAfile {issuer} -noout",
        "verify OK",
        ((0, "verify OK"),) * 3,
        "the signature alone",
    ),
    Reader(
        "`openssl verify -crl_check`",
        "openssl",
        "openssl verify -crl_check -CAfile {issuer} -CRLfile {pem} {subject}",
        r": OK$|error \d+ at.*",
        (
            (0, ": OK"),
            (2, "error 23 at 0 depth lookup: certificate revoked"),
            (2, "error 44 at 0 depth lookup: different CRL scope"),
        ),
        "holds the distribution point against the shard's",
    ),
    Reader(
        "`certtool --verify-crl`",
        "GnuTLS",
        "certtool --verify-crl --infile {pem} --load-ca-certificate {issuer}",
        r"Verification output: \w+",
        ((0, "Verification output: Verified"),) * 3,
        "the signature alone",
    ),
    Reader(
        "`certtool --verify --load-crl`",
        "GnuTLS",
        "certtool --verify --load-ca-certificate {issuer} --load-crl {pem} --infile {subject}",
        r"Chain verification output: (Not v|V)erified",
        (
            (0, "Chain verification output: Verified"),
            (1, "Chain verification output: Not verified"),
            (0, "Chain verification output: Verified"),
        ),
        "passes over the distribution point: the caller has to choose the shard",
    ),
    Reader(
        "Java `PKIXRevocationChecker`, PREFER_CRLS",
        "Java",
        "java -cp {java} Check crl {issuer} {subject}",
        r"^VALID|^[A-Z]+: [^,\n]*",
        ((0, "VALID"), (1, "REVOKED: Certificate has been revoked"), NONE),
        "fetches the shard that the certificate names",
    ),
    Reader(
        "Go `x509.ParseRevocationList`",
        "Go",
        "{go} crl {issuer} {subject}",
        r"^revoked|^not on it",
        ((0, "not on it"), (0, "revoked"), NONE),
        "with `CheckSignatureFrom`; fetches the shard that the certificate names",
    ),
    Reader(
        "`crlutil -I`",
        "NSS",
        "crlutil -I -i {der} -d {nss}",
        r"SEC_ERROR_\w+",
        ((1, "SEC_ERROR_CRL_UNKNOWN_CRITICAL_EXTENSION"),) * 3,
        "no NSS reads a CRL with an issuing distribution point, which has to be critical: no shard of anyone's",
    ),
)


def fetched(served: World, name: str, index: int, directory: Path) -> tuple[Path, Path]:
    """A published shard as DER and as PEM."""
    der, pem = directory / f"{index}.crl", directory / f"{index}.pem"
    with urllib.request.urlopen(f"{served.service.url}/crl/{name}/0-{index}.crl") as answer:
        der.write_bytes(answer.read())
    run("openssl", "crl", "-inform", "DER", "-in", der, "-out", pem, check=True)
    return der, pem


def shard_of(subject: Subject) -> int:
    return hash32(subject.serial) % SHARDS


def named(reader: Reader) -> str:
    return reader.name.replace("`", "")


@pytest.mark.conformance("C-01", "C-09", "U-01")
@pytest.mark.parametrize("authority", ["ec", "rsa"])
@pytest.mark.parametrize("reader", READERS, ids=named)
def test_readers(
    served: World,
    nss_databases: dict[str, Path],
    java_classes: Path,
    go_program: Path,
    reader: Reader,
    authority: str,
    tmp_path: Path,
    report: Report,
) -> None:
    for case, verdict in zip(CASES, reader.verdicts, strict=True):
        if verdict == NONE:
            continue
        subject = served.subjects[authority, "good" if case == "good" else "revoked"]
        index = shard_of(subject) if case != "other shard" else (shard_of(subject) + 1) % SHARDS
        der, pem = fetched(served, authority, index, tmp_path)
        places = {
            "issuer": subject.issuer,
            "subject": subject.path,
            "der": der,
            "pem": pem,
            "nss": nss_databases[authority],
            "java": java_classes,
            "go": go_program,
        }
        code, output = run(*(word.format(**places) for word in reader.command.split()))
        found = re.search(reader.pattern, output, re.MULTILINE)
        assert found and (code, found[0]) == verdict, f"{case}: exit {code}\n{output}"
    said = [f"`{words.lstrip(': ')}`" if words else "—" for _, words in reader.verdicts]
    report.add("crls", reader.name, version(reader.tool), *said, reader.note)
