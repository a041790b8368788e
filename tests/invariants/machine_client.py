"""What a client sees: questions over real connections, put in a form for the fast path or for the slow one."""

import base64
import http.client
import socket
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from tests.invariants.model import Said

__all__ = ["FORMS", "Client"]

FORMS = ("get", "post", "chunked")  # the last one is no request for the fast path
ALGORITHMS: tuple[hashes.HashAlgorithm, ...] = (hashes.SHA1(), hashes.SHA256())
TIMEOUT = 60.0
REASONS = {flag: number for number, flag in enumerate(  # RFC 5280 section 5.3.1
    ("unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
     "cessationOfOperation", "certificateHold", "", "removeFromCRL", "privilegeWithdrawn", "aACompromise")
)}  # fmt: skip


class _Connection(http.client.HTTPConnection):
    """Header and body of a POST leave at once, each by itself: nobody waits for an acknowledgement in between."""

    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Client:
    """Of one responder. Every answer is read and verified by cryptography, and is the one to what was asked."""

    def __init__(self, port: int, ca: x509.Certificate) -> None:
        self._connection = _Connection("127.0.0.1", port, timeout=TIMEOUT)
        self._ca = ca
        key = ca.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self._hashes = [(_digest(one, ca.subject.public_bytes()), _digest(one, key)) for one in ALGORITHMS]
        self._read: dict[tuple[bytes, int, bytes], Said] = {}
        self._signers: dict[x509.Certificate, ec.EllipticCurvePublicKey] = {}
        self._asked = 0

    def close(self) -> None:
        self._connection.close()

    def ask(self, serial: bytes) -> Said:
        """In another form than the last time."""
        self._asked += 1
        form, algorithm = FORMS[self._asked % len(FORMS)], self._asked // len(FORMS) % len(ALGORITHMS)
        body = self._send(form, self._request(serial, algorithm))
        key = (serial, algorithm, body)
        if key not in self._read:
            self._read[key] = self._said(serial, algorithm, body)
        return self._read[key]

    def crl(self, path: str) -> bytes | None:
        """What is served there now."""
        self._connection.request("GET", f"/{path}")
        response = self._connection.getresponse()
        body = response.read()
        return body if response.status == 200 else None

    def _request(self, serial: bytes, algorithm: int) -> bytes:
        name, key = self._hashes[algorithm]
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            name, key, int.from_bytes(serial), ALGORITHMS[algorithm]
        )
        return builder.build().public_bytes(serialization.Encoding.DER)

    def _send(self, form: str, request: bytes) -> bytes:
        if form == "get":
            self._connection.request("GET", "/" + quote(base64.b64encode(request), safe=""))
        elif form == "post":
            self._connection.request("POST", "/", request)
        else:
            self._connection.request("POST", "/", iter([request]), encode_chunked=True)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, f"A8: {form} was answered with {response.status}"
        return body

    def _said(self, serial: bytes, algorithm: int, body: bytes) -> Said:
        response = ocsp.load_der_ocsp_response(body)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            words = response.response_status.name.lower()
            return Said({"try_later": "tryLater"}.get(words, words))
        name, key = self._hashes[algorithm]
        asked = (ALGORITHMS[algorithm].name, name, key, int.from_bytes(serial))
        found = (
            response.hash_algorithm.name,
            response.issuer_name_hash,
            response.issuer_key_hash,
            response.serial_number,
        )
        assert found == asked, f"C1: {found} answered to {asked}"
        self._verify(response)
        revoked = response.certificate_status is ocsp.OCSPCertStatus.REVOKED
        assert revoked or response.certificate_status is ocsp.OCSPCertStatus.GOOD
        assert response.next_update_utc is not None
        return Said(
            "revoked" if revoked else "good",
            int(response.this_update_utc.timestamp()),
            int(response.next_update_utc.timestamp()),
            int(response.produced_at_utc.timestamp()),
            _revocation(response) if revoked else None,
        )

    def _verify(self, response: ocsp.OCSPResponse) -> None:
        signer = response.certificates[0]
        if signer not in self._signers:
            signer.verify_directly_issued_by(self._ca)
            key = signer.public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            self._signers[signer] = key
        self._signers[signer].verify(
            response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256())
        )


def _digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _revocation(response: ocsp.OCSPResponse) -> tuple[int, int]:
    assert response.revocation_time_utc is not None
    reason = response.revocation_reason
    return int(response.revocation_time_utc.timestamp()), REASONS[reason.value] if reason else 0
