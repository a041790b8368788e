"""CertIDs (RFC 6960 section 4.1.1): the view of one in a request, and the issuers they are compared to."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t

from _fastpath.der cimport Cursor


cdef enum:
    HASH_OTHER = 0
    HASH_SHA1 = 1
    HASH_SHA256 = 2

cdef enum:
    MAX_SERIAL_CONTENT = 32  # INTEGER content octets accepted in a request
    MAX_SERIAL = 20  # octets of a serial that we sign for (RFC 5280 section 4.1.2.2)


cdef struct CertIDView:
    # Borrowed from the request; valid as long as its bytes are held.
    int hash_algorithm
    Cursor name_hash
    Cursor key_hash
    Cursor serial  # minimal unsigned big-endian, at least one octet


@cython.final
cdef class CertID:
    cdef readonly int hash_algorithm
    cdef readonly bytes issuer_name_hash
    cdef readonly bytes issuer_key_hash
    cdef readonly bytes serial_number


@cython.final
cdef class IssuerID:
    cdef readonly bytes name  # DER
    cdef readonly bytes key_hash_sha1  # 20 octets
    cdef readonly bytes fingerprint  # SHA-256 name hash then key hash, 64 octets
    cdef bytes lookup_sha1  # SHA-1 name hash then key hash, 40 octets
    cdef uint8_t prefix_sha1[55]  # CertID content before the serial
    cdef uint8_t prefix_sha256[83]
    cdef uint32_t crc_seed  # CRC-32C over the fingerprint; record checksums go on from here

    cdef const uint8_t* cert_id_prefix(self, int hash_algorithm, Py_ssize_t* size) noexcept nogil


cdef int read_cert_id(Cursor* cursor, CertIDView* view) noexcept nogil
cdef CertID cert_id_of(const CertIDView* view)
cdef bint is_minimal_serial(bytes serial_number) noexcept
