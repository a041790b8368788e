"""HTTP answers that carry an OCSPResponse: field lines and body in one piece (conformance group H).

What does not change from one request to the next is written once, when an answer enters the cache; Date,
max-age and Connection are put in as it is sent. The slow path takes its header fields from the same octets.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

from _fastpath.certid cimport HASH_SHA1, HASH_SHA256
from _fastpath.der cimport put_bytes
from _fastpath.http cimport IMF_FIXDATE_SIZE, SAFETY_MARGIN, cache_lifetime, put_imf_fixdate
from _fastpath.ocsp cimport ResponseLayout, lay_out_response, put_response
from _fastpath.page cimport view_of

cdef enum:
    ETAG_OCTETS = 32  # of the raw signature (H-07)

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
        raise TypeError("an Entry comes from assemble or a lookup")

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


cdef inline uint8_t* put_hex(uint8_t* out, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef const char* digits = b"0123456789abcdef"
    cdef Py_ssize_t index
    for index in range(size):
        out[2 * index] = <uint8_t>digits[data[index] >> 4]
        out[2 * index + 1] = <uint8_t>digits[data[index] & 0x0F]
    return out + 2 * size


cdef inline Py_ssize_t octets_needed(uint64_t number) noexcept nogil:
    """In how few octets a number can be written, one at least."""
    cdef Py_ssize_t used = 1
    while used < 8 and number >> (8 * used):
        used += 1
    return used


cdef inline Py_ssize_t put_tag(
    uint8_t* out, const uint8_t* raw_signature, Py_ssize_t taken, uint64_t template_number
) noexcept nogil:
    """What H-07 makes the entity tag of: first octets of the signature, template number in few. How many."""
    cdef Py_ssize_t used = octets_needed(template_number)
    cdef Py_ssize_t index
    out = put_bytes(out, raw_signature, taken)
    for index in range(used):
        out[index] = <uint8_t>(template_number >> (8 * (used - 1 - index)))
    return taken + used


cdef inline const uint8_t* signature_of(const RecordView* view, int hash_algorithm) noexcept nogil:
    if hash_algorithm == HASH_SHA1:
        return view.sha1_signature
    return view.sha256_signature if hash_algorithm == HASH_SHA256 else NULL


cdef Entry make_entry(
    const RecordView* view,
    Template template,
    uint64_t template_number,
    IssuerID issuer,
    int hash_algorithm,
    bytes serial_number,
    int64_t not_before,
    int64_t not_after,
):
    """The entry that a record makes, or None where it has no signature for that algorithm."""
    cdef const uint8_t* signature = signature_of(view, hash_algorithm)
    cdef ResponseLayout layout
    cdef Entry entry
    cdef Py_ssize_t size
    cdef uint8_t tag[ETAG_OCTETS + 8]
    cdef Py_ssize_t taken
    if signature == NULL:
        return None
    size = lay_out_response(
        &layout, template, issuer, hash_algorithm, <const uint8_t*>PyBytes_AS_STRING(serial_number),
        PyBytes_GET_SIZE(serial_number), &view.status, signature,
    )
    entry = Entry.__new__(Entry)
    entry.this_update = view.status.this_update
    entry.produced_at = view.status.produced_at
    entry.next_update = view.status.next_update
    entry.revoked = view.status.revoked
    entry.not_before = not_before
    entry.not_after = not_after
    taken = min(ETAG_OCTETS, template.signature_size)
    fill(entry, size, tag, put_tag(tag, signature, taken, template_number))
    put_response(<uint8_t*>PyBytes_AS_STRING(entry.text) + entry.body_at, &layout, template)
    return entry


cdef Entry make_whole_entry(bytes body, said):
    """The entry of a response that was imported; `said` is a store.imported.Admitted."""
    cdef Entry entry = Entry.__new__(Entry)
    cdef bytes tag = said.digest
    entry.this_update = said.this_update
    entry.produced_at = said.produced_at
    entry.next_update = said.next_update
    entry.revoked = said.revoked
    entry.not_before = said.not_before
    entry.not_after = said.not_after
    fill(entry, PyBytes_GET_SIZE(body), <const uint8_t*>PyBytes_AS_STRING(tag), PyBytes_GET_SIZE(tag))
    put_all(<uint8_t*>PyBytes_AS_STRING(entry.text) + entry.body_at, body)
    return entry


cdef int fill(Entry entry, Py_ssize_t body_size, const uint8_t* tag, Py_ssize_t tag_size) except -1:
    """Write everything but the body, which follows. The entity tag is the hex of `tag`."""
    cdef uint8_t* out
    # No parameters: nginx compares the media type whole (K-05).
    cdef const char* content = b"content-type: application/ocsp-response\r\ncontent-length: "
    entry.etag_size = 2 + 2 * tag_size
    entry.freshness = 57 + decimal_size(body_size) + 2
    entry.etag = entry.freshness + 15 + IMF_FIXDATE_SIZE + 8
    entry.body_at = entry.etag + entry.etag_size + 11 + IMF_FIXDATE_SIZE + 25
    entry.text = PyBytes_FromStringAndSize(NULL, entry.body_at + body_size)
    out = <uint8_t*>PyBytes_AS_STRING(entry.text)
    out = put_text(put_decimal(put_text(out, content, 57), body_size), b"\r\n", 2)
    out = put_imf_fixdate(put_text(out, b"last-modified: ", 15), entry.produced_at)
    out = put_hex(put_text(out, b"\r\netag: \"", 9), tag, tag_size)
    out = put_imf_fixdate(put_text(out, b"\"\r\nexpires: ", 12), entry.next_update)
    put_text(out, b"\r\ncache-control: max-age=", 25)
    return 0


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


def assemble(
    Template template not None,
    uint64_t template_number,
    IssuerID issuer not None,
    int hash_algorithm,
    bytes serial_number not None,
    bytes record not None,
    int64_t not_before,
    int64_t not_after,
):
    """The entry for (issuer, hash_algorithm, serial_number) that a record makes, once it was checked.

    None when the record has no signature for that algorithm. Raises RecordDamaged, UnknownFormat.
    """
    cdef RecordView view
    view_of(record, template, issuer, serial_number, &view)
    return make_entry(
        &view, template, template_number, issuer, hash_algorithm, serial_number, not_before, not_after
    )


def error_response(bytes body not None, int64_t now):
    """`write_error` for a connection that stays. Raises ValueError for a body of another size."""
    cdef uint8_t date[IMF_FIXDATE_SIZE]
    if PyBytes_GET_SIZE(body) != 5:
        raise ValueError("an OCSPResponse without responseBytes has 5 octets")
    put_imf_fixdate(date, now)
    return write_error(body, date, False)
