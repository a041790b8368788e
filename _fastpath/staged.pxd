"""A certificate on its way into the ledger, packed: where each field lies, and how it is written."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:  # offsets and sizes in a packed row, all numbers big-endian
    SERIAL_AT = 4
    SERIAL_SIZE = 20  # octets (RFC 5280 section 4.1.2.2), zeros behind it
    LENGTH_AT = 24
    KEY_SIZE = 25  # hash32, serial and its length: sorts as (hash32, serial) does
    STATUS_AT = 25
    TIME_AT = 26
    REASON_AT = 34
    END_AT = 35
    RANK_AT = 43
    SERIES_AT = 44
    INDEX_AT = 46
    WHERE_AT = 48
    PACKED_SIZE = 56

cdef enum Status:
    STATUS_REVOKED = 0
    STATUS_GOOD = 1
    STATUS_EXPIRED = 2

cdef enum:
    TIME_BIAS_BITS = 40  # 2^40 is added to a revocation time: those before 1970 stay in order


cdef struct Row:
    const uint8_t* serial  # minimal, at most SERIAL_SIZE; borrowed
    Py_ssize_t size
    uint32_t hash32
    Status status
    int64_t time  # of the revocation, seconds since 1970
    int reason
    int64_t end  # notAfter
    int rank  # of the placement, 0 for none
    int series
    int index
    uint64_t where


cdef inline uint8_t* put_number(uint8_t* out, uint64_t value, int size) noexcept nogil:
    """The last `size` octets of `value`."""
    cdef int at
    for at in range(size):
        out[at] = <uint8_t>(value >> 8 * (size - 1 - at))
    return out + size


cdef inline void put_row(uint8_t* out, const Row* row) noexcept nogil:
    """Into PACKED_SIZE octets."""
    cdef uint64_t time = 0
    if row.status == STATUS_REVOKED:
        time = <uint64_t>row.time + (<uint64_t>1 << TIME_BIAS_BITS)
    put_number(out, row.hash32, 4)
    memcpy(out + SERIAL_AT, row.serial, <size_t>row.size)
    memset(out + SERIAL_AT + row.size, 0, <size_t>(SERIAL_SIZE - row.size))
    out[LENGTH_AT] = <uint8_t>row.size
    out[STATUS_AT] = <uint8_t>row.status
    put_number(out + TIME_AT, time, 8)
    out[REASON_AT] = <uint8_t>row.reason
    put_number(out + END_AT, <uint64_t>row.end, 8)
    out[RANK_AT] = <uint8_t>row.rank
    put_number(out + SERIES_AT, <uint64_t>row.series, 2)
    put_number(out + INDEX_AT, <uint64_t>row.index, 2)
    put_number(out + WHERE_AT, row.where, 8)
