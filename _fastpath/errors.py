"""What the codec raises: one root, one class for each way in which outside bytes can be wrong."""

__all__ = ["FastpathError", "MalformedDer", "MalformedRequest", "RecordDamaged", "UnknownFormat"]


class FastpathError(ValueError):
    """Root of every error that `_fastpath` raises about the bytes it was given."""


class MalformedDer(FastpathError):
    """Bytes that are not the DER they should be."""


class MalformedRequest(FastpathError):
    """Bytes that are not an OCSPRequest; the answer is `malformedRequest` (RFC 6960 section 2.3)."""


class RecordDamaged(FastpathError):
    """A stored record whose length, checksum or content is not that of the certificate asked for. Never served."""


class UnknownFormat(FastpathError):
    """A stored record, header or template of a format this release does not read. Never served."""
