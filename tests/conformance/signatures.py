"""Which signatures a key may make (A-01, A-02), and whether one holds: cryptography's word, not the project's."""

from collections.abc import Iterator

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

__all__ = ["ALLOWED", "SHA1_SIGNATURES", "key_bits", "name_octets", "raw_signature", "verifies"]

Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

# By kind of key: AlgorithmIdentifier octets (BR 7.1.3.2) and the hash they name. The curve fixes the hash.
RSA: dict[str, Hash] = {
    "300d06092a864886f70d01010b0500": hashes.SHA256(),
    "300d06092a864886f70d01010c0500": hashes.SHA384(),
    "300d06092a864886f70d01010d0500": hashes.SHA512(),
}
ALLOWED: dict[str, dict[str, Hash]] = {
    "secp256r1": {"300a06082a8648ce3d040302": hashes.SHA256()},
    "secp384r1": {"300a06082a8648ce3d040303": hashes.SHA384()},
    "secp521r1": {"300a06082a8648ce3d040304": hashes.SHA512()},
    "rsa": RSA,
}
SHA1_SIGNATURES = {"1.2.840.113549.1.1.5", "1.2.840.10045.4.1", "1.3.14.3.2.29"}


def key_bits(certificate: x509.Certificate) -> bytes:
    """Content of the subjectPublicKey BIT STRING without its unused-bits octet."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def name_octets(certificate: x509.Certificate) -> bytes:
    """The subject as it stands in the certificate."""
    read = asn1.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))
    return bytes(read["tbs_certificate"]["subject"].dump())


def raw_signature(certificate: x509.Certificate, signature: bytes) -> bytes:
    """r then s for ECDSA, each as wide as the curve's field; RSA as it is."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return signature
    assert isinstance(key, ec.EllipticCurvePublicKey)
    width = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(signature)
    return r.to_bytes(width) + s.to_bytes(width)


def verifies(signer: x509.Certificate, algorithm: bytes, signature: bytes, data: bytes) -> Iterator[str]:
    """What is wrong with a signature: its name, or that it does not hold."""
    key = signer.public_key()
    kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else "rsa"
    chosen = ALLOWED.get(kind, {}).get(algorithm.hex())
    if chosen is None:
        yield f"AlgorithmIdentifier {algorithm.hex()} for a key of kind {kind}"
        return
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(chosen))
        else:
            assert isinstance(key, rsa.RSAPublicKey)
            key.verify(signature, data, padding.PKCS1v15(), chosen)
    except InvalidSignature:
        yield "the signature does not hold"
