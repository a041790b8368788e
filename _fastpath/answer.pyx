"""HTTP answers that carry an OCSPResponse: field lines and body in one piece (conformance group H).

What does not change from one request to the next is written once, when an answer enters the cache; Date,
max-age and Connection are put in as it is sent. The slow path takes its header fields from the same octets.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

from _fastpath.der cimport put_bytes
from _fastpath.http cimport IMF_FIXDATE_SIZE, SAFETY_MARGIN, cache_lifetime, put_imf_fixdate

cdef bytes OK_LINE = b"HTTP/1.1 200 OK\r\ndate: "
cdef bytes NOT_MODIFIED_LINE = b"HTTP/1.1 304 Not Modified\r\ndate: "
cdef bytes DIRECTIVES = b", public, no-transform, must-revalidate\r\n"
cdef bytes CLOSE = b"connection: close\r\n"
cdef bytes LINE_END = b"\r\n"


cdef inline uint8_t* put_all(uint8_t* out, bytes data) noexcept:
    return put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


@cython.final
@cython.no_gc  # it holds octets and a page, which never holds an entry
@cython.freelist(256)
cdef class Entry:
    """One signed response, ready to be sent. Times are seconds since 1970, UTC."""

    def __init__(self):
        raise TypeError("an Entry comes from entry_of or a lookup")

    @property
    def body(self):
        """The OCSPResponse."""
        return self.text[self.body_at:]

    @property
    def entity_tag(self):
        """ETag with its quotes (H-07)."""
        return self.text[self.etag:self.etag + self.etag_size]

    cdef bint has_etag(self, const Cursor* value) noexcept:
        """Whether this is the entity tag, the one strong tag of its representation."""
        return value.left == self.etag_size and (
            memcmp(value.pos, PyBytes_AS_STRING(self.text) + self.etag, <size_t>value.left) == 0
        )

    def fault(self, int64_t now):
        """Why the answer may not be sent at `now`, or None (R-06, R-11, B1, C2)."""
        return fault_of(self, now)

    def response(self, int64_t now, int64_t cap):
        """A whole 200 with the freshness of H-02 to H-08; `cap` is the longest max-age in seconds."""
        cdef uint8_t date[IMF_FIXDATE_SIZE]
        put_imf_fixdate(date, now)
        return write_answer(self, date, now, cap, False, False)


cdef inline uint8_t* put_text(uint8_t* out, const char* text, Py_ssize_t size) noexcept nogil:
    return put_bytes(out, <const uint8_t*>text, size)


cdef Entry make_entry(Answer answer, int64_t not_before, int64_t not_after):
    """The entry for an answer whose signer's certificate is valid between these times."""
    cdef Entry entry = Entry.__new__(Entry)
    cdef Py_ssize_t body_size = PyBytes_GET_SIZE(answer.body)
    cdef uint8_t* start
    cdef uint8_t* out
    # No parameters: nginx compares the media type whole (K-05).
    cdef const char* content = b"content-type: application/ocsp-response\r\ncontent-length: "
    entry.etag_size = PyBytes_GET_SIZE(answer.etag)
    entry.freshness = 57 + decimal_size(body_size) + 2
    entry.etag = entry.freshness + 15 + IMF_FIXDATE_SIZE + 8
    entry.body_at = entry.etag + entry.etag_size + 11 + IMF_FIXDATE_SIZE + 25
    entry.text = PyBytes_FromStringAndSize(NULL, entry.body_at + body_size)
    start = <uint8_t*>PyBytes_AS_STRING(entry.text)
    out = put_text(put_decimal(put_text(start, content, 57), body_size), b"\r\n", 2)
    out = put_imf_fixdate(put_text(out, b"last-modified: ", 15), answer.produced_at)
    out = put_all(put_text(out, b"\r\netag: ", 8), answer.etag)
    out = put_imf_fixdate(put_text(out, b"\r\nexpires: ", 11), answer.next_update)
    out = put_text(out, b"\r\ncache-control: max-age=", 25)
    put_all(out, answer.body)
    entry.this_update = answer.this_update
    entry.produced_at = answer.produced_at
    entry.next_update = answer.next_update
    entry.revoked = answer.revoked
    entry.not_before = not_before
    entry.not_after = not_after
    return entry


cdef str fault_of(Entry entry, int64_t now):
    """Why an answer may not be sent now: the last check, made when it is sent and not before.

    No allowance is made for a signer's clock ahead of ours (R-06): what is not yet valid is not yet sent.
    """
    if now >= entry.next_update - SAFETY_MARGIN:
        return "expired"
    if entry.this_update > now or entry.produced_at > now:
        return "not_yet_valid"
    if not entry.not_before <= now <= entry.not_after:
        return "template_untrusted"
    return None


cdef bytes write_answer(
    Entry entry, const uint8_t* date, int64_t now, int64_t cap, bint not_modified, bint closes
):
    """A 200, or the 304 that stands for it: its fields but those of the content, and no body (H-09)."""
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(entry.text)
    cdef int64_t age = cache_lifetime(now, entry.this_update, entry.next_update, cap)
    cdef bytes line = NOT_MODIFIED_LINE if not_modified else OK_LINE
    cdef Py_ssize_t first = entry.freshness if not_modified else 0
    cdef Py_ssize_t body_size = 0 if not_modified else PyBytes_GET_SIZE(entry.text) - entry.body_at
    cdef Py_ssize_t size = (
        PyBytes_GET_SIZE(line) + IMF_FIXDATE_SIZE + 2 + (entry.body_at - first) + decimal_size(age)
        + PyBytes_GET_SIZE(DIRECTIVES) + (PyBytes_GET_SIZE(CLOSE) if closes else 0) + 2 + body_size
    )
    cdef bytes result = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t* out = put_all(<uint8_t*>PyBytes_AS_STRING(result), line)
    out = put_all(put_bytes(out, date, IMF_FIXDATE_SIZE), LINE_END)
    out = put_decimal(put_bytes(out, text + first, entry.body_at - first), age)
    out = put_all(out, DIRECTIVES)
    if closes:
        out = put_all(out, CLOSE)
    put_bytes(put_all(out, LINE_END), text + entry.body_at, body_size)
    return result


cdef bytes ERROR_FIELDS = (
    b"\r\ncontent-type: application/ocsp-response\r\ncontent-length: 5\r\ncache-control: no-store\r\n"
)


cdef bytes write_error(bytes body, const uint8_t* date, bint closes):
    """An OCSPResponse without responseBytes, of 5 octets: 200, and kept by no cache (H-01, H-06)."""
    cdef Py_ssize_t size = (
        PyBytes_GET_SIZE(OK_LINE) + IMF_FIXDATE_SIZE + PyBytes_GET_SIZE(ERROR_FIELDS)
        + (PyBytes_GET_SIZE(CLOSE) if closes else 0) + 2 + PyBytes_GET_SIZE(body)
    )
    cdef bytes result = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t* out = put_all(<uint8_t*>PyBytes_AS_STRING(result), OK_LINE)
    out = put_all(put_bytes(out, date, IMF_FIXDATE_SIZE), ERROR_FIELDS)
    if closes:
        out = put_all(out, CLOSE)
    put_all(put_all(out, LINE_END), body)
    return result


def entry_of(Answer answer not None, int64_t not_before, int64_t not_after):
    """`make_entry`."""
    return make_entry(answer, not_before, not_after)


def error_response(bytes body not None, int64_t now):
    """`write_error` for a connection that stays. Raises ValueError for a body of another size."""
    cdef uint8_t date[IMF_FIXDATE_SIZE]
    if PyBytes_GET_SIZE(body) != 5:
        raise ValueError("an OCSPResponse without responseBytes has 5 octets")
    put_imf_fixdate(date, now)
    return write_error(body, date, False)
