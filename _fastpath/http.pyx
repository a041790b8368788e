"""The OCSP part of HTTP: GET paths (RFC 6960 A.1), dates (RFC 9110 section 5.6.7), lifetimes (RFC 9919).

A path is decoded in one pass, percent-encoding and base64 together. Nothing is merged, no dot segment is
resolved (H-14), and an octet that has no place in base64 refuses the path. What old clients get wrong is
accepted and told in bits, or refused in strict mode (H-15). Buffers belong to the caller.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int8_t, uint32_t
from libc.string cimport memcpy, memset

from _fastpath.der cimport Civil, civil_of, put_two

from _fastpath.errors import MalformedRequest

MARGIN = SAFETY_MARGIN
TOLERATED_SPACE = SPACE
TOLERATED_LINE_BREAK = LINE_BREAK
TOLERATED_PADDING = PADDING
TOLERATED_URL_ALPHABET = URL_ALPHABET
TOLERATED_DOUBLE_ENCODING = DOUBLE_ENCODING

cdef enum:
    DAY = 86400
    NO_BITS = 1 << 24  # more than four digits have

cdef const char* ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
cdef int8_t DIGITS[256]
cdef const char* WEEKDAYS = "ThuFriSatSunMonTueWed"  # 1970-01-01 was a Thursday
cdef const char* MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


cdef void fill_digits() noexcept:
    """Value of a digit of standard base64 (RFC 4648 section 4), -1 for any other octet."""
    cdef int index
    memset(DIGITS, -1, sizeof(DIGITS))
    for index in range(64):
        DIGITS[<uint8_t>ALPHABET[index]] = <int8_t>index


fill_digits()


cdef struct PathReader:
    const uint8_t* pos
    const uint8_t* end
    int tolerated


cdef struct Base64:
    uint8_t* out
    uint32_t bits  # digits of the quantum under way, six bits each
    int digits  # 0 to 3 of them
    int padding  # `=` seen


cdef inline int hex_digit(uint8_t octet) noexcept nogil:
    if c"0" <= octet <= c"9":
        return octet - c"0"
    if c"a" <= octet | 0x20 <= c"f":
        return (octet | 0x20) - c"a" + 10
    return -1


cdef inline int percent_octet(PathReader* reader) noexcept nogil:
    """The octet of the two hexadecimal digits that come next, or -1 (RFC 3986 section 2.1)."""
    cdef int high, low
    if reader.end - reader.pos < 2:
        return -1
    high = hex_digit(reader.pos[0])
    low = hex_digit(reader.pos[1])
    reader.pos += 2
    return -1 if high < 0 or low < 0 else high << 4 | low


cdef inline int next_octet(PathReader* reader) noexcept nogil:
    """One octet with its percent-encoding undone, twice if it was done twice; -1 if that cannot be."""
    cdef int octet = reader.pos[0]
    reader.pos += 1
    if octet != c"%":
        return octet
    octet = percent_octet(reader)
    if octet == c"%":
        reader.tolerated |= DOUBLE_ENCODING
        octet = percent_octet(reader)
    return octet


cdef inline void put_octets(Base64* base64, int count) noexcept nogil:
    """The first `count` octets of the 24 bits of a quantum."""
    cdef int index
    for index in range(count):
        base64.out[index] = <uint8_t>(base64.bits >> (16 - 8 * index))
    base64.out += count
    base64.bits = 0
    base64.digits = 0


cdef inline bint put_digit(Base64* base64, int octet) noexcept nogil:
    cdef int value = DIGITS[octet]
    if value < 0 or base64.padding:
        return False
    base64.bits |= <uint32_t>value << (18 - 6 * base64.digits)
    base64.digits += 1
    if base64.digits == 4:
        put_octets(base64, 3)
    return True


cdef inline bint take(Base64* base64, int octet, int* tolerated) noexcept nogil:
    """One decoded octet of the path; False if it cannot stand here."""
    if octet == c"=":
        base64.padding += 1
        return base64.digits + base64.padding <= 4 and base64.digits >= 2
    if octet == c"\r" or octet == c"\n":
        tolerated[0] |= LINE_BREAK
        return True
    if octet == c" ":  # a plus that was taken for form encoding
        tolerated[0] |= SPACE
        octet = c"+"
    elif octet == c"-" or octet == c"_":
        tolerated[0] |= URL_ALPHABET
        octet = c"+" if octet == c"-" else c"/"
    return put_digit(base64, octet)


cdef inline uint32_t escaped_bits(const uint8_t** pos, const uint8_t* end) noexcept nogil:
    """The bits of four digits, some percent-encoded; NO_BITS, and nothing is taken, if they are none."""
    cdef const uint8_t* at = pos[0]
    cdef uint32_t bits = 0
    cdef int octet, value, _digits
    for _digits in range(4):
        if at == end:
            return NO_BITS
        octet = at[0]
        at += 1
        if octet == c"%":
            if end - at < 2 or hex_digit(at[0]) < 0 or hex_digit(at[1]) < 0:
                return NO_BITS
            octet = hex_digit(at[0]) << 4 | hex_digit(at[1])
            at += 2
        value = DIGITS[octet]
        if value < 0:
            return NO_BITS
        bits = bits << 6 | <uint32_t>value
    pos[0] = at
    return bits


cdef inline void take_quanta(Base64* base64, PathReader* reader) noexcept nogil:
    """Four digits at a time, as long as there are such; most of most paths is made of them."""
    cdef const uint8_t* pos = reader.pos
    cdef const uint8_t* end = reader.end
    cdef uint8_t* out = base64.out
    cdef uint32_t bits
    while end - pos >= 4:
        bits = (
            <uint32_t>DIGITS[pos[0]] << 18 | <uint32_t>DIGITS[pos[1]] << 12
            | <uint32_t>DIGITS[pos[2]] << 6 | <uint32_t>DIGITS[pos[3]]
        )
        if bits < NO_BITS:
            pos += 4
        else:  # one of them is no digit
            bits = escaped_bits(&pos, end)
            if bits == NO_BITS:
                break
        out[0] = <uint8_t>(bits >> 16)
        out[1] = <uint8_t>(bits >> 8)
        out[2] = <uint8_t>bits
        out += 3
    base64.out = out
    reader.pos = pos


cdef inline bint finish(Base64* base64, int* tolerated) noexcept nogil:
    """The last, shorter quantum. Bits that no octet takes have to be zero (RFC 4648 section 3.5)."""
    cdef int digits = base64.digits
    if digits == 0:
        return True
    if digits == 1 or base64.bits & (0xFFFF if digits == 2 else 0xFF):
        return False
    if digits + base64.padding < 4:
        tolerated[0] |= PADDING
    put_octets(base64, digits - 1)
    return True


cdef Py_ssize_t decode_path(
    const uint8_t* path, Py_ssize_t size, uint8_t* out, int* tolerated
) noexcept nogil:
    cdef PathReader reader
    cdef Base64 base64
    cdef int octet
    cdef bint leading = True
    reader.pos = path
    reader.end = path + size
    reader.tolerated = 0
    base64.out = out
    base64.bits = 0
    base64.digits = 0
    base64.padding = 0
    while reader.pos < reader.end:
        octet = next_octet(&reader)
        if leading and octet == c"/":  # H-14: a request starts with 0x30, so in base64 with M
            continue
        leading = False
        if octet < 0 or not take(&base64, octet, &reader.tolerated):
            return -1
        if base64.digits == 0 and base64.padding == 0:
            take_quanta(&base64, &reader)
    if not finish(&base64, &reader.tolerated):
        return -1
    tolerated[0] = reader.tolerated
    return base64.out - out


def decode_get_path(bytes raw_path not None, *, bint strict=False):
    """`(DER, tolerance bits)` of a GET path; a tolerance is an error when strict. Raises MalformedRequest."""
    cdef const uint8_t* path = <const uint8_t*>PyBytes_AS_STRING(raw_path)
    cdef uint8_t out[MAX_PATH]
    cdef int tolerated = 0
    cdef Py_ssize_t size
    if PyBytes_GET_SIZE(raw_path) > MAX_PATH:
        raise MalformedRequest(f"GET path: more than {MAX_PATH} octets")
    size = decode_path(path, PyBytes_GET_SIZE(raw_path), out, &tolerated)
    if size <= 0:
        raise MalformedRequest("GET path: not the base64 of a request")
    if strict and tolerated:
        raise MalformedRequest("GET path: not the standard base64 with padding, percent-encoded once")
    return <bytes>out[:size], tolerated


cdef inline uint8_t* put_name(uint8_t* out, const char* names, uint32_t index) noexcept nogil:
    """The three letters of a weekday or month."""
    memcpy(out, names + 3 * index, 3)
    return out + 3


cdef inline uint8_t* put_number(uint8_t* out, uint32_t value, uint8_t after) noexcept nogil:
    """Two digits and what follows them."""
    out = put_two(out, value)
    out[0] = after
    return out + 1


cdef uint8_t* put_imf_fixdate(uint8_t* out, int64_t seconds) noexcept nogil:
    """29 octets for a time in the years 0 to 9999."""
    cdef Civil civil
    civil_of(seconds, &civil)
    out = put_name(out, WEEKDAYS, civil.weekday)
    out[0] = c","
    out[1] = c" "
    out = put_name(put_number(out + 2, civil.day, c" "), MONTHS, civil.month - 1)
    out[0] = c" "
    out = put_two(out + 1, civil.year // 100)
    out = put_number(out, civil.year % 100, c" ")
    out = put_number(out, civil.hour, c":")
    out = put_number(out, civil.minute, c":")
    out = put_number(out, civil.second, c" ")
    memcpy(out, b"GMT", 3)
    return out + 3


def imf_fixdate(int64_t seconds):
    """`Sat, 21 Nov 2026 10:00:00 GMT`. Raises ValueError outside the years 0 to 9999."""
    cdef uint8_t out[IMF_FIXDATE_SIZE]
    if not -62167219200 <= seconds <= 253402300799:
        raise ValueError(f"{seconds} is outside the years 0 to 9999")
    put_imf_fixdate(out, seconds)
    return <bytes>out[:IMF_FIXDATE_SIZE]


cdef int64_t replacement_deadline(int64_t this_update, int64_t next_update) noexcept nogil:
    """R-16. Half of V is never past V - 8 h once V is 16 h, so that bound needs no term of its own."""
    return this_update + min((next_update - this_update) // 2, 4 * DAY)


cdef int64_t cache_lifetime(
    int64_t now, int64_t this_update, int64_t next_update, int64_t cap
) noexcept nogil:
    cdef int64_t left = min(
        replacement_deadline(this_update, next_update) - now, next_update - now - SAFETY_MARGIN
    )
    return max(0, min(cap, left))


def refresh_deadline(int64_t this_update, int64_t next_update):
    """When a replacement must be served, in seconds since 1970 (R-16)."""
    return replacement_deadline(this_update, next_update)


def max_age(int64_t now, int64_t this_update, int64_t next_update, int64_t cap):
    """Seconds for which a cache may keep the response, 0 once a replacement is due (H-04)."""
    return cache_lifetime(now, this_update, next_update, cap)
