"""DER as the project needs it: a checked cursor over borrowed bytes, and writers that never look back.

Every read goes through `read_tlv`, so a length is compared with what is left in exactly one place. Nothing
recurses: nesting depth is that of the calling code. Tags above 30 and indefinite lengths do not occur in the
types read here and are refused. Functions return a `DerStatus`; only the `def` functions of a module raise.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy


cdef enum DerTag:
    BOOLEAN = 0x01
    INTEGER = 0x02
    BIT_STRING = 0x03
    OCTET_STRING = 0x04
    NULL_TAG = 0x05
    OBJECT_IDENTIFIER = 0x06
    ENUMERATED = 0x0A
    UTC_TIME = 0x17
    GENERALIZED_TIME = 0x18
    SEQUENCE = 0x30
    SET = 0x31
    CONTEXT_0 = 0x80  # [0] IMPLICIT primitive
    CONTEXT_1 = 0x81
    CONTEXT_2 = 0x82
    CONTEXT_6 = 0x86  # uniformResourceIdentifier in a GeneralName
    EXPLICIT_0 = 0xA0  # [0] EXPLICIT, or IMPLICIT constructed
    EXPLICIT_1 = 0xA1
    EXPLICIT_2 = 0xA2


cdef enum DerStatus:
    DER_OK = 0
    DER_TRUNCATED = 1  # a length points past the end
    DER_BAD_LENGTH = 2  # indefinite, not minimal, or above four octets
    DER_BAD_TAG = 3  # another tag than the type has here
    DER_BAD_VALUE = 4  # right tag, impossible content
    DER_TRAILING = 5  # octets after the end of the value


cdef struct Cursor:
    const uint8_t* pos  # next unread octet; borrowed, the caller holds the object it points into
    Py_ssize_t left  # octets from pos to the end, never negative


cdef inline void cursor_over(Cursor* cursor, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cursor.pos = data
    cursor.left = size


cdef inline int peek_tag(const Cursor* cursor) noexcept nogil:
    """The next tag octet, or -1 at the end."""
    return cursor.pos[0] if cursor.left > 0 else -1


cdef inline int read_tlv(Cursor* cursor, uint8_t* tag, Cursor* content) noexcept nogil:
    """Take one TLV off `cursor`: its tag, and a cursor over its content (X.690 sections 8.1 and 10.1)."""
    cdef Py_ssize_t length, octets, index
    if cursor.left < 2:
        return DER_TRUNCATED
    if cursor.pos[0] & 0x1F == 0x1F:
        return DER_BAD_TAG
    length = cursor.pos[1]
    octets = 0
    if length >= 0x80:
        octets = length & 0x7F
        if octets == 0 or octets > 4:
            return DER_BAD_LENGTH
        if cursor.left - 2 < octets:
            return DER_TRUNCATED
        length = 0
        for index in range(octets):
            length = length << 8 | cursor.pos[2 + index]
        if length < 0x80 or cursor.pos[2] == 0:
            return DER_BAD_LENGTH
    if cursor.left - 2 - octets < length:
        return DER_TRUNCATED
    tag[0] = cursor.pos[0]
    content.pos = cursor.pos + 2 + octets
    content.left = length
    cursor.pos = content.pos + length
    cursor.left -= 2 + octets + length
    return DER_OK


cdef inline int read_expected(Cursor* cursor, uint8_t tag, Cursor* content) noexcept nogil:
    """`read_tlv` that leaves `cursor` alone and says DER_BAD_TAG when another tag comes next."""
    cdef uint8_t found = 0
    if cursor.left > 0 and cursor.pos[0] != tag:
        return DER_BAD_TAG
    return read_tlv(cursor, &found, content)


cdef inline int read_whole(Cursor* cursor, uint8_t tag, Cursor* whole) noexcept nogil:
    """Like `read_expected`, but `whole` spans tag and length too."""
    cdef Cursor content
    cdef const uint8_t* start = cursor.pos
    cdef int status = read_expected(cursor, tag, &content)
    cursor_over(whole, start, cursor.pos - start)
    return status


cdef inline int at_end(const Cursor* cursor) noexcept nogil:
    return DER_OK if cursor.left == 0 else DER_TRAILING


cdef inline int read_explicit(Cursor* cursor, uint8_t outer, uint8_t inner, Cursor* content) noexcept nogil:
    """Read an EXPLICIT tag that holds exactly one value of tag `inner`."""
    cdef Cursor wrapped
    cdef int status = read_expected(cursor, outer, &wrapped)
    if status != DER_OK:
        return status
    status = read_expected(&wrapped, inner, content)
    return status if status != DER_OK else at_end(&wrapped)


cdef inline int read_oid(Cursor* cursor, Cursor* content) noexcept nogil:
    """Read an OBJECT IDENTIFIER whose arcs are complete and minimal (X.690 section 8.19.2)."""
    cdef Py_ssize_t index
    cdef bint first_of_arc = True
    cdef int status = read_expected(cursor, OBJECT_IDENTIFIER, content)
    if status != DER_OK:
        return status
    for index in range(content.left):
        if first_of_arc and content.pos[index] == 0x80:
            return DER_BAD_VALUE
        first_of_arc = content.pos[index] < 0x80
    return DER_OK if first_of_arc and content.left > 0 else DER_BAD_VALUE


cdef inline bytes octets_of(const Cursor* cursor):
    return cursor.pos[:cursor.left] if cursor.left > 0 else b""


cdef inline void strip_zeros(Cursor* value) noexcept nogil:
    """Minimal form of unsigned octets (at least one): leading zeros go, the last octet stays."""
    while value.left > 1 and value.pos[0] == 0:
        value.pos += 1
        value.left -= 1


# Writers return the address after what they wrote; the caller has sized the buffer by the `_size` functions.

cdef inline Py_ssize_t header_size(Py_ssize_t content) noexcept nogil:
    if content < 0x80:
        return 2
    if content < 0x100:
        return 3
    if content < 0x10000:
        return 4
    if content < 0x1000000:
        return 5
    return 6


cdef inline Py_ssize_t tlv_size(Py_ssize_t content) noexcept nogil:
    return header_size(content) + content


cdef inline uint8_t* put_header(uint8_t* out, uint8_t tag, Py_ssize_t content) noexcept nogil:
    cdef Py_ssize_t octets = header_size(content) - 2
    cdef Py_ssize_t index
    out[0] = tag
    if octets == 0:
        out[1] = <uint8_t>content
        return out + 2
    out[1] = <uint8_t>(0x80 | octets)
    for index in range(octets):
        out[2 + index] = <uint8_t>(content >> (8 * (octets - 1 - index)))
    return out + 2 + octets


cdef inline uint8_t* put_bytes(uint8_t* out, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    memcpy(out, data, <size_t>size)
    return out + size


cdef inline Py_ssize_t unsigned_size(const uint8_t* value, Py_ssize_t size) noexcept nogil:
    """Octets of the INTEGER TLV of a minimal unsigned big-endian value (size >= 1)."""
    return tlv_size(size + (value[0] >> 7))


cdef inline uint8_t* put_unsigned(uint8_t* out, const uint8_t* value, Py_ssize_t size) noexcept nogil:
    """INTEGER TLV of a minimal unsigned big-endian value: a zero octet keeps a high bit from being a sign."""
    cdef Py_ssize_t sign = value[0] >> 7
    out = put_header(out, INTEGER, size + sign)
    if sign:
        out[0] = 0
        out += 1
    return put_bytes(out, value, size)


cdef struct Civil:
    # A time in UTC, in the Gregorian calendar.
    uint32_t year
    uint32_t month
    uint32_t day
    uint32_t weekday  # 0: Thursday, as the first of 1970 was
    uint32_t hour
    uint32_t minute
    uint32_t second


cdef inline uint8_t* put_two(uint8_t* out, uint32_t value) noexcept nogil:
    """Two decimal digits."""
    out[0] = <uint8_t>(48 + value // 10)
    out[1] = <uint8_t>(48 + value % 10)
    return out + 2


cdef enum:
    GENERALIZED_TIME_SIZE = 17  # TLV of YYYYMMDDHHMMSSZ
    UTC_TIME_SIZE = 15  # TLV of YYMMDDHHMMSSZ

cdef uint8_t* put_generalized_time(uint8_t* out, int64_t seconds) noexcept nogil
cdef uint8_t* put_utc_time(uint8_t* out, int64_t seconds) noexcept nogil
cdef int read_generalized_time(const Cursor* content, int64_t* seconds) noexcept nogil
cdef int read_utc_time(const Cursor* content, int64_t* seconds) noexcept nogil
cdef int read_unsigned(const Cursor* content, Cursor* value) noexcept nogil
cdef object der_error(int status, str what)
cdef int64_t days_from_civil(int64_t year, int64_t month, int64_t day) noexcept nogil
cdef void civil_of(int64_t seconds, Civil* civil) noexcept nogil
