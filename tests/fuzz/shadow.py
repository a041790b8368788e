"""What `ocsp-responder shadow` replays, and what it makes of answers of any responder."""

import base64
import gzip
from pathlib import Path

from _fastpath.request import parse_request
from responder.shadow.answers import outcome_of, read_answer
from responder.shadow.recorded import Corpus
from store.asking import RESPONSE_TYPE, Answer
from store.errors import UsageError
from tests.fuzz.crls import offline, response_of, signed_responses
from tests.fuzz.target import scratch, written
from tests.store.offline import NOW

__all__ = ["check_answer", "check_recorded", "recorded", "seen_answers"]

VECTORS = Path(__file__).parents[1] / "vectors"
REQUEST = (VECTORS / "ocsp" / "req-sha1.der").read_bytes()
NAMES = ("log", "log.gz", "der/one.der")


def recorded() -> list[bytes]:
    """The first octet says in which form."""
    encoded = base64.b64encode(REQUEST)
    lines = [
        encoded,
        b"/" + encoded,
        b"# remark",
        b'127.0.0.1 - - "GET /ocsp/%b HTTP/1.1" 200 5' % encoded,
        b'"POST / HTTP/1.1"',
        b'"GET http://x/%b?y HTTP/1.1"' % encoded,
        b"Mx",
    ]
    return [b"\0" + b"\n".join(lines), b"\1" + gzip.compress(b"\n".join(lines)), b"\2" + REQUEST]


def check_recorded(data: bytes) -> None:
    """One item for each line; what has CertIDs has them by the reader of requests too."""
    if not data:
        return
    (scratch() / "der").mkdir(exist_ok=True)
    path = written(data[1:], NAMES[data[0] % 3])
    corpus = Corpus((path.parent if data[0] % 3 == 2 else path,), prefix="/ocsp", odd=bool(data[0] & 8))
    try:
        found = list(corpus)
    except UsageError:
        assert data[0] % 3 == 1, "a file that is not packed"
        return
    if data[0] % 3 == 0:
        lines = data[1:].split(b"\n")
        assert len(found) == corpus.size() == len(lines) - (not lines[-1])
    for one in found:
        if one is not None and one.octets is not None:
            assert len(one.cert_ids) == len(parse_request(one.octets).cert_ids) > 0


def seen_answers() -> list[bytes]:
    return [*signed_responses(), bytes.fromhex("0030030a0106")]


def check_answer(data: bytes) -> None:
    """Whatever it is, it is read as far as it can be; what is signed for the CA is found to be."""
    body = response_of(data) or data[1:]
    issuers = [offline().issuer]
    headers = {"content-type": RESPONSE_TYPE, "cache-control": data[:64].decode("latin-1")}
    reading = read_answer(Answer(200, headers, body), parse_request(REQUEST).cert_ids, issuers, NOW)
    assert outcome_of(reading)
