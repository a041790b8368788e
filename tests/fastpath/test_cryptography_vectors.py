"""Every file of cryptography's own test vectors that concerns OCSP or CRLs, read by us as by cryptography."""

import datetime
import importlib.metadata
import re
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as x509_ocsp

from _fastpath.certid import SHA1, SHA256, IssuerID, serial_from_int
from _fastpath.ocsp import UNAUTHORIZED, SingleResponse, encode_response, signature_to_raw, split_response
from _fastpath.template import Template
from tests.fastpath.cryptography_corpus import DIFFERENT, EXPLAIN, UNLIKE_OURS, find_files, read
from tests.property import crl_differences, request_readers, response_readers
from tests.property.responses import REASONS

DOCUMENT = Path(__file__).parents[2] / "docs" / "test-vectors.md"
FILES = find_files()
NAMES = {name: list(names) for names, files in DIFFERENT.items() for name in files}
RESPONSES = [name for name, kind in FILES.items() if kind == "response"]
TABLES = [request_readers.DIFFERENCES, response_readers.DIFFERENCES, crl_differences.DIFFERENCES]
CODES = {name: code for code, name in REASONS.items()}
STAND_IN = IssuerID(b"name", b"key")

ROWS = (
    "Q-02",
    "Q-05",
    "Q-06",
    "Q-07",
    "C-01",
    "C-03",
    "C-05",
    "C-07",
    "C-08",
    "C-11",
    "C-13",
    "C-14",
    "C-15",
    "C-20",
)


def test_the_vectors_are_those_of_the_cryptography_that_is_installed() -> None:
    installed = importlib.metadata.version("cryptography")
    vectors = importlib.metadata.version("cryptography_vectors")
    assert vectors == installed, f"install cryptography_vectors=={installed}"


def test_the_corpus_is_all_there() -> None:
    kinds = list(FILES.values())
    assert {kind: kinds.count(kind) for kind in EXPLAIN} == {"crl": 200, "request": 11, "response": 17}
    assert set(NAMES) | set(UNLIKE_OURS) <= set(FILES)
    assert len(NAMES) == sum(len(files) for files in DIFFERENT.values())


@pytest.mark.conformance(*ROWS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_or_refused_as_by_cryptography_or_its_difference_is_listed(name: str) -> None:
    """A difference that is not in the table fails here, and so does one in the table that no longer shows."""
    assert EXPLAIN[FILES[name]](read(name)) == NAMES.get(name, [])


def seconds(when: datetime.datetime | None) -> int:
    assert when is not None
    return int(when.timestamp())


def written_again(data: bytes) -> bytes:
    """The response as our writer makes it of what cryptography reads in it.

    The issuer's name and key are not at hand, only their hashes: those of a stand-in are exchanged afterwards.
    Raises ValueError or AssertionError for what our writer has no words for.
    """
    theirs = x509_ocsp.load_der_ocsp_response(data)
    if theirs.response_status is x509_ocsp.OCSPResponseStatus.UNAUTHORIZED:
        return UNAUTHORIZED
    (single,) = theirs.responses
    hash_algorithm = SHA1 if isinstance(single.hash_algorithm, hashes.SHA1) else SHA256
    template = template_of(data, theirs)
    raw = signature_to_raw(template, theirs.signature)
    ours = encode_response(template, STAND_IN, hash_algorithm, said_by(theirs), raw)
    found = STAND_IN.lookup_key(hash_algorithm)
    half = len(found) // 2
    ours = ours.replace(found[:half], single.issuer_name_hash)
    return ours.replace(found[half:], single.issuer_key_hash)


def template_of(data: bytes, theirs: x509_ocsp.OCSPResponse) -> Template:
    assert theirs.responder_key_hash is not None
    certificates = [one.public_bytes(serialization.Encoding.DER) for one in theirs.certificates]
    return Template(
        signature_algorithm=split_response(data)[1],
        signature_size=len(theirs.signature),
        responder_key_hash=theirs.responder_key_hash,
        certificates=b"".join(certificates),
        validity=1,
    )


def said_by(theirs: x509_ocsp.OCSPResponse) -> SingleResponse:
    (single,) = theirs.responses
    assert single.certificate_status is not x509_ocsp.OCSPCertStatus.UNKNOWN
    reason = single.revocation_reason
    return SingleResponse(
        serial_from_int(single.serial_number),
        this_update=seconds(single.this_update_utc),
        produced_at=seconds(theirs.produced_at_utc),
        next_update=seconds(single.next_update_utc),
        revocation_time=seconds(single.revocation_time_utc) if single.revocation_time_utc else None,
        reason=CODES[reason.name] if reason else 0,
    )


@pytest.mark.conformance("R-01", "R-02", "R-04", "R-05")
@pytest.mark.parametrize("name", [name for name in RESPONSES if name not in UNLIKE_OURS])
def test_a_response_of_our_shape_is_written_again_octet_for_octet(name: str) -> None:
    assert written_again(read(name)) == read(name)


@pytest.mark.conformance("R-01", "R-03", "R-04", "R-07", "A-01")
@pytest.mark.parametrize("name", UNLIKE_OURS)
def test_a_response_of_another_shape_is_not_one_that_we_write(name: str) -> None:
    try:
        ours = written_again(read(name))
    except (ValueError, AssertionError, UnsupportedAlgorithm):
        return
    assert ours != read(name)


def test_the_document_lists_the_same_differences_with_the_same_reasons() -> None:
    rows = re.findall(r"^\| `([^`|]+)` \| ([^|]+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    documented = sorted((name, text) for name, text in rows)
    reasons = [
        (name, one.reason) for table in TABLES for name, one in (table.we_read | table.we_refuse).items()
    ]
    listed = [(name, ", ".join(names)) for name, names in NAMES.items()]
    assert documented == sorted([*reasons, *listed, *UNLIKE_OURS.items()])
