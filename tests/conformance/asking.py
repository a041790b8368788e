"""Asking a running responder as clients do, about certificates of a corpus issuer."""

import base64
import hashlib
import http.client
from typing import Any
from urllib.parse import quote

from asn1crypto import core
from asn1crypto import ocsp as asn1

from tests.conformance.corpus import Issuer
from tests.conformance.signatures import key_bits, name_octets

__all__ = ["KeptClient", "cert_id", "request_of"]


class KeptClient:
    """One kept connection; GET and POST in turn."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._asked = 0

    def fetch(self, method: str, path: str, body: bytes | None = None) -> tuple[bytes, dict[str, str]]:
        """The content of a 200 answer, and its header fields by lower-case name."""
        headers = {"Content-Type": "application/ocsp-request"} if body else {}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200
        return content, {name.lower(): value for name, value in answer.getheaders()}

    def ask(self, request: bytes) -> tuple[bytes, dict[str, str]]:
        self._asked += 1
        if self._asked % 2:
            return self.fetch("GET", "/" + quote(base64.b64encode(request), safe=""))
        return self.fetch("POST", "/", request)

    def close(self) -> None:
        self._connection.close()


def cert_id(issuer: Issuer, serial: int, digest: str) -> Any:
    """asn1crypto's CertId, as a client makes it of the CA certificate."""
    return asn1.CertId(
        {
            "hash_algorithm": {"algorithm": digest, "parameters": core.Null()},
            "issuer_name_hash": hashlib.new(digest, name_octets(issuer.certificate)).digest(),
            "issuer_key_hash": hashlib.new(digest, key_bits(issuer.certificate)).digest(),
            "serial_number": serial,
        }
    )


def request_of(asked: Any) -> bytes:
    """DER of an OCSPRequest with one CertId and nothing else."""
    request = {"tbs_request": {"request_list": [{"req_cert": asked}]}}
    return bytes(asn1.OCSPRequest(request).dump())
