"""HTTP answers at C level: what is kept of a signed response, and how it becomes octets to send."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t

from _fastpath.certid cimport IssuerID
from _fastpath.der cimport Cursor
from _fastpath.page cimport RecordView
from _fastpath.template cimport Template


cdef enum:
    MOST_DIGITS = 20


cdef inline uint8_t* put_decimal(uint8_t* out, int64_t value) noexcept nogil:
    cdef uint8_t digits[MOST_DIGITS]
    cdef int used = 0
    while True:
        digits[used] = <uint8_t>(c"0" + value % 10)
        used += 1
        value //= 10
        if value == 0:
            break
    while used > 0:
        used -= 1
        out[0] = digits[used]
        out += 1
    return out


cdef inline Py_ssize_t decimal_size(int64_t value) noexcept nogil:
    cdef Py_ssize_t size = 1
    while value >= 10:
        value //= 10
        size += 1
    return size


@cython.final
cdef class Entry:
    # `text` is what every answer has in common: fields of the content, fields of freshness up to the number
    # of max-age, and the body.
    cdef bytes text
    cdef Py_ssize_t freshness  # offsets in the text
    cdef Py_ssize_t etag
    cdef Py_ssize_t etag_size
    cdef Py_ssize_t body_at
    cdef readonly int64_t this_update  # seconds since 1970, UTC
    cdef readonly int64_t produced_at
    cdef readonly int64_t next_update
    cdef readonly bint revoked
    cdef int64_t not_before  # of the signer's certificate
    cdef int64_t not_after
    # While it is in a cache: where, and the next entry of its page, borrowed from the cache.
    cdef object page
    cdef bytes key
    cdef PyObject* sibling
    cdef bint has_etag(self, const Cursor* value) noexcept


cdef Entry make_entry(
    const RecordView* view,
    Template template,
    uint64_t template_number,
    IssuerID issuer,
    int hash_algorithm,
    bytes serial_number,
    int64_t not_before,
    int64_t not_after,
)
cdef Entry make_whole_entry(bytes body, said)
cdef str fault_of(Entry entry, int64_t now)
cdef bytes write_answer(
    Entry entry, const uint8_t* date, int64_t now, int64_t cap, bint not_modified, bint closes
)
cdef bytes write_error(bytes body, const uint8_t* date, bint closes)
