"""OCSP (RFC 6960 section 4): requests read, response data and whole responses written.

`scan_request` takes a request in one pass, without recursion and without an object. It refuses what is
not DER, save for what `certid` tolerates and explicit defaults; requestorName and optionalSignature are
ignored but for their outer shape. Writers know every size first, allocate once and write once. Views and
layouts borrow; the caller holds the bytes they point into.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memset

from _fastpath.certid cimport cert_id_of, is_minimal_serial, read_cert_id
from _fastpath.der cimport (
    BIT_STRING,
    BOOLEAN,
    CONTEXT_0,
    DER_BAD_TAG,
    DER_BAD_VALUE,
    DER_OK,
    ENUMERATED,
    EXPLICIT_0,
    EXPLICIT_1,
    EXPLICIT_2,
    GENERALIZED_TIME_SIZE,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    at_end,
    cursor_over,
    der_error,
    peek_tag,
    put_bytes,
    put_generalized_time,
    put_header,
    put_unsigned,
    read_expected,
    read_explicit,
    read_oid,
    read_tlv,
    read_unsigned,
    strip_zeros,
    tlv_size,
    unsigned_size,
)

from _fastpath.der import encode, encode_unsigned
from _fastpath.errors import MalformedRequest, RecordDamaged, UnknownFormat

MALFORMED_REQUEST = bytes.fromhex("30030a0101")
INTERNAL_ERROR = bytes.fromhex("30030a0102")
TRY_LATER = bytes.fromhex("30030a0103")
UNAUTHORIZED = bytes.fromhex("30030a0106")

cdef enum:
    TEMPLATE_FORMAT = 1
    KEY_HASH_SIZE = 20
    RESPONDER_ID_SIZE = 24  # [2] EXPLICIT OCTET STRING of a key hash
    STATUS_GOOD_SIZE = 2
    REASON_SIZE = 5  # [0] EXPLICIT ENUMERATED
    OCSP_BASIC_SIZE = 11  # OID TLV
    SUCCESSFUL_SIZE = 3
    HIGHEST_REASON = 10
    UNASSIGNED_REASON = 7  # RFC 5280 section 5.3.1
    MAX_VALIDITY = 0x7FFFFFFF
    SMALLEST_RSA = 256  # octets of a raw signature
    LARGEST_RSA = 1024

cdef const char* SUCCESSFUL = b"\x0a\x01\x00"  # ENUMERATED TLV
cdef const char* ID_PKIX_OCSP_BASIC = b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01"  # 1.3.6.1.5.5.7.48.1.1

cdef int64_t LAST_TIME = 253402300799  # 9999-12-31T23:59:59Z

# The AlgorithmIdentifiers of conformance A-01, with the octets of a raw ECDSA signature.
cdef dict ECDSA_ALGORITHMS = {
    bytes.fromhex("300a06082a8648ce3d040302"): 64,
    bytes.fromhex("300a06082a8648ce3d040303"): 96,
    bytes.fromhex("300a06082a8648ce3d040304"): 132,
}
cdef frozenset RSA_ALGORITHMS = frozenset(
    bytes.fromhex(f"300d06092a864886f70d0101{last}0500") for last in ("0b", "0c", "0d")
)


# Requests.

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


# Templates and what is said of one certificate.

cdef struct TemplateView:
    int64_t format_number
    Cursor algorithm  # with tag and length
    int64_t signature_size
    Cursor key_hash
    int64_t validity
    Cursor certificate  # empty for none


cdef int read_count(Cursor* fields, int64_t* value) noexcept nogil:
    """An INTEGER from 0 to 2^31 - 1."""
    cdef Cursor content, octets
    cdef Py_ssize_t index
    cdef int status = read_expected(fields, INTEGER, &content)
    if status == DER_OK:
        status = read_unsigned(&content, &octets)
    if status == DER_OK and content.left > 4:
        status = DER_BAD_VALUE
    if status != DER_OK:
        return status
    value[0] = 0
    for index in range(octets.left):
        value[0] = value[0] << 8 | octets.pos[index]
    return DER_OK


cdef int read_whole(Cursor* cursor, uint8_t tag, Cursor* whole) noexcept nogil:
    """Like `read_expected`, but `whole` spans tag and length too."""
    cdef Cursor content
    cdef const uint8_t* start = cursor.pos
    cdef int status = read_expected(cursor, tag, &content)
    cursor_over(whole, start, cursor.pos - start)
    return status


cdef int read_template(Cursor* fields, TemplateView* view) noexcept nogil:
    """What follows the format number in a template of format 1."""
    cdef int status = read_whole(fields, SEQUENCE, &view.algorithm)
    if status == DER_OK:
        status = read_count(fields, &view.signature_size)
    if status == DER_OK:
        status = read_expected(fields, OCTET_STRING, &view.key_hash)
    if status == DER_OK:
        status = read_count(fields, &view.validity)
    if status == DER_OK and fields.left > 0:
        status = read_expected(fields, EXPLICIT_0, &view.certificate)
        if status == DER_OK and view.certificate.left == 0:
            status = DER_BAD_VALUE
    return status if status != DER_OK else at_end(fields)


cdef inline bytes octets_of(const Cursor* cursor):
    return cursor.pos[:cursor.left] if cursor.left > 0 else b""


cdef bytes encode_count(int64_t value):
    return encode_unsigned(value.to_bytes(4, "big").lstrip(b"\0") or b"\0")


cdef bint is_one_sequence(bytes data) noexcept:
    cdef Cursor cursor, content
    cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    return read_expected(&cursor, SEQUENCE, &content) == DER_OK and cursor.left == 0


cdef bint is_supported(bytes algorithm):
    return algorithm in ECDSA_ALGORITHMS or algorithm in RSA_ALGORITHMS


cdef void check_template(
    bytes algorithm, Py_ssize_t signature_size, bytes key_hash, bytes certificates, int64_t validity
) except *:
    """Raise ValueError for what no template can hold."""
    if not is_supported(algorithm):
        raise ValueError(f"{algorithm.hex()} is not the AlgorithmIdentifier of a signature made here")
    smallest = ECDSA_ALGORITHMS.get(algorithm, SMALLEST_RSA)
    largest = ECDSA_ALGORITHMS.get(algorithm, LARGEST_RSA)
    if not smallest <= signature_size <= largest:
        raise ValueError(f"a raw signature has {smallest} to {largest} octets here, not {signature_size}")
    if PyBytes_GET_SIZE(key_hash) != KEY_HASH_SIZE:
        raise ValueError(f"a responder key hash has {KEY_HASH_SIZE} octets")
    if certificates and not is_one_sequence(certificates):
        raise ValueError("the responder certificate is not one DER certificate")
    if not 0 < validity <= MAX_VALIDITY:
        raise ValueError(f"a validity of {validity} s is outside 1 to {MAX_VALIDITY}")


@cython.final
cdef class Template:
    """What all responses of one signer share; checked when made, never changed."""

    def __cinit__(
        self,
        *,
        bytes signature_algorithm not None,
        Py_ssize_t signature_size,
        bytes responder_key_hash not None,
        bytes certificates not None,
        int64_t validity,
    ):
        check_template(signature_algorithm, signature_size, responder_key_hash, certificates, validity)
        self.signature_algorithm = signature_algorithm
        self.signature_size = signature_size
        self.is_ecdsa = signature_algorithm in ECDSA_ALGORITHMS
        self.responder_key_hash = responder_key_hash
        self.certificates = certificates
        self.validity = validity
        # R-29: without a certificate the field is left out, never an empty sequence.
        self.certs = encode(EXPLICIT_0, encode(SEQUENCE, certificates)) if certificates else b""
        keep_octets(self)

    def encode(self):
        """SEQUENCE { format, algorithm, signature size, key hash, validity, [0] certificate OPTIONAL }."""
        return encode(
            SEQUENCE,
            encode_count(TEMPLATE_FORMAT)
            + self.signature_algorithm
            + encode_count(self.signature_size)
            + encode(OCTET_STRING, self.responder_key_hash)
            + encode_count(self.validity)
            + (encode(EXPLICIT_0, self.certificates) if self.certificates else b""),
        )

    @staticmethod
    def decode(bytes data not None):
        """Raises RecordDamaged, or UnknownFormat for a format or an algorithm of another release."""
        cdef Cursor cursor, fields
        cdef TemplateView view
        cdef int status
        memset(&view, 0, sizeof(view))
        cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        status = read_expected(&cursor, SEQUENCE, &fields)
        if status == DER_OK:
            status = at_end(&cursor)
        if status == DER_OK:
            status = read_count(&fields, &view.format_number)
        if status == DER_OK and view.format_number != TEMPLATE_FORMAT:
            raise UnknownFormat(f"template of format {view.format_number}")
        if status == DER_OK:
            status = read_template(&fields, &view)
        if status != DER_OK:
            raise RecordDamaged(str(der_error(status, "template")))
        return template_of(&view)


cdef void keep_octets(Template template) noexcept:
    """Point the writers at the octets of the template's own bytes objects."""
    cdef uint8_t* out = put_header(template.responder_id, EXPLICIT_2, KEY_HASH_SIZE + 2)
    out = put_header(out, OCTET_STRING, KEY_HASH_SIZE)
    put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(template.responder_key_hash), KEY_HASH_SIZE)
    template.algorithm = <const uint8_t*>PyBytes_AS_STRING(template.signature_algorithm)
    template.algorithm_size = PyBytes_GET_SIZE(template.signature_algorithm)
    template.certs_octets = <const uint8_t*>PyBytes_AS_STRING(template.certs)
    template.certs_size = PyBytes_GET_SIZE(template.certs)


cdef Template template_of(const TemplateView* view):
    cdef bytes algorithm = octets_of(&view.algorithm)
    if not is_supported(algorithm):
        raise UnknownFormat(f"template for signature algorithm {algorithm.hex()}")
    try:
        return Template(
            signature_algorithm=algorithm,
            signature_size=view.signature_size,
            responder_key_hash=octets_of(&view.key_hash),
            certificates=octets_of(&view.certificate),
            validity=view.validity,
        )
    except ValueError as error:
        raise RecordDamaged(f"template: {error}") from error


@cython.final
cdef class SingleResponse:
    """What is said of one certificate, whatever the CertID algorithm."""

    def __cinit__(
        self,
        bytes serial_number not None,
        *,
        int64_t this_update,
        int64_t produced_at,
        int64_t next_update,
        revocation_time=None,
        int reason=0,
    ):
        if not is_minimal_serial(serial_number):
            raise ValueError("a serial number is 1 to 20 octets without leading zeros")
        self.serial_number = serial_number
        self.status.revoked = revocation_time is not None
        self.status.reason = reason
        self.status.this_update = this_update
        self.status.produced_at = produced_at
        self.status.next_update = next_update
        self.status.revocation_time = revocation_time if revocation_time is not None else 0
        check_status(&self.status)

    @property
    def this_update(self):
        return self.status.this_update

    @property
    def produced_at(self):
        return self.status.produced_at

    @property
    def next_update(self):
        return self.status.next_update

    @property
    def revocation_time(self):
        return self.status.revocation_time if self.status.revoked else None

    @property
    def reason(self):
        return self.status.reason


cdef void check_status(const SingleStatus* status) except *:
    """Raise ValueError for times out of order (R-06) or outside GeneralizedTime, or an impossible reason."""
    if not 0 <= status.this_update <= status.produced_at < status.next_update <= LAST_TIME:
        raise ValueError("thisUpdate <= producedAt < nextUpdate has to hold, in the years 1970 to 9999")
    if not 0 <= status.revocation_time <= LAST_TIME:
        raise ValueError("a revocation time lies in the years 1970 to 9999")
    if not 0 <= status.reason <= HIGHEST_REASON or status.reason == UNASSIGNED_REASON:
        raise ValueError(f"{status.reason} is not a CRLReason")
    if status.reason and not status.revoked:
        raise ValueError("a good certificate has no revocation reason")


# Responses: one function lays out, giving every length; the writers follow it without looking back.

cdef inline Py_ssize_t lay_out_response_data(
    ResponseLayout* layout,
    IssuerID issuer,
    int hash_algorithm,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    const SingleStatus* status,
) noexcept nogil:
    """Octets of the whole ResponseData, or -1 for a hash algorithm that is not ours."""
    cdef Py_ssize_t cert_status = STATUS_GOOD_SIZE
    layout.cert_id_prefix = issuer.cert_id_prefix(hash_algorithm, &layout.cert_id_prefix_size)
    if layout.cert_id_prefix == NULL:
        return -1
    layout.serial = serial
    layout.serial_size = serial_size
    layout.status = status
    layout.cert_id = layout.cert_id_prefix_size + unsigned_size(serial, serial_size)
    layout.revoked_info = 0
    if status.revoked:
        layout.revoked_info = GENERALIZED_TIME_SIZE + (REASON_SIZE if status.reason else 0)
        cert_status = tlv_size(layout.revoked_info)
    layout.single_response = (
        tlv_size(layout.cert_id) + cert_status + GENERALIZED_TIME_SIZE + tlv_size(GENERALIZED_TIME_SIZE)
    )
    layout.response_data = (
        RESPONDER_ID_SIZE + GENERALIZED_TIME_SIZE + tlv_size(tlv_size(layout.single_response))
    )
    return tlv_size(layout.response_data)


cdef inline uint8_t* put_cert_status(
    uint8_t* out, const SingleStatus* status, Py_ssize_t info
) noexcept nogil:
    if not status.revoked:
        return put_header(out, CONTEXT_0, 0)
    out = put_generalized_time(put_header(out, EXPLICIT_1, info), status.revocation_time)
    if status.reason:  # R-21: unspecified is said by leaving the reason out
        out = put_header(put_header(out, EXPLICIT_0, 3), ENUMERATED, 1)
        out[0] = <uint8_t>status.reason
        out += 1
    return out


cdef inline uint8_t* put_response_data(
    uint8_t* out, const ResponseLayout* layout, Template template
) noexcept nogil:
    """ResponseData with one SingleResponse; version and extensions are left out (R-01, R-03, R-24)."""
    cdef const SingleStatus* status = layout.status
    out = put_header(out, SEQUENCE, layout.response_data)
    out = put_bytes(out, template.responder_id, RESPONDER_ID_SIZE)
    out = put_generalized_time(out, status.produced_at)
    out = put_header(out, SEQUENCE, tlv_size(layout.single_response))
    out = put_header(out, SEQUENCE, layout.single_response)
    out = put_header(out, SEQUENCE, layout.cert_id)
    out = put_bytes(out, layout.cert_id_prefix, layout.cert_id_prefix_size)
    out = put_unsigned(out, layout.serial, layout.serial_size)
    out = put_cert_status(out, status, layout.revoked_info)
    out = put_generalized_time(out, status.this_update)
    out = put_header(out, EXPLICIT_0, GENERALIZED_TIME_SIZE)
    return put_generalized_time(out, status.next_update)


cdef inline void lay_out_signature(
    ResponseLayout* layout, Template template, const uint8_t* raw_signature
) noexcept nogil:
    """ECDSA: kept as r then s, both full width, and sent as Ecdsa-Sig-Value (RFC 3279 section 2.2.3)."""
    cdef Py_ssize_t half = template.signature_size // 2
    layout.raw_signature = raw_signature
    layout.sig_value = 0
    layout.signature = template.signature_size
    if template.is_ecdsa:
        cursor_over(&layout.r, raw_signature, half)
        cursor_over(&layout.s, raw_signature + half, half)
        strip_zeros(&layout.r)
        strip_zeros(&layout.s)
        layout.sig_value = unsigned_size(layout.r.pos, layout.r.left)
        layout.sig_value += unsigned_size(layout.s.pos, layout.s.left)
        layout.signature = tlv_size(layout.sig_value)


cdef inline uint8_t* put_signature(
    uint8_t* out, const ResponseLayout* layout, Template template
) noexcept nogil:
    out = put_header(out, BIT_STRING, layout.signature + 1)
    out[0] = 0  # unused bits
    out += 1
    if not template.is_ecdsa:
        return put_bytes(out, layout.raw_signature, layout.signature)
    out = put_header(out, SEQUENCE, layout.sig_value)
    out = put_unsigned(out, layout.r.pos, layout.r.left)
    return put_unsigned(out, layout.s.pos, layout.s.left)


cdef Py_ssize_t lay_out_response(
    ResponseLayout* layout,
    Template template,
    IssuerID issuer,
    int hash_algorithm,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    const SingleStatus* status,
    const uint8_t* raw_signature,
) noexcept nogil:
    cdef Py_ssize_t response_data = lay_out_response_data(
        layout, issuer, hash_algorithm, serial, serial_size, status
    )
    if response_data < 0:
        return -1
    lay_out_signature(layout, template, raw_signature)
    layout.basic_response = (
        response_data + template.algorithm_size + tlv_size(1 + layout.signature) + template.certs_size
    )
    layout.response_bytes = OCSP_BASIC_SIZE + tlv_size(tlv_size(layout.basic_response))
    layout.response = SUCCESSFUL_SIZE + tlv_size(tlv_size(layout.response_bytes))
    return tlv_size(layout.response)


cdef uint8_t* put_response(uint8_t* out, const ResponseLayout* layout, Template template) noexcept nogil:
    out = put_header(out, SEQUENCE, layout.response)
    out = put_bytes(out, <const uint8_t*>SUCCESSFUL, SUCCESSFUL_SIZE)
    out = put_header(out, EXPLICIT_0, tlv_size(layout.response_bytes))
    out = put_header(out, SEQUENCE, layout.response_bytes)
    out = put_bytes(out, <const uint8_t*>ID_PKIX_OCSP_BASIC, OCSP_BASIC_SIZE)
    out = put_header(out, OCTET_STRING, tlv_size(layout.basic_response))
    out = put_header(out, SEQUENCE, layout.basic_response)
    out = put_response_data(out, layout, template)
    out = put_bytes(out, template.algorithm, template.algorithm_size)
    out = put_signature(out, layout, template)
    return put_bytes(out, template.certs_octets, template.certs_size)


cdef bytes build_response(
    Template template,
    IssuerID issuer,
    int hash_algorithm,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    const SingleStatus* status,
    const uint8_t* raw_signature,
):
    """A successful OCSPResponse. The status was checked and the raw signature has the template's size."""
    cdef ResponseLayout layout
    cdef bytes result
    cdef Py_ssize_t size = lay_out_response(
        &layout, template, issuer, hash_algorithm, serial, serial_size, status, raw_signature
    )
    if size < 0:
        raise ValueError(f"no CertID hash algorithm {hash_algorithm}")
    result = PyBytes_FromStringAndSize(NULL, size)
    put_response(<uint8_t*>PyBytes_AS_STRING(result), &layout, template)
    return result


def encode_tbs_response_data(
    Template template not None, IssuerID issuer not None, int hash_algorithm, SingleResponse response not None
):
    """DER ResponseData to sign. Raises ValueError for a hash algorithm other than SHA1 and SHA256."""
    cdef ResponseLayout layout
    cdef bytes result
    cdef Py_ssize_t size = lay_out_response_data(
        &layout,
        issuer,
        hash_algorithm,
        <const uint8_t*>PyBytes_AS_STRING(response.serial_number),
        PyBytes_GET_SIZE(response.serial_number),
        &response.status,
    )
    if size < 0:
        raise ValueError(f"no CertID hash algorithm {hash_algorithm}")
    result = PyBytes_FromStringAndSize(NULL, size)
    put_response_data(<uint8_t*>PyBytes_AS_STRING(result), &layout, template)
    return result


def encode_response(
    Template template not None,
    IssuerID issuer not None,
    int hash_algorithm,
    SingleResponse response not None,
    bytes raw_signature not None,
):
    """The OCSPResponse around a signature from `signature_to_raw`. Raises ValueError for another size."""
    if PyBytes_GET_SIZE(raw_signature) != template.signature_size:
        raise ValueError(f"a raw signature of this template has {template.signature_size} octets")
    return build_response(
        template,
        issuer,
        hash_algorithm,
        <const uint8_t*>PyBytes_AS_STRING(response.serial_number),
        PyBytes_GET_SIZE(response.serial_number),
        &response.status,
        <const uint8_t*>PyBytes_AS_STRING(raw_signature),
    )


# Signatures, and reading back.

cdef int read_half(Cursor* integers, uint8_t* out, Py_ssize_t half) noexcept nogil:
    """One INTEGER of an Ecdsa-Sig-Value, from 1 to what `half` octets hold, written at full width."""
    cdef Cursor content, value
    cdef int status = read_expected(integers, INTEGER, &content)
    if status == DER_OK:
        status = read_unsigned(&content, &value)
    if status != DER_OK:
        return status
    if value.left > half or (value.left == 1 and value.pos[0] == 0):
        return DER_BAD_VALUE
    memset(out, 0, <size_t>(half - value.left))
    put_bytes(out + half - value.left, value.pos, value.left)
    return DER_OK


cdef int read_sig_value(Cursor* cursor, uint8_t* out, Py_ssize_t half) noexcept nogil:
    cdef Cursor integers
    cdef int status = read_expected(cursor, SEQUENCE, &integers)
    if status == DER_OK:
        status = at_end(cursor)
    if status == DER_OK:
        status = read_half(&integers, out, half)
    if status == DER_OK:
        status = read_half(&integers, out + half, half)
    return status if status != DER_OK else at_end(&integers)


def signature_to_raw(Template template not None, bytes signature not None):
    """The signature as a record keeps it. Raises ValueError for another size or form than the template's."""
    cdef Cursor cursor
    cdef bytes result
    cdef int status
    if not template.is_ecdsa:
        if PyBytes_GET_SIZE(signature) != template.signature_size:
            raise ValueError(f"a signature of this key has {template.signature_size} octets")
        return signature
    cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(signature), PyBytes_GET_SIZE(signature))
    result = PyBytes_FromStringAndSize(NULL, template.signature_size)
    status = read_sig_value(&cursor, <uint8_t*>PyBytes_AS_STRING(result), template.signature_size // 2)
    if status != DER_OK:
        raise der_error(status, "Ecdsa-Sig-Value")
    return result


cdef int read_basic_response(Cursor* response, Cursor* basic) noexcept nogil:
    """From the content of a successful OCSPResponse to that of its BasicOCSPResponse."""
    cdef Cursor field, response_bytes
    cdef int status = read_whole(response, ENUMERATED, &field)
    if status == DER_OK and (field.left != SUCCESSFUL_SIZE or field.pos[2] != 0):
        status = DER_BAD_VALUE
    if status == DER_OK:
        status = read_explicit(response, EXPLICIT_0, SEQUENCE, &response_bytes)
    if status == DER_OK:
        status = read_whole(&response_bytes, OBJECT_IDENTIFIER, &field)
    if status == DER_OK and (
        field.left != OCSP_BASIC_SIZE or memcmp(field.pos, ID_PKIX_OCSP_BASIC, OCSP_BASIC_SIZE) != 0
    ):
        status = DER_BAD_VALUE
    if status == DER_OK:
        status = read_explicit(&response_bytes, OCTET_STRING, SEQUENCE, basic)
    if status == DER_OK:
        status = at_end(&response_bytes)
    return status if status != DER_OK else at_end(response)


cdef int read_signed(Cursor* basic, Cursor* tbs, Cursor* algorithm, Cursor* signature) noexcept nogil:
    """What is signed, how, and the signature's octets; of certs only the outer shape is checked."""
    cdef Cursor certs
    cdef int status = read_whole(basic, SEQUENCE, tbs)
    if status == DER_OK:
        status = read_whole(basic, SEQUENCE, algorithm)
    if status == DER_OK:
        status = read_expected(basic, BIT_STRING, signature)
    if status == DER_OK and (signature.left < 1 or signature.pos[0] != 0):
        status = DER_BAD_VALUE
    if status == DER_OK and basic.left > 0:
        status = read_explicit(basic, EXPLICIT_0, SEQUENCE, &certs)
    if status != DER_OK:
        return status
    signature.pos += 1
    signature.left -= 1
    return at_end(basic)


def split_response(bytes body not None):
    """`(tbs_response_data, AlgorithmIdentifier, signature)` of a successful response. Raises MalformedDer."""
    cdef Cursor cursor, response, basic, tbs, algorithm, signature
    cdef int status
    cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    status = read_expected(&cursor, SEQUENCE, &response)
    if status == DER_OK:
        status = at_end(&cursor)
    if status == DER_OK:
        status = read_basic_response(&response, &basic)
    if status == DER_OK:
        status = read_signed(&basic, &tbs, &algorithm, &signature)
    if status != DER_OK:
        raise der_error(status, "OCSPResponse")
    return octets_of(&tbs), octets_of(&algorithm), octets_of(&signature)
