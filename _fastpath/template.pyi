from typing import final

@final
class Template:
    """What is the same in all responses of one signer. Immutable; numbered by the ledger, stored under its number.

    Raises ValueError for an algorithm outside A-01 or a size that does not go with it.
    """

    def __init__(
        self,
        *,
        signature_algorithm: bytes,  # DER AlgorithmIdentifier, one of A-01
        signature_size: int,  # octets of the raw signature in a record (ECDSA: r then s, both full width)
        responder_key_hash: bytes,  # 20 octets, SHA-1 of the signer's public key bits
        certificates: bytes,  # DER of the responder certificate, b"" for none
        validity: int,  # seconds, nextUpdate - thisUpdate unless clamped
    ) -> None: ...
    @property
    def signature_algorithm(self) -> bytes: ...
    @property
    def signature_size(self) -> int: ...
    @property
    def is_ecdsa(self) -> bool: ...
    @property
    def responder_key_hash(self) -> bytes: ...
    @property
    def certificates(self) -> bytes: ...
    @property
    def validity(self) -> int: ...
    def encode(self) -> bytes:
        """DER, readable with `openssl asn1parse`; starts with a format number."""
    @staticmethod
    def decode(data: bytes) -> Template:
        """Raises RecordDamaged, or UnknownFormat for a format or an algorithm of another release."""
