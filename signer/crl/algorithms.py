"""Which AlgorithmIdentifier a CRL of a given key may carry, octet for octet (A-01 to A-03), and its verification."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

__all__ = ["allowed_algorithms", "verify"]

# The curve fixes the hash (BR 7.1.3.2.2).
ECDSA: dict[str, str] = {
    "secp256r1": "300a06082a8648ce3d040302",
    "secp384r1": "300a06082a8648ce3d040303",
    "secp521r1": "300a06082a8648ce3d040304",
}
PKCS1 = tuple(f"300d06092a864886f70d0101{hash_octet}0500" for hash_octet in ("0b", "0c", "0d"))
# RSASSA-PSS in the only encodings of BR 7.1.3.2.1: MGF-1 with the same hash, salt as long as the hash.
PSS = tuple(
    "304106092a864886f70d01010a3034"
    f"a00f300d06096086480165030402{hash_octet}0500"
    f"a11c301a06092a864886f70d010108300d06096086480165030402{hash_octet}0500"
    f"a2030201{salt_octet}"
    for hash_octet, salt_octet in (("01", "20"), ("02", "30"), ("03", "40"))
)
# For private CAs: RFC 8410 and RFC 9881, parameters absent.
KEYS_WITHOUT_HASH = (
    ed25519.Ed25519PublicKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)
WITHOUT_HASH = (
    "300506032b6570",
    "300b0609608648016503040311",
    "300b0609608648016503040312",
    "300b0609608648016503040313",
)


def allowed_algorithms(public_key: CertificatePublicKeyTypes) -> frozenset[bytes]:
    """DER AlgorithmIdentifiers that signatures of this key may name; none for a key outside A-01 to A-03."""
    if isinstance(public_key, rsa.RSAPublicKey):
        names: tuple[str, ...] = PKCS1 + PSS
    elif isinstance(public_key, ec.EllipticCurvePublicKey):
        names = (ECDSA[public_key.curve.name],) if public_key.curve.name in ECDSA else ()
    else:
        kinds = zip(KEYS_WITHOUT_HASH, WITHOUT_HASH, strict=True)
        names = tuple(name for kind, name in kinds if isinstance(public_key, kind))
    return frozenset(bytes.fromhex(name) for name in names)


def verify(
    crl: x509.CertificateRevocationList,
    public_key: CertificatePublicKeyTypes,
    signature: bytes,
    data: bytes,
) -> None:
    """Verify as the algorithm named in `crl` says. Raises InvalidSignature, also when the key is of another kind."""
    parameters = crl.signature_algorithm_parameters
    hash_algorithm = crl.signature_hash_algorithm
    if isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
        public_key.verify(signature, data, parameters)
    elif (
        isinstance(public_key, rsa.RSAPublicKey)
        and isinstance(parameters, (padding.PKCS1v15, padding.PSS))
        and hash_algorithm is not None
    ):
        public_key.verify(signature, data, parameters, hash_algorithm)
    elif isinstance(public_key, KEYS_WITHOUT_HASH) and parameters is None:
        public_key.verify(signature, data)
    else:
        raise InvalidSignature
