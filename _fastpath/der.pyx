"""DER reading and writing (X.690); see `der.pxd` for the checked cursor that everything goes through.

Times are whole seconds since 1970 in UTC, always with seconds and `Z` (RFC 5280 section 4.1.2.5). Memory is
the caller's: a cursor borrows, a writer fills a buffer that was sized before. The functions at the end are
thin Python faces, for tests and for what is written once.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

from _fastpath.errors import MalformedDer

cdef tuple REASONS = (
    "no error",
    "a length points past the end",
    "a length is indefinite, not minimal or above four octets",
    "another tag than expected",
    "a value that the type cannot have",
    "octets after the end",
)


cdef object der_error(int status, str what):
    """The exception for a `DerStatus`, naming the field `what`; the caller raises it."""
    return MalformedDer(f"{what}: {REASONS[status]}")


cdef enum:
    ERA = 146097  # days in 400 years
    DAYS_BEFORE = 719468 + ERA  # from the first of March of the year -400, which no written time is before


cdef int64_t days_from_civil(int64_t year, int64_t month, int64_t day) noexcept nogil:
    """Days since 1970-01-01 of a proleptic Gregorian date (year >= 0)."""
    cdef int64_t shifted = year - (month <= 2)
    cdef int64_t era = shifted // 400
    cdef int64_t year_of_era = shifted - era * 400
    cdef int64_t day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


cdef void civil_of(int64_t seconds, Civil* civil) noexcept nogil:
    """Years begin in March, so that a leap day is the last. Unsigned: constants divide that fast."""
    cdef uint64_t shifted = <uint64_t>(seconds + <int64_t>DAYS_BEFORE * 86400)
    cdef uint32_t days = <uint32_t>(shifted // 86400)
    cdef uint32_t rest = <uint32_t>(shifted - <uint64_t>days * 86400)
    cdef uint32_t era = days // ERA
    cdef uint32_t day_of_era = days - era * ERA
    cdef uint32_t year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    cdef uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef uint32_t month_from_march = (5 * day_of_year + 2) // 153
    civil.day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    civil.month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    civil.year = year_of_era + era * 400 - 400 + (civil.month <= 2)
    civil.weekday = (days + 6) % 7  # that first of March was a Wednesday
    civil.hour = rest // 3600
    civil.minute = rest // 60 % 60
    civil.second = rest % 60


cdef uint8_t* put_date_and_time(uint8_t* out, int64_t seconds, bint century) noexcept nogil:
    """[YY]YYMMDDHHMMSSZ."""
    cdef Civil civil
    civil_of(seconds, &civil)
    if century:
        out = put_two(out, civil.year // 100)
    out = put_two(out, civil.year % 100)
    out = put_two(out, civil.month)
    out = put_two(out, civil.day)
    out = put_two(out, civil.hour)
    out = put_two(out, civil.minute)
    out = put_two(out, civil.second)
    out[0] = 90  # Z
    return out + 1


cdef uint8_t* put_generalized_time(uint8_t* out, int64_t seconds) noexcept nogil:
    """GeneralizedTime TLV of a time in the years 0 to 9999: 17 octets."""
    return put_date_and_time(put_header(out, GENERALIZED_TIME, 15), seconds, True)


cdef uint8_t* put_utc_time(uint8_t* out, int64_t seconds) noexcept nogil:
    """UTCTime TLV of a time in the years 1950 to 2049: 15 octets (RFC 5280 section 4.1.2.5.1)."""
    return put_date_and_time(put_header(out, UTC_TIME, 13), seconds, False)


cdef inline int64_t two_digits(const uint8_t* text) noexcept nogil:
    """Value of two ASCII digits, or -1."""
    if text[0] < 48 or text[0] > 57 or text[1] < 48 or text[1] > 57:
        return -1
    return (text[0] - 48) * 10 + text[1] - 48


cdef inline int64_t days_in_month(int64_t year, int64_t month) noexcept nogil:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef int read_from_year(int64_t year, const uint8_t* text, int64_t* seconds) noexcept nogil:
    """The MMDDHHMMSSZ part; `text` has 11 octets."""
    cdef int64_t month = two_digits(text)
    cdef int64_t day = two_digits(text + 2)
    cdef int64_t hour = two_digits(text + 4)
    cdef int64_t minute = two_digits(text + 6)
    cdef int64_t second = two_digits(text + 8)
    if text[10] != 90 or month < 1 or month > 12 or day < 1 or day > days_in_month(year, month):
        return DER_BAD_VALUE
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return DER_BAD_VALUE
    seconds[0] = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    return DER_OK


cdef int read_generalized_time(const Cursor* content, int64_t* seconds) noexcept nogil:
    """YYYYMMDDHHMMSSZ only: no fraction, no offset (RFC 5280 section 4.1.2.5.2)."""
    cdef int64_t century, year
    if content.left != 15:
        return DER_BAD_VALUE
    century = two_digits(content.pos)
    year = two_digits(content.pos + 2)
    if century < 0 or year < 0:
        return DER_BAD_VALUE
    return read_from_year(century * 100 + year, content.pos + 4, seconds)


cdef int read_utc_time(const Cursor* content, int64_t* seconds) noexcept nogil:
    """YYMMDDHHMMSSZ; 50 to 99 are 1950 to 1999 (RFC 5280 section 4.1.2.5.1)."""
    cdef int64_t year
    if content.left != 13:
        return DER_BAD_VALUE
    year = two_digits(content.pos)
    if year < 0:
        return DER_BAD_VALUE
    return read_from_year(year + (1900 if year >= 50 else 2000), content.pos + 2, seconds)


cdef int read_unsigned(const Cursor* content, Cursor* value) noexcept nogil:
    """Minimal unsigned octets of an INTEGER's content, at least one; DER_BAD_VALUE for any other form."""
    if content.left == 0 or content.pos[0] & 0x80:
        return DER_BAD_VALUE
    value[0] = content[0]
    if content.left > 1 and content.pos[0] == 0:
        if not content.pos[1] & 0x80:
            return DER_BAD_VALUE
        value.pos += 1
        value.left -= 1
    return DER_OK


def read(bytes data not None):
    """Read one TLV: `(tag, content, rest)`. Raises MalformedDer."""
    cdef Cursor cursor, content
    cdef uint8_t tag = 0
    cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    cdef int status = read_tlv(&cursor, &tag, &content)
    if status != DER_OK:
        raise der_error(status, "value")
    return tag, <bytes>content.pos[:content.left], <bytes>cursor.pos[:cursor.left]


def encode(uint8_t tag, bytes content not None):
    """The TLV of a tag and its content."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(content)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, tlv_size(size))
    cdef uint8_t* out = put_header(<uint8_t*>PyBytes_AS_STRING(result), tag, size)
    put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(content), size)
    return result


def encode_unsigned(bytes value not None):
    """INTEGER TLV of a minimal unsigned big-endian value (`b"\\0"` for zero)."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    cdef const uint8_t* octets = <const uint8_t*>PyBytes_AS_STRING(value)
    if size == 0 or (size > 1 and octets[0] == 0):
        raise MalformedDer("an unsigned value is at least one octet and has no leading zero")
    cdef bytes result = PyBytes_FromStringAndSize(NULL, unsigned_size(octets, size))
    put_unsigned(<uint8_t*>PyBytes_AS_STRING(result), octets, size)
    return result


def encode_time(int64_t seconds, bint generalized):
    """GeneralizedTime or UTCTime TLV. Raises MalformedDer for a year the type cannot hold."""
    cdef int64_t first = -62167219200 if generalized else -631152000
    cdef int64_t last = 253402300799 if generalized else 2524607999
    if seconds < first or seconds > last:
        raise MalformedDer(f"{seconds} is outside the years of this time type")
    cdef Py_ssize_t size = GENERALIZED_TIME_SIZE if generalized else UTC_TIME_SIZE
    cdef bytes result = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(result)
    if generalized:
        put_generalized_time(out, seconds)
    else:
        put_utc_time(out, seconds)
    return result


def read_time(bytes data not None):
    """Seconds since 1970 of one GeneralizedTime or UTCTime TLV. Raises MalformedDer."""
    cdef Cursor cursor, content
    cdef uint8_t tag = 0
    cdef int64_t seconds = 0
    cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    cdef int status = read_tlv(&cursor, &tag, &content)
    if status == DER_OK:
        status = at_end(&cursor)
    if status == DER_OK:
        if tag == GENERALIZED_TIME:
            status = read_generalized_time(&content, &seconds)
        elif tag == UTC_TIME:
            status = read_utc_time(&content, &seconds)
        else:
            status = DER_BAD_TAG
    if status != DER_OK:
        raise der_error(status, "time")
    return seconds
