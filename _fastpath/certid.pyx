"""CertIDs (RFC 6960 section 4.1.1) and the issuers they name.

Reads the CertID of a request as strict DER, except for the serial, which is INTEGER content of 1 to 32 octets
taken as unsigned (Q-10). A hash algorithm other than SHA-1 and SHA-256 is not an error but `OTHER` (Q-05).
Views borrow from the request; the objects own their bytes.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.string cimport memcmp

import hashlib

from _fastpath.der cimport (
    DER_BAD_VALUE,
    DER_OK,
    INTEGER,
    NULL_TAG,
    OCTET_STRING,
    SEQUENCE,
    at_end,
    put_bytes,
    put_header,
    put_unsigned,
    read_expected,
    read_oid,
    read_tlv,
    strip_zeros,
    tlv_size,
    unsigned_size,
)


cdef extern from "crc32c.h" nogil:
    void ocspeed_crc32c_init()
    uint32_t ocspeed_crc32c(uint32_t state, const uint8_t* data, size_t size)


ocspeed_crc32c_init()

OTHER = HASH_OTHER
SHA1 = HASH_SHA1
SHA256 = HASH_SHA256

# AlgorithmIdentifiers of our CertIDs: parameters NULL, which a request may also leave out (RFC 5754).
cdef bytes SHA1_ALGORITHM = bytes.fromhex("300906052b0e03021a0500")
cdef bytes SHA256_ALGORITHM = bytes.fromhex("300d06096086480165030402010500")

cdef enum:
    SHA1_SIZE = 20
    SHA256_SIZE = 32


@cython.final
cdef class CertID:
    """One CertID of a request."""

    def __init__(self):
        raise TypeError("a CertID comes from parse_request")


@cython.final
cdef class IssuerID:
    """An issuer's Name and public key, hashed once in every way in which a CertID or a record needs them."""

    def __cinit__(self, bytes name not None, bytes public_key_bits not None):
        cdef bytes name_sha1 = hashlib.sha1(name, usedforsecurity=False).digest()
        cdef bytes name_sha256 = hashlib.sha256(name).digest()
        cdef bytes key_sha256 = hashlib.sha256(public_key_bits).digest()
        self.name = name
        self.key_hash_sha1 = hashlib.sha1(public_key_bits, usedforsecurity=False).digest()
        self.lookup_sha1 = name_sha1 + self.key_hash_sha1
        self.fingerprint = name_sha256 + key_sha256
        put_prefix(self.prefix_sha1, SHA1_ALGORITHM, name_sha1, self.key_hash_sha1)
        put_prefix(self.prefix_sha256, SHA256_ALGORITHM, name_sha256, key_sha256)
        self.crc_seed = ocspeed_crc32c(
            0, <const uint8_t*>PyBytes_AS_STRING(self.fingerprint), PyBytes_GET_SIZE(self.fingerprint)
        )

    def matches(self, CertID cert_id not None):
        """Whether name hash and key hash of the CertID are both this issuer's (Q-04)."""
        if cert_id.hash_algorithm == HASH_OTHER:
            return False
        return cert_id.issuer_name_hash + cert_id.issuer_key_hash == self.lookup_key(cert_id.hash_algorithm)

    def lookup_key(self, int hash_algorithm):
        """Name hash then key hash. Raises ValueError for a hash algorithm other than SHA1 and SHA256."""
        if hash_algorithm == HASH_SHA1:
            return self.lookup_sha1
        if hash_algorithm == HASH_SHA256:
            return self.fingerprint
        raise ValueError(f"no CertID hash algorithm {hash_algorithm}")

    def encode_cert_id(self, int hash_algorithm, bytes serial_number not None):
        """DER CertID with NULL parameters. Raises ValueError as `lookup_key`, or for a serial not minimal."""
        cdef Py_ssize_t prefix_size = 0
        cdef const uint8_t* prefix = self.cert_id_prefix(hash_algorithm, &prefix_size)
        cdef const uint8_t* serial = <const uint8_t*>PyBytes_AS_STRING(serial_number)
        cdef Py_ssize_t serial_size = PyBytes_GET_SIZE(serial_number)
        if prefix == NULL:
            raise ValueError(f"no CertID hash algorithm {hash_algorithm}")
        if not is_minimal_serial(serial_number):
            raise ValueError("a serial number is 1 to 20 octets without leading zeros")
        cdef Py_ssize_t content = prefix_size + unsigned_size(serial, serial_size)
        cdef bytes result = PyBytes_FromStringAndSize(NULL, tlv_size(content))
        cdef uint8_t* out = put_header(<uint8_t*>PyBytes_AS_STRING(result), SEQUENCE, content)
        put_unsigned(put_bytes(out, prefix, prefix_size), serial, serial_size)
        return result

    cdef const uint8_t* cert_id_prefix(self, int hash_algorithm, Py_ssize_t* size) noexcept nogil:
        """CertID content up to the serial, or NULL for another algorithm; lives as long as the issuer."""
        if hash_algorithm == HASH_SHA1:
            size[0] = sizeof(self.prefix_sha1)
            return self.prefix_sha1
        if hash_algorithm == HASH_SHA256:
            size[0] = sizeof(self.prefix_sha256)
            return self.prefix_sha256
        size[0] = 0
        return NULL


cdef uint8_t* put_prefix(uint8_t* out, bytes algorithm, bytes name_hash, bytes key_hash) noexcept:
    out = put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(algorithm), PyBytes_GET_SIZE(algorithm))
    out = put_header(out, OCTET_STRING, PyBytes_GET_SIZE(name_hash))
    out = put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(name_hash), PyBytes_GET_SIZE(name_hash))
    out = put_header(out, OCTET_STRING, PyBytes_GET_SIZE(key_hash))
    return put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(key_hash), PyBytes_GET_SIZE(key_hash))


cdef inline bint is_oid(const Cursor* oid, const char* octets, Py_ssize_t size) noexcept nogil:
    return oid.left == size and memcmp(oid.pos, octets, <size_t>size) == 0


cdef int read_hash_algorithm(Cursor* cursor, int* hash_algorithm) noexcept nogil:
    """AlgorithmIdentifier of a CertID: known only with NULL or absent parameters (RFC 5754 section 2)."""
    cdef Cursor fields, oid, parameters
    cdef uint8_t tag = 0
    cdef int status = read_expected(cursor, SEQUENCE, &fields)
    if status == DER_OK:
        status = read_oid(&fields, &oid)
    if status != DER_OK:
        return status
    hash_algorithm[0] = HASH_OTHER
    if is_oid(&oid, b"\x2b\x0e\x03\x02\x1a", 5):
        hash_algorithm[0] = HASH_SHA1
    elif is_oid(&oid, b"\x60\x86\x48\x01\x65\x03\x04\x02\x01", 9):
        hash_algorithm[0] = HASH_SHA256
    if fields.left == 0:
        return DER_OK
    status = read_tlv(&fields, &tag, &parameters)
    if status != DER_OK:
        return status
    if tag != NULL_TAG or parameters.left != 0:
        hash_algorithm[0] = HASH_OTHER
    return at_end(&fields)


cdef int read_serial(Cursor* cursor, Cursor* serial) noexcept nogil:
    """INTEGER content as its unsigned value, minimal: old clients leave out or add a leading zero (Q-10)."""
    cdef int status = read_expected(cursor, INTEGER, serial)
    if status != DER_OK:
        return status
    if serial.left == 0 or serial.left > MAX_SERIAL_CONTENT:
        return DER_BAD_VALUE
    strip_zeros(serial)
    return DER_OK


cdef int read_cert_id(Cursor* cursor, CertIDView* view) noexcept nogil:
    """Take one CertID off `cursor`."""
    cdef Cursor fields
    cdef Py_ssize_t hash_size
    cdef int status = read_expected(cursor, SEQUENCE, &fields)
    if status == DER_OK:
        status = read_hash_algorithm(&fields, &view.hash_algorithm)
    if status == DER_OK:
        status = read_expected(&fields, OCTET_STRING, &view.name_hash)
    if status == DER_OK:
        status = read_expected(&fields, OCTET_STRING, &view.key_hash)
    if status == DER_OK:
        status = read_serial(&fields, &view.serial)
    if status == DER_OK:
        status = at_end(&fields)
    if status == DER_OK and view.hash_algorithm != HASH_OTHER:
        hash_size = SHA1_SIZE if view.hash_algorithm == HASH_SHA1 else SHA256_SIZE
        if view.name_hash.left != hash_size or view.key_hash.left != hash_size:
            view.hash_algorithm = HASH_OTHER
    return status


cdef CertID cert_id_of(const CertIDView* view):
    """The object for a view, with its own copy of the octets."""
    cdef CertID cert_id = CertID.__new__(CertID)
    cert_id.hash_algorithm = view.hash_algorithm
    cert_id.issuer_name_hash = view.name_hash.pos[:view.name_hash.left]
    cert_id.issuer_key_hash = view.key_hash.pos[:view.key_hash.left]
    cert_id.serial_number = view.serial.pos[:view.serial.left]
    return cert_id


cdef bint is_minimal_serial(bytes serial_number) noexcept:
    """Whether these are the octets of a serial that we sign for: 1 to 20, no leading zero."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(serial_number)
    return 0 < size <= MAX_SERIAL and (size == 1 or PyBytes_AS_STRING(serial_number)[0] != 0)


def minimal_serial(bytes value not None):
    """Minimal unsigned big-endian form of any unsigned octets; `b"\\0"` for zero or nothing."""
    return value.lstrip(b"\0") or b"\0"


def serial_from_int(value):
    """Minimal unsigned big-endian form. Raises ValueError for a negative value or one above 20 octets."""
    if value < 0 or value >> (8 * MAX_SERIAL):
        raise ValueError(f"{value} is not a serial number: it has to be 0 to 2^160 - 1")
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
