"""A CA with a delegated responder, and what it puts into a store: made by hand from the codec, without the signer."""

import dataclasses
import datetime
import time

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from _fastpath.certid import SHA1, SHA256, IssuerID, serial_from_int
from _fastpath.ocsp import SingleResponse, encode_tbs_response_data, signature_to_raw
from _fastpath.page import HEADER_FIELD, encode_record, page_number
from _fastpath.template import Template
from store.model import Issuer, public_key_bits, subject_name
from store.reader import StoreReader
from store.schema import Head, IssuerRecord, page_key
from store.writer import PagePut, PageWriter, PutStatus

NOW = int(time.time())
VALIDITY = 345_599
THIS_UPDATE = NOW - 3600
DER = serialization.Encoding.DER
P256_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
PAGE_BITS = 2
TEMPLATE_NUMBER = 7
SLOT = 3


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    extensions: list[tuple[x509.ExtensionType, bool]],
    days: int = 365,
) -> x509.Certificate:
    start = datetime.datetime.fromtimestamp(NOW - 86400, datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]),
        subject_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=start,
        not_valid_after=start + datetime.timedelta(days=days),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256())


@dataclasses.dataclass
class CA:
    """One CA: its issuer, the responder certificate that it issued, and the template that both make."""

    name: str
    subject: str = "Responder test CA"
    key: ec.EllipticCurvePrivateKey = dataclasses.field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    days: int = 365  # from yesterday on

    def __post_init__(self) -> None:
        self.certificate = _certificate(
            self.subject,
            self.key,
            self.subject,
            self.key,
            [(x509.BasicConstraints(True, None), True)],
            self.days,
        )
        identity = IssuerID(subject_name(self.certificate), public_key_bits(self.certificate))
        self.issuer = Issuer(self.name, self.certificate, identity)
        self.responder_key = ec.generate_private_key(ec.SECP256R1())
        self.responder_certificate = self.delegate(self.responder_key)
        self.template = template_of(self.responder_certificate)

    def delegate(
        self, key: ec.EllipticCurvePrivateKey, *, for_ocsp: bool = True, days: int = 365
    ) -> x509.Certificate:
        usage = ExtendedKeyUsageOID.OCSP_SIGNING if for_ocsp else ExtendedKeyUsageOID.SERVER_AUTH
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.ExtendedKeyUsage([usage]), False),
            (x509.OCSPNoCheck(), False),
        ]
        return _certificate("Responder", key, self.subject, self.key, extensions, days)

    def subscriber(self, serial: int) -> x509.Certificate:
        """A certificate to ask about with tools that want one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "subscriber.test")])
        start = datetime.datetime.fromtimestamp(NOW - 86400, datetime.UTC)
        return x509.CertificateBuilder(
            issuer_name=self.certificate.subject,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=serial,
            not_valid_before=start,
            not_valid_after=start + datetime.timedelta(days=90),
        ).sign(self.key, hashes.SHA256())

    def record(self, response: SingleResponse, algorithms: tuple[int, ...] = (SHA1, SHA256)) -> bytes:
        return encode_record(
            self.issuer.id,
            self.template,
            SLOT,
            response,
            self._signature(response, SHA1) if SHA1 in algorithms else None,
            self._signature(response, SHA256) if SHA256 in algorithms else None,
        )

    def _signature(self, response: SingleResponse, algorithm: int) -> bytes:
        tbs = encode_tbs_response_data(self.template, self.issuer.id, algorithm, response)
        return signature_to_raw(self.template, self.responder_key.sign(tbs, ec.ECDSA(hashes.SHA256())))

    def request(self, serial: int, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
        """DER of an OCSPRequest, as cryptography makes it."""
        certificate = self.subscriber(serial)
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            certificate, self.certificate, algorithm or hashes.SHA1()
        )
        return builder.build().public_bytes(DER)


def template_of(
    certificate: x509.Certificate, *, embed: bool = True, key_hash: bytes | None = None
) -> Template:
    signer = IssuerID(subject_name(certificate), public_key_bits(certificate))
    return Template(
        signature_algorithm=P256_SHA256,
        signature_size=64,
        responder_key_hash=signer.key_hash_sha1 if key_hash is None else key_hash,
        certificates=certificate.public_bytes(DER) if embed else b"",
        validity=VALIDITY,
    )


def good(
    serial: int,
    *,
    this_update: int = THIS_UPDATE,
    produced_at: int | None = None,
    next_update: int | None = None,
) -> SingleResponse:
    return SingleResponse(
        serial_from_int(serial),
        this_update=this_update,
        produced_at=this_update + 2 if produced_at is None else produced_at,
        next_update=this_update + VALIDITY if next_update is None else next_update,
    )


def revoked(serial: int) -> SingleResponse:
    return SingleResponse(
        serial_from_int(serial),
        this_update=THIS_UPDATE,
        produced_at=THIS_UPDATE + 2,
        next_update=THIS_UPDATE + VALIDITY,
        revocation_time=NOW - 7200,
        reason=1,
    )


@dataclasses.dataclass
class Shelf:
    """The pages of one CA in a store."""

    ca: CA
    client: redis.Redis
    template_number: int = TEMPLATE_NUMBER
    page_epoch: int = 1
    algorithms: tuple[int, ...] = (SHA1, SHA256)
    generation: int = 0
    records: dict[bytes, bytes] = dataclasses.field(default_factory=dict)

    def key_of(self, serial: int) -> bytes:
        return page_key(self.ca.name, self.page_epoch, page_number(serial_from_int(serial), PAGE_BITS))

    def header_of(self, serial: int) -> bytes:
        """The header of a serial's page as it is stored."""
        value = self.client.hget(self.key_of(serial), HEADER_FIELD)
        assert isinstance(value, bytes)
        return value

    def put(self, *responses: SingleResponse) -> None:
        """Sign and publish, with all that is there already."""
        for response in responses:
            self.records[response.serial_number] = self.ca.record(response, self.algorithms)
        self.publish()

    def publish(self) -> None:
        """Write issuer record, template and every page, also the empty ones."""
        self.generation += 1
        writer = PageWriter(self.client, "test")
        writer.write_template(self.template_number, self.ca.template.encode())
        pages: dict[int, dict[bytes, bytes]] = {number: {} for number in range(1 << PAGE_BITS)}
        for serial, record in self.records.items():
            pages[page_number(serial, PAGE_BITS)][serial] = record
        results = writer.put_pages(
            PagePut(page_key(self.ca.name, self.page_epoch, number), self.generation, THIS_UPDATE, records)
            for number, records in pages.items()
        )
        assert {result.status for result in results} == {PutStatus.WRITTEN}
        writer.write_issuer(self.ca.name, self.issuer_record())
        self.write_head()

    def write_head(self) -> None:
        """As a signer that has reconciled this store."""
        replication_id = StoreReader(self.client, "test").replication_id()
        PageWriter(self.client, "test").write_head(self.ca.name, Head(self.generation, replication_id))

    def issuer_record(self) -> IssuerRecord:
        return IssuerRecord(
            fingerprint=self.ca.issuer.id.fingerprint,
            page_epoch=self.page_epoch,
            page_bits=PAGE_BITS,
            certid_algorithms=self.algorithms,
            templates={SLOT: self.template_number},
        )
