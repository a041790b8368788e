"""A CA that signs CRLs with a software key, and entries for them."""

import datetime
import random
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.x509.name import _ASN1Type

from signer.crl.build import CrlEntry, CrlFields, CrlSigner

__all__ = ["ALGORITHMS", "NOW", "URL", "crl_fields", "make_authority", "revoked_entries"]

NOW = 1_790_000_000
URL = "http://c.example/crl/r1/0-0.crl"

SHA2: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}

# What each kind of key signs with: its AlgorithmIdentifier and its `sign` call.
ALGORITHMS = {
    "p256": "300a06082a8648ce3d040302",
    "p384": "300a06082a8648ce3d040303",
    "p521": "300a06082a8648ce3d040304",
    "rsa-sha256": "300d06092a864886f70d01010b0500",
    "rsa-sha384": "300d06092a864886f70d01010c0500",
    "rsa-sha512": "300d06092a864886f70d01010d0500",
    "pss-sha256": "304106092a864886f70d01010a3034a00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120",
    "ed25519": "300506032b6570",
    "mldsa44": "300b0609608648016503040311",
    "mldsa65": "300b0609608648016503040312",
    "mldsa87": "300b0609608648016503040313",
}


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """A software key as signer.crl.build asks for it."""

    signature_algorithm: bytes
    sign_der: Callable[[bytes], bytes]


def make_authority(
    algorithm: str = "p256",
    *,
    name: str = "CRL test CA",
    spelling: _ASN1Type = _ASN1Type.UTF8String,
    crl_sign: bool = True,
    key_identifier: bool = True,
) -> CrlSigner:
    key, sign = _key(algorithm)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name, spelling)] if name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime.fromtimestamp(NOW - 10**7, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(NOW + 10**9, datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(crl_sign), critical=True)
    )
    if key_identifier:
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
    certificate = builder.sign(
        key, hashes.SHA256() if isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)) else None
    )
    return CrlSigner(certificate, SoftwareKey(bytes.fromhex(ALGORITHMS[algorithm]), sign))


def _key_usage(crl_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


PlainKey = (
    ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | PlainKey


def _key(algorithm: str) -> tuple[Key, Callable[[bytes], bytes]]:
    if algorithm.startswith("p") and algorithm[1:].isdigit():
        curves = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
        digest = {"p256": SHA2["256"], "p384": SHA2["384"], "p521": SHA2["512"]}[algorithm]
        ec_key = ec.derive_private_key(0x1234567890ABCDEF, curves[algorithm])
        return ec_key, lambda data: ec_key.sign(data, ec.ECDSA(digest))
    if "-sha" in algorithm:
        scheme, _, bits = algorithm.partition("-sha")
        chosen = SHA2[bits]
        pad = padding.PSS(padding.MGF1(chosen), chosen.digest_size) if scheme == "pss" else padding.PKCS1v15()
        rsa_key = rsa.generate_private_key(65_537, 2_048)
        return rsa_key, lambda data: rsa_key.sign(data, pad, chosen)
    return _key_without_hash(algorithm)


def _key_without_hash(algorithm: str) -> tuple[Key, Callable[[bytes], bytes]]:
    kinds: dict[str, Callable[[], PlainKey]] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "mldsa44": mldsa.MLDSA44PrivateKey.generate,
        "mldsa65": mldsa.MLDSA65PrivateKey.generate,
        "mldsa87": mldsa.MLDSA87PrivateKey.generate,
    }
    key = kinds[algorithm]()
    return key, lambda data: key.sign(data)


def crl_fields(number: int = 1, *, this_update: int = NOW - 60, url: str | None = URL) -> CrlFields:
    return CrlFields(
        crl_number=number,
        this_update=this_update,
        next_update=this_update + 604_799,
        distribution_point_url=url,
    )


def revoked_entries(count: int) -> list[CrlEntry]:
    """In the ledger's order: serials as octets, ascending."""
    source = random.Random(count)
    serials = sorted({bytes([source.randrange(1, 128)]) + source.randbytes(15) for _ in range(count)})
    return [(serial, NOW - 1_000_000 + n, (0, 1, 3, 4, 5, 9)[n % 6]) for n, serial in enumerate(serials)]
