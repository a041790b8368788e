"""The OCSP part of HTTP at C level: a GET path decoded into a buffer, a date written into one."""

from libc.stdint cimport int64_t, uint8_t


cdef enum:
    MAX_PATH = 8192  # octets of a request target (Q-12)
    IMF_FIXDATE_SIZE = 29
    SAFETY_MARGIN = 60  # seconds: nothing is sent that close to nextUpdate (H-04, R-11, B1)

cdef enum:
    # What had to be tolerated in a GET path (H-15); bits.
    SPACE = 1
    LINE_BREAK = 2
    PADDING = 4
    URL_ALPHABET = 8
    DOUBLE_ENCODING = 16


# Writes at most 3 octets for every 4 of the path, and returns how many, or -1 for a path that is no base64.
cdef Py_ssize_t decode_path(
    const uint8_t* path, Py_ssize_t size, uint8_t* out, int* tolerated
) noexcept nogil
cdef uint8_t* put_imf_fixdate(uint8_t* out, int64_t seconds) noexcept nogil
cdef int64_t replacement_deadline(int64_t this_update, int64_t next_update) noexcept nogil
cdef int64_t cache_lifetime(
    int64_t now, int64_t this_update, int64_t next_update, int64_t cap
) noexcept nogil
