"""Asking a responder for OCSPResponses, by GET and by POST."""

from _fastpath import der
from _fastpath.certid import IssuerID
from store.asking import RESPONSE_TYPE, Answer, Asker, AskFailed

__all__ = ["AskFailed", "Client", "encode_request"]

SEQUENCE = 0x30


def encode_request(issuer: IssuerID, hash_algorithm: int, serial: bytes) -> bytes:
    """An OCSPRequest for one certificate and with nothing else."""
    request = der.encode(SEQUENCE, issuer.encode_cert_id(hash_algorithm, serial))
    return der.encode(SEQUENCE, der.encode(SEQUENCE, der.encode(SEQUENCE, request)))


class Client:
    """For one base URL, as certificates name it. Raises UsageError for what is none."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._asker = Asker(url)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._asker.close()

    def get(self, request: bytes) -> bytes:
        """The OCSPResponse. Raises AskFailed, also for what is none by its HTTP status or Content-Type."""
        return _response("GET", self._asker.get(request))

    def post(self, request: bytes) -> bytes:
        """The same by POST."""
        return _response("POST", self._asker.post(request))


def _response(method: str, answer: Answer) -> bytes:
    kind = answer.headers.get("content-type")
    if answer.status != 200 or kind != RESPONSE_TYPE:
        raise AskFailed(f"{method}: status {answer.status}, {kind}")
    return answer.body
