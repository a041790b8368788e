"""OCSPRequest (RFC 6960 section 4.1), read in one pass and without recursion.

What is not DER is refused, save for what `certid` tolerates and explicit defaults. requestorName and
optionalSignature are ignored but for their outer shape. A view borrows; the caller holds the bytes.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memset

from _fastpath.certid cimport CertIDView, cert_id_of, read_cert_id
from _fastpath.der cimport (
    BOOLEAN,
    DER_BAD_TAG,
    DER_BAD_VALUE,
    DER_OK,
    EXPLICIT_0,
    EXPLICIT_1,
    EXPLICIT_2,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    Cursor,
    at_end,
    cursor_over,
    der_error,
    peek_tag,
    read_expected,
    read_explicit,
    read_oid,
    read_tlv,
)

from _fastpath.errors import MalformedRequest


cdef inline int read_version(Cursor* tbs) noexcept nogil:
    """version [0] is v1: absent by DER, `02 01 00` by some clients; there is no other version."""
    cdef Cursor version
    cdef int status
    if peek_tag(tbs) != EXPLICIT_0:
        return DER_OK
    status = read_explicit(tbs, EXPLICIT_0, INTEGER, &version)
    if status == DER_OK and (version.left != 1 or version.pos[0] != 0):
        status = DER_BAD_VALUE
    return status


cdef inline int skip_requestor_name(Cursor* tbs) noexcept nogil:
    """requestorName [1] EXPLICIT GeneralName: a context-specific tag, content not looked at (Q-03)."""
    cdef Cursor wrapped, name
    cdef uint8_t tag = 0
    cdef int status
    if peek_tag(tbs) != EXPLICIT_1:
        return DER_OK
    status = read_expected(tbs, EXPLICIT_1, &wrapped)
    if status == DER_OK:
        status = read_tlv(&wrapped, &tag, &name)
    if status == DER_OK and (tag & 0xC0 != 0x80 or tag & 0x1F > 8):
        status = DER_BAD_TAG
    return status if status != DER_OK else at_end(&wrapped)


cdef inline int read_critical(Cursor* fields, bint* critical) noexcept nogil:
    """critical BOOLEAN DEFAULT FALSE; FALSE may also be spelled out."""
    cdef Cursor value
    cdef int status
    critical[0] = False
    if peek_tag(fields) != BOOLEAN:
        return DER_OK
    status = read_expected(fields, BOOLEAN, &value)
    if status == DER_OK and (value.left != 1 or value.pos[0] not in (0x00, 0xFF)):
        status = DER_BAD_VALUE
    if status == DER_OK:
        critical[0] = value.pos[0] == 0xFF
    return status


cdef inline int id_pkix_ocsp_arc(const Cursor* oid) noexcept nogil:
    """Last arc of an OID right under id-pkix-ocsp (1.3.6.1.5.5.7.48.1), or -1."""
    if oid.left != 9 or memcmp(oid.pos, b"\x2b\x06\x01\x05\x05\x07\x30\x01", 8) != 0:
        return -1
    return oid.pos[8]


cdef inline void read_nonce(const Cursor* extension_value, Cursor* nonce) noexcept nogil:
    """The first nonce, if it is one OCTET STRING; it is never echoed, so a bad one is no error (Q-08)."""
    cdef Cursor outer = extension_value[0]
    cdef Cursor inner
    if nonce.pos == NULL and read_expected(&outer, OCTET_STRING, &inner) == DER_OK and outer.left == 0:
        nonce[0] = inner


cdef int read_extension(Cursor* extensions, Cursor* nonce) noexcept nogil:
    """One Extension; a critical one has to be of RFC 6960 section 4.4 for requests (Q-06)."""
    cdef Cursor fields, oid, value
    cdef bint critical = False
    cdef int arc
    cdef int status = read_expected(extensions, SEQUENCE, &fields)
    if status == DER_OK:
        status = read_oid(&fields, &oid)
    if status == DER_OK:
        status = read_critical(&fields, &critical)
    if status == DER_OK:
        status = read_expected(&fields, OCTET_STRING, &value)
    if status == DER_OK:
        status = at_end(&fields)
    if status != DER_OK:
        return status
    arc = id_pkix_ocsp_arc(&oid)
    if arc == 2:
        read_nonce(&value, nonce)
    elif critical and arc not in (4, 7, 8):  # acceptable responses, service locator, preferred algorithms
        return DER_BAD_VALUE
    return DER_OK


cdef int read_extensions(Cursor* cursor, uint8_t tag, Cursor* nonce) noexcept nogil:
    """Extensions under an EXPLICIT tag, when there are any: at least one (RFC 5280 section 4.1)."""
    cdef Cursor extensions
    cdef int status
    if peek_tag(cursor) != tag:
        return DER_OK
    cursor_over(&extensions, NULL, 0)
    status = read_explicit(cursor, tag, SEQUENCE, &extensions)
    if status == DER_OK and extensions.left == 0:
        status = DER_BAD_VALUE
    while status == DER_OK and extensions.left > 0:
        status = read_extension(&extensions, nonce)
    return status


cdef int read_request(Cursor* request_list, CertIDView* view) noexcept nogil:
    """One Request: its CertID; singleRequestExtensions are checked and ignored."""
    cdef Cursor fields
    cdef Cursor no_nonce
    cdef int status = read_expected(request_list, SEQUENCE, &fields)
    cursor_over(&no_nonce, NULL, 0)
    if status == DER_OK:
        status = read_cert_id(&fields, view)
    if status == DER_OK:
        status = read_extensions(&fields, EXPLICIT_0, &no_nonce)
    return status if status != DER_OK else at_end(&fields)


cdef int read_request_list(Cursor* tbs, RequestView* view) noexcept nogil:
    cdef Cursor left
    cdef CertIDView other
    cdef int status = read_expected(tbs, SEQUENCE, &view.request_list)
    if status != DER_OK:
        return status
    left = view.request_list
    status = read_request(&left, &view.first)
    view.count = 1
    while status == DER_OK and left.left > 0:
        status = read_request(&left, &other)
        view.count += 1
    return status


cdef int read_tbs_request(Cursor* request, RequestView* view) noexcept nogil:
    cdef Cursor tbs
    cdef int status = read_expected(request, SEQUENCE, &tbs)
    if status == DER_OK:
        status = read_version(&tbs)
    if status == DER_OK:
        status = skip_requestor_name(&tbs)
    if status == DER_OK:
        status = read_request_list(&tbs, view)
    if status == DER_OK:
        status = read_extensions(&tbs, EXPLICIT_2, &view.nonce)
    return status if status != DER_OK else at_end(&tbs)


cdef int scan_request(const uint8_t* data, Py_ssize_t size, RequestView* view) noexcept nogil:
    """Check a whole OCSPRequest and fill `view`; a DerStatus. On an error the view is not to be used."""
    cdef Cursor cursor, request, signature
    cdef int status
    memset(view, 0, sizeof(view[0]))
    cursor_over(&cursor, data, size)
    status = read_expected(&cursor, SEQUENCE, &request)
    if status == DER_OK:
        status = at_end(&cursor)
    if status == DER_OK:
        status = read_tbs_request(&request, view)
    if status == DER_OK and request.left > 0:
        status = read_explicit(&request, EXPLICIT_0, SEQUENCE, &signature)
    return status if status != DER_OK else at_end(&request)


@cython.final
cdef class OCSPRequest:
    """A parsed OCSPRequest."""

    cdef readonly tuple cert_ids
    cdef readonly bytes nonce

    def __init__(self):
        raise TypeError("an OCSPRequest comes from parse_request")


def parse_request(bytes data not None):
    """Parse an OCSPRequest of a size the caller has bounded. Raises MalformedRequest."""
    cdef RequestView view
    cdef CertIDView cert_id
    cdef OCSPRequest request
    cdef Cursor left
    cdef int status = scan_request(
        <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &view
    )
    if status != DER_OK:
        raise MalformedRequest(str(der_error(status, "OCSPRequest")))
    request = OCSPRequest.__new__(OCSPRequest)
    if view.nonce.pos != NULL:
        request.nonce = view.nonce.pos[:view.nonce.left]
    cert_ids = [cert_id_of(&view.first)]
    left = view.request_list
    read_request(&left, &cert_id)
    while left.left > 0:
        read_request(&left, &cert_id)
        cert_ids.append(cert_id_of(&cert_id))
    request.cert_ids = tuple(cert_ids)
    return request
