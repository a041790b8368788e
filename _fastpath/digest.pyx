"""SHA-256 of many strings: hashlib makes an object for each, which costs more than the digest."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t


cdef extern from "sha256.h":
    enum: OCSPEED_SHA256_SIZE
    void ocspeed_sha256_init()
    void ocspeed_sha256(const uint8_t* data, size_t size, uint8_t* digest) noexcept nogil


ocspeed_sha256_init()


def sha256_each(data not None):
    """The digests of `data`, in their order."""
    cdef bytes octets, digest
    cdef list digests = []
    for octets in data:
        if octets is None:
            raise TypeError("what is hashed is bytes")
        digest = PyBytes_FromStringAndSize(NULL, OCSPEED_SHA256_SIZE)
        ocspeed_sha256(
            <const uint8_t*>PyBytes_AS_STRING(octets),
            <size_t>PyBytes_GET_SIZE(octets),
            <uint8_t*>PyBytes_AS_STRING(digest),
        )
        digests.append(digest)
    return digests
