"""The floor: serials of published CRLs, of which none is ever answered good (A2, C3).

It is kept as 64-bit hashes of issuer and serial under a key that nobody outside this host knows, as words of
this machine, ascending. Of serials that are not on it, one in 2^64 / (number of hashes) seems to be.

CRLs come in here after their signature was verified. They may be of any profile, so all that is read of them
is how they nest and the serials (RFC 5280 section 5.1); one entry that cannot be read, and nothing is taken.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t, uintptr_t
from libc.stdlib cimport qsort
from libc.string cimport memcpy

from _fastpath.certid cimport IssuerID
from _fastpath.der cimport (
    DER_BAD_VALUE,
    DER_OK,
    GENERALIZED_TIME,
    INTEGER,
    SEQUENCE,
    UTC_TIME,
    Cursor,
    cursor_over,
    der_error,
    peek_tag,
    read_expected,
    read_tlv,
    strip_zeros,
)


cdef extern from "siphash.h" nogil:
    ctypedef struct ocspeed_siphash:
        pass
    ocspeed_siphash ocspeed_siphash_start(const uint8_t* key)
    void ocspeed_siphash_words(ocspeed_siphash* state, const uint8_t* data, size_t size)
    uint64_t ocspeed_siphash_finish(ocspeed_siphash state, const uint8_t* data, size_t size)


cdef enum:
    HASH_SIZE = 8  # octets


cdef ocspeed_siphash state_of(const uint8_t* key, IssuerID issuer) noexcept:
    """The hash so far of every serial of an issuer: its fingerprint is eight words."""
    cdef ocspeed_siphash state = ocspeed_siphash_start(key)
    cdef bytes octets = issuer.fingerprint
    ocspeed_siphash_words(
        &state, <const uint8_t*>PyBytes_AS_STRING(octets), <size_t>PyBytes_GET_SIZE(octets)
    )
    return state


cdef const uint8_t* key_octets(bytes key) except NULL:
    if PyBytes_GET_SIZE(key) != KEY_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} octets")
    return <const uint8_t*>PyBytes_AS_STRING(key)


@cython.final
cdef class Floor:
    """Hashes in a buffer that others may share: 8 octets each."""

    def __cinit__(self, bytes key not None, hashes):
        memcpy(self.key, key_octets(key), KEY_SIZE)
        PyObject_GetBuffer(hashes, &self.buffer, PyBUF_SIMPLE)
        if self.buffer.len % HASH_SIZE or <uintptr_t>self.buffer.buf % HASH_SIZE:
            raise ValueError("hashes are whole words, where words may be")
        self.hashes = <const uint64_t*>self.buffer.buf
        self.count = self.buffer.len // HASH_SIZE

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)

    def __len__(self):
        return self.count

    cdef bint has(self, IssuerID issuer, const uint8_t* serial, Py_ssize_t size) noexcept:
        """Whether this serial of the issuer, minimal and unsigned, is on the floor."""
        cdef uint64_t wanted = ocspeed_siphash_finish(state_of(self.key, issuer), serial, <size_t>size)
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.count
        cdef Py_ssize_t middle
        while low < high:
            middle = (low + high) >> 1
            if self.hashes[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        return low < self.count and self.hashes[low] == wanted

    def contains(self, IssuerID issuer not None, bytes serial not None):
        return self.has(issuer, <const uint8_t*>PyBytes_AS_STRING(serial), PyBytes_GET_SIZE(serial))


cdef int skip(Cursor* fields) noexcept nogil:
    cdef Cursor content
    cdef uint8_t tag = 0
    return read_tlv(fields, &tag, &content)


cdef int find_entries(Cursor crl, Cursor* entries) noexcept nogil:
    """Content of revokedCertificates, empty where there are none."""
    cdef Cursor certificate_list, fields
    cdef int status = read_expected(&crl, SEQUENCE, &certificate_list)
    cdef int _field
    cursor_over(entries, NULL, 0)
    cursor_over(&fields, NULL, 0)
    if status == DER_OK:
        status = read_expected(&certificate_list, SEQUENCE, &fields)
    if status == DER_OK and peek_tag(&fields) == INTEGER:  # version
        status = skip(&fields)
    for _field in range(3):  # signature, issuer, thisUpdate
        if status == DER_OK:
            status = skip(&fields)
    if status == DER_OK and peek_tag(&fields) in (UTC_TIME, GENERALIZED_TIME):  # nextUpdate
        status = skip(&fields)
    if status == DER_OK and peek_tag(&fields) == SEQUENCE:
        status = read_expected(&fields, SEQUENCE, entries)
    return status


cdef int take_serial(Cursor* entries, Cursor* serial) noexcept nogil:
    """The serial of the next entry, in the form in which requests are looked up."""
    cdef Cursor entry
    cdef int status = read_expected(entries, SEQUENCE, &entry)
    if status == DER_OK:
        status = read_expected(&entry, INTEGER, serial)
    if status == DER_OK and serial.left == 0:
        status = DER_BAD_VALUE
    if status == DER_OK:
        strip_zeros(serial)
    return status


cdef Cursor entries_of(bytes crl, Py_ssize_t* count) except *:
    """Content of revokedCertificates, and how many entries there are, each of which has a serial."""
    cdef Cursor whole, entries, left, serial
    cdef int status
    count[0] = 0
    cursor_over(&whole, <const uint8_t*>PyBytes_AS_STRING(crl), PyBytes_GET_SIZE(crl))
    with nogil:
        status = find_entries(whole, &entries)
        left = entries
        while status == DER_OK and left.left > 0:
            status = take_serial(&left, &serial)
            count[0] += status == DER_OK
    if status != DER_OK:
        raise der_error(status, f"CertificateList, after {count[0]} entries")
    return entries


def entry_count(bytes crl not None):
    cdef Py_ssize_t count = 0
    entries_of(crl, &count)
    return count


def hashes_of(bytes crl not None, bytes key not None, IssuerID issuer not None):
    cdef ocspeed_siphash state = state_of(key_octets(key), issuer)
    cdef Py_ssize_t count = 0
    cdef Cursor left = entries_of(crl, &count)
    cdef Cursor serial
    cdef bytes result = PyBytes_FromStringAndSize(NULL, count * HASH_SIZE)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(result)
    cdef uint64_t one
    with nogil:
        while left.left > 0 and take_serial(&left, &serial) == DER_OK:
            one = ocspeed_siphash_finish(state, serial.pos, <size_t>serial.left)
            memcpy(out, &one, HASH_SIZE)
            out += HASH_SIZE
    return result


cdef int ascending(const void* first, const void* second) noexcept nogil:
    cdef uint64_t one = (<const uint64_t*>first)[0]
    cdef uint64_t other = (<const uint64_t*>second)[0]
    return (one > other) - (one < other)


def sorted_hashes(parts):
    cdef bytearray joined = bytearray().join(parts)
    cdef char* data = joined
    cdef size_t count = <size_t>len(joined) // HASH_SIZE
    with nogil:
        qsort(data, count, HASH_SIZE, ascending)
    return joined
