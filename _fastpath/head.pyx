"""Heads of HTTP/1 requests (RFC 9112), read strictly: what is not understood to the last octet is left alone.

Whatever this reader accepts, llhttp accepts with the same meaning; the tests hold the two against each other.
It knows GET and POST in origin-form without a query, HTTP/1.0 and 1.1, lines that end in CR LF, and no field
that changes the framing but one Content-Length of a POST.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp, memset

from _fastpath.der cimport cursor_over, octets_of

cdef enum:  # kinds of octets
    TOKEN = 1  # of a field name (RFC 9110 section 5.6.2)
    VALUE = 2  # of a field value: visible ASCII and space
    PATH = 4  # of standard base64, percent-encoding, and mount prefixes

cdef enum:  # fields that were seen
    CONNECTION = 1
    CONTENT_LENGTH = 2
    CONTENT_TYPE = 4
    IF_NONE_MATCH = 8

cdef enum:
    HIGHEST_LENGTH_DIGITS = 6

cdef uint8_t KINDS[256]


cdef void fill_kinds() noexcept:
    cdef int octet
    cdef bytes others = b"!#$%&'*+-.^_`|~"
    memset(KINDS, 0, sizeof(KINDS))
    for octet in range(0x20, 0x7F):
        KINDS[octet] = VALUE
        if chr(octet).isalnum():
            KINDS[octet] |= TOKEN | PATH
    for octet in others:
        KINDS[octet] |= TOKEN
    for octet in b"+/=%.-_~":
        KINDS[octet] |= PATH


fill_kinds()


cdef inline bint is_name(const uint8_t* octets, const char* lower_case, Py_ssize_t size) noexcept nogil:
    """Whether octets that are letters and hyphens spell a name, in whatever case."""
    cdef Py_ssize_t index
    for index in range(size):
        if octets[index] | 0x20 != <uint8_t>lower_case[index]:
            return False
    return True


cdef inline bint is_value(const Cursor* value, const char* lower_case, Py_ssize_t size) noexcept nogil:
    return value.left == size and is_name(value.pos, lower_case, size)


cdef inline void skip_kind(Cursor* cursor, uint8_t kind) noexcept nogil:
    cdef const uint8_t* pos = cursor.pos
    cdef const uint8_t* end = pos + cursor.left
    while pos < end and KINDS[pos[0]] & kind:
        pos += 1
    cursor.pos = pos
    cursor.left = end - pos


cdef inline bint take_octets(Cursor* cursor, const char* octets, Py_ssize_t size) noexcept nogil:
    """Take these octets off the cursor, if they come next."""
    if cursor.left < size or memcmp(cursor.pos, octets, <size_t>size) != 0:
        return False
    cursor.pos += size
    cursor.left -= size
    return True


cdef int read_request_line(Cursor* cursor, RequestHead* head) noexcept nogil:
    """method, target and version (RFC 9112 section 3)."""
    head.post = take_octets(cursor, b"POST ", 5)
    if not head.post and not take_octets(cursor, b"GET ", 4):
        return HEAD_OTHER
    head.target = cursor[0]
    skip_kind(cursor, PATH)
    head.target.left = cursor.pos - head.target.pos
    if head.target.left == 0 or head.target.pos[0] != c"/" or not take_octets(cursor, b" HTTP/1.", 8):
        return HEAD_OTHER
    # uvicorn keeps no connection of HTTP/1.0, whatever its Connection field says.
    head.closes = take_octets(cursor, b"0\r\n", 3)
    return HEAD_OK if head.closes or take_octets(cursor, b"1\r\n", 3) else HEAD_OTHER


cdef int read_field(Cursor* cursor, Cursor* name, Cursor* value) noexcept nogil:
    """One field line; the value without the spaces around it (RFC 9112 section 5)."""
    name[0] = cursor[0]
    skip_kind(cursor, TOKEN)
    name.left = cursor.pos - name.pos
    if name.left == 0 or not take_octets(cursor, b":", 1):
        return HEAD_OTHER
    while cursor.left > 0 and cursor.pos[0] == c" ":
        cursor.pos += 1
        cursor.left -= 1
    value[0] = cursor[0]
    skip_kind(cursor, VALUE)
    value.left = cursor.pos - value.pos
    while value.left > 0 and value.pos[value.left - 1] == c" ":
        value.left -= 1
    return HEAD_OK if take_octets(cursor, b"\r\n", 2) else HEAD_OTHER


cdef int read_length(const Cursor* value, Py_ssize_t* length) noexcept nogil:
    """Content-Length: a few digits (RFC 9110 section 8.6)."""
    cdef Py_ssize_t index
    length[0] = 0
    if value.left == 0 or value.left > HIGHEST_LENGTH_DIGITS:
        return HEAD_OTHER
    for index in range(value.left):
        if not c"0" <= value.pos[index] <= c"9":
            return HEAD_OTHER
        length[0] = length[0] * 10 + (value.pos[index] - c"0")
    return HEAD_OK


cdef inline int once(int field, int* seen) noexcept nogil:
    """A field that comes twice is left to the HTTP library."""
    if seen[0] & field:
        return HEAD_OTHER
    seen[0] |= field
    return HEAD_OK


cdef int take_connection(const Cursor* value, RequestHead* head, int* seen) noexcept nogil:
    if is_value(value, b"close", 5):
        head.closes = True
    elif not is_value(value, b"keep-alive", 10):
        return HEAD_OTHER
    return once(CONNECTION, seen)


cdef int take_field(const Cursor* name, const Cursor* value, RequestHead* head, int* seen) noexcept nogil:
    """What one field means here. Those that ask for more than an answer are left to the HTTP library."""
    if name.left == 10 and is_name(name.pos, b"connection", 10):
        return take_connection(value, head, seen)
    if name.left == 12 and is_name(name.pos, b"content-type", 12):
        if head.post and not is_value(value, b"application/ocsp-request", 24):
            return HEAD_OTHER
        return once(CONTENT_TYPE, seen)
    if name.left == 13 and is_name(name.pos, b"if-none-match", 13):
        head.if_none_match = value[0]
        return once(IF_NONE_MATCH, seen)
    if name.left == 14 and is_name(name.pos, b"content-length", 14):
        if read_length(value, &head.content_length) != HEAD_OK or not head.post:
            return HEAD_OTHER
        return once(CONTENT_LENGTH, seen)
    if (
        (name.left == 6 and is_name(name.pos, b"expect", 6))
        or (name.left == 7 and is_name(name.pos, b"upgrade", 7))
        or (name.left == 16 and is_name(name.pos, b"proxy-connection", 16))
        or (name.left == 17 and is_name(name.pos, b"transfer-encoding", 17))
        or (name.left == 17 and is_name(name.pos, b"if-modified-since", 17))
    ):
        return HEAD_OTHER
    return HEAD_OK


cdef int read_head(const uint8_t* data, Py_ssize_t size, RequestHead* head) noexcept nogil:
    """Fill `head` from the head that `data` begins with; a HeadStatus. On HEAD_OTHER it is not to be used."""
    cdef Cursor cursor, name, value
    cdef int seen = 0
    memset(head, 0, sizeof(head[0]))
    cursor_over(&cursor, data, size)
    cdef int status = read_request_line(&cursor, head)
    while status == HEAD_OK and not take_octets(&cursor, b"\r\n", 2):
        status = read_field(&cursor, &name, &value)
        if status == HEAD_OK:
            status = take_field(&name, &value, head, &seen)
    head.size = cursor.pos - data
    if status == HEAD_OK and head.post and not seen & CONTENT_LENGTH:
        return HEAD_OTHER
    if head.post:
        head.if_none_match.pos = NULL  # a precondition is for GET and HEAD alone here
    return status


def parse_head(bytes data not None):
    """What `read_head` finds: `(method, target, closes, size, content length, If-None-Match)`, or None."""
    cdef RequestHead head
    if read_head(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &head) != HEAD_OK:
        return None
    return (
        "POST" if head.post else "GET",
        octets_of(&head.target),
        bool(head.closes),
        head.size,
        head.content_length,
        None if head.if_none_match.pos == NULL else octets_of(&head.if_none_match),
    )
