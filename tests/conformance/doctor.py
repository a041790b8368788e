"""Good objects of the project's own making, and the means to spoil them and sign them again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asn1crypto import core
from asn1crypto import crl as asn1_crl
from asn1crypto import ocsp as asn1_ocsp
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from _fastpath.answer import assemble
from _fastpath.certid import SHA1
from _fastpath.der import encode
from _fastpath.page import hash32
from _fastpath.template import Template
from signer.crl.build import CrlFields, CrlSigner, build_shard
from signer.keys.file import load_key
from signer.ledger.values import CertificateRow, StoredTemplate
from signer.ocsp.responses import ResponseSigner
from store.model import load_issuer
from tests.conformance.assertions import Expected, OcspAnswer
from tests.conformance.corpus import Issuer, make_issuer
from tests.conformance.crl_assertions import CrlAnswer
from tests.conformance.signatures import key_bits

__all__ = ["NUMBER", "Basic", "Ward", "generalized", "make_ward"]

DAY = 86_400
NUMBER = 258  # of the template: two octets in the entity tag
SERIALS = (b"\x01", b"\x7f\x02", b"\xf3" * 19)
DER = serialization.Encoding.DER


@dataclass
class Basic:
    """The parts of a BasicOCSPResponse, each as DER."""

    data: bytes
    algorithm: bytes
    signature: bytes
    certificates: bytes | None  # the whole SEQUENCE OF Certificate

    @property
    def body(self) -> bytes:
        bits = encode(0x03, b"\0" + self.signature)
        parts = self.data + self.algorithm + bits
        if self.certificates is not None:
            parts += encode(0xA0, self.certificates)
        octets = encode(0x04, encode(0x30, parts))
        basic_type = bytes.fromhex("06092b0601050507300101")
        return encode(0x30, b"\x0a\x01\x00" + encode(0xA0, encode(0x30, basic_type + octets)))


@dataclass(frozen=True)
class Ward:
    """One P-256 issuer with a delegated responder, and a moment at which everything is signed."""

    issuer: Issuer
    now: int

    def key(self, name: str) -> ec.EllipticCurvePrivateKey:
        pem = (self.issuer.directory / f"{name}.key").read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def expected(self, **changes: Any) -> Expected:
        fields = {"serial": 0x8001, "not_after": self.now + 90 * DAY} | changes
        return Expected(**fields)

    def body(self, expected: Expected) -> bytes:
        """What the signer makes of it and the responder would send, for a SHA-1 CertID."""
        key = load_key(self.issuer.directory / "responder.key")
        template = Template(
            signature_algorithm=key.signature_algorithm,
            signature_size=key.signature_size,
            responder_key_hash=hashlib.sha1(key_bits(self.issuer.responder)).digest(),
            certificates=self.issuer.responder.public_bytes(DER),
            validity=4 * DAY - 1,
        )
        issuer = load_issuer("p256", self.issuer.directory / "ca.pem")
        stored = StoredTemplate(NUMBER, 0, template.encode())
        signer = ResponseSigner(issuer, stored, key, (SHA1,), self.now + 59 * DAY)
        serial = expected.serial.to_bytes((expected.serial.bit_length() + 7) // 8)
        row = CertificateRow(
            hash32(serial), serial, expected.not_after, expected.revocation_time, expected.reason
        )
        answer = assemble(
            template, NUMBER, issuer.id, SHA1, serial, signer.record(row, self.now, self.now + 2), 0, 1 << 40
        )
        assert answer is not None
        return answer.body

    def answer(self, body: bytes, expected: Expected, *, now: int | None = None) -> OcspAnswer:
        """Asked for with the CertID that the good response has."""
        good = asn1_ocsp.OCSPResponse.load(self.body(expected)).basic_ocsp_response
        asked = good["tbs_response_data"]["responses"][0]["cert_id"].dump()
        return OcspAnswer(body, asked, self.issuer.certificate, expected, now or self.now + 3)

    def parts(self, body: bytes) -> Basic:
        basic = asn1_ocsp.OCSPResponse.load(body).basic_ocsp_response
        certificates = basic["certs"].untag().dump()
        data = basic["tbs_response_data"].dump()
        return Basic(data, basic["signature_algorithm"].dump(), bytes(basic["signature"]), certificates)

    def doctored(self, body: bytes, change: Callable[[Any], None]) -> bytes:
        """With its ResponseData (asn1crypto's) changed, and signed again."""
        parts = self.parts(body)
        data = asn1_ocsp.ResponseData.load(parts.data)
        change(data)
        parts.data = data.dump(force=True)
        return self.signed(parts).body

    def signed(self, parts: Basic, key: str = "responder") -> Basic:
        parts.signature = self.key(key).sign(parts.data, ec.ECDSA(hashes.SHA256()))
        return parts

    def crl_body(self, entries: list[tuple[bytes, int, int]] | None = None) -> bytes:
        """Shard 0 with three entries, or those given."""
        if entries is None:
            entries = [
                (serial, self.now - 60, reason) for serial, reason in zip(SERIALS, (0, 1, 9), strict=True)
            ]
        signer = CrlSigner(self.issuer.certificate, load_key(self.issuer.directory / "ca.key"))
        fields = CrlFields(
            crl_number=7,
            this_update=self.now,
            next_update=self.now + 7 * DAY - 1,
            distribution_point_url=self.issuer.urls[0],
        )
        return build_shard(signer, fields, entries)

    def crl(self, body: bytes) -> CrlAnswer:
        return CrlAnswer(body, self.issuer.urls[0], self.issuer.certificate, self.now + 3)

    def doctored_crl(self, body: bytes, change: Callable[[Any], None]) -> bytes:
        """With the whole CertificateList (asn1crypto's) changed, and its list signed again."""
        crl = asn1_crl.CertificateList.load(body)
        change(crl)
        data = crl["tbs_cert_list"].dump(force=True)
        crl["signature"] = self.key("ca").sign(data, ec.ECDSA(hashes.SHA256()))
        return bytes(crl.dump(force=True))


def generalized(seconds: int) -> Any:
    """A GeneralizedTime in whole seconds."""
    return core.GeneralizedTime(datetime.fromtimestamp(seconds, UTC))


def make_ward(directory: Path, now: int) -> Ward:
    return Ward(make_issuer("p256", directory, "c.example"), now)
