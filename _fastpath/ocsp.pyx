"""OCSP responses (RFC 6960 section 4.2): response data and whole responses written, and taken apart.

Writers know every size first, allocate once and write once. A layout borrows; the caller holds the bytes it
points into.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memset

from _fastpath.certid cimport is_minimal_serial
from _fastpath.der cimport (
    BIT_STRING,
    CONTEXT_0,
    DER_BAD_VALUE,
    DER_OK,
    ENUMERATED,
    EXPLICIT_0,
    EXPLICIT_1,
    GENERALIZED_TIME_SIZE,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    Cursor,
    at_end,
    cursor_over,
    der_error,
    octets_of,
    put_bytes,
    put_generalized_time,
    put_header,
    put_unsigned,
    read_expected,
    read_explicit,
    read_unsigned,
    read_whole,
    strip_zeros,
    tlv_size,
    unsigned_size,
)
from _fastpath.template cimport RESPONDER_ID_SIZE

MALFORMED_REQUEST = bytes.fromhex("30030a0101")
INTERNAL_ERROR = bytes.fromhex("30030a0102")
TRY_LATER = bytes.fromhex("30030a0103")
UNAUTHORIZED = bytes.fromhex("30030a0106")

cdef enum:
    STATUS_GOOD_SIZE = 2
    AFTER_GOOD_SERIAL = 38  # STATUS_GOOD_SIZE, thisUpdate and nextUpdate, the latter with a tag around it
    REASON_SIZE = 5  # [0] EXPLICIT ENUMERATED
    OCSP_BASIC_SIZE = 11  # OID TLV
    SUCCESSFUL_SIZE = 3
    HIGHEST_REASON = 10
    UNASSIGNED_REASON = 7  # RFC 5280 section 5.3.1

cdef const char* SUCCESSFUL = b"\x0a\x01\x00"  # ENUMERATED TLV
cdef const char* ID_PKIX_OCSP_BASIC = b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01"  # 1.3.6.1.5.5.7.48.1.1

cdef int64_t LAST_TIME = 253402300799  # 9999-12-31T23:59:59Z


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


cdef const char* status_fault(const SingleStatus* status) noexcept nogil:
    """What no response can say: times out of order (R-06) or out of range, an impossible reason; or NULL."""
    if not 0 <= status.this_update <= status.produced_at < status.next_update <= LAST_TIME:
        return b"thisUpdate <= producedAt < nextUpdate has to hold, in the years 1970 to 9999"
    if not 0 <= status.revocation_time <= LAST_TIME:
        return b"a revocation time lies in the years 1970 to 9999"
    if not 0 <= status.reason <= HIGHEST_REASON or status.reason == UNASSIGNED_REASON:
        return b"the reason is not a CRLReason"
    if status.reason and not status.revoked:
        return b"a good certificate has no revocation reason"
    return NULL


cdef int check_status(const SingleStatus* status) except -1:
    """Raise ValueError for what no response can say."""
    cdef const char* fault = status_fault(status)
    if fault != NULL:
        raise ValueError(fault.decode())
    return 0


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
    """Octets of the whole OCSPResponse, or -1 for a hash algorithm that is not ours.

    The status was checked, and the raw signature has the template's size.
    """
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


cdef uint8_t* put_response(
    uint8_t* out, const ResponseLayout* layout, Template template
) noexcept nogil:
    """A successful OCSPResponse."""
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


cdef bytes response_data_of(
    Template template, IssuerID issuer, int hash_algorithm, bytes serial_number, const SingleStatus* status
):
    """DER ResponseData to sign; the status was checked. Raises ValueError for another hash algorithm."""
    cdef ResponseLayout layout
    cdef bytes result
    cdef Py_ssize_t size = lay_out_response_data(
        &layout,
        issuer,
        hash_algorithm,
        <const uint8_t*>PyBytes_AS_STRING(serial_number),
        PyBytes_GET_SIZE(serial_number),
        status,
    )
    if size < 0:
        raise ValueError(f"no CertID hash algorithm {hash_algorithm}")
    result = PyBytes_FromStringAndSize(NULL, size)
    put_response_data(<uint8_t*>PyBytes_AS_STRING(result), &layout, template)
    return result


cdef bytes good_response_data_like(bytes model, bytes serial_number):
    """What `response_data_of` gives for a good certificate if `model` is that of another one.

    Both serials have the same size and the same first bit, and their statuses are the same.
    """
    cdef Py_ssize_t size = PyBytes_GET_SIZE(model)
    cdef Py_ssize_t serial_size = PyBytes_GET_SIZE(serial_number)
    cdef bytes result = PyBytes_FromStringAndSize(PyBytes_AS_STRING(model), size)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(result) + size - AFTER_GOOD_SERIAL - serial_size
    put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(serial_number), serial_size)
    return result


def encode_tbs_response_data(
    Template template not None, IssuerID issuer not None, int hash_algorithm, SingleResponse response not None
):
    """DER ResponseData to sign. Raises ValueError for a hash algorithm other than SHA1 and SHA256."""
    return response_data_of(template, issuer, hash_algorithm, response.serial_number, &response.status)


def encode_response(
    Template template not None,
    IssuerID issuer not None,
    int hash_algorithm,
    SingleResponse response not None,
    bytes raw_signature not None,
):
    """The OCSPResponse around a signature from `signature_to_raw`. Raises ValueError for another size."""
    cdef ResponseLayout layout
    cdef Py_ssize_t size
    cdef bytes result
    if PyBytes_GET_SIZE(raw_signature) != template.signature_size:
        raise ValueError(f"a raw signature of this template has {template.signature_size} octets")
    size = lay_out_response(
        &layout,
        template,
        issuer,
        hash_algorithm,
        <const uint8_t*>PyBytes_AS_STRING(response.serial_number),
        PyBytes_GET_SIZE(response.serial_number),
        &response.status,
        <const uint8_t*>PyBytes_AS_STRING(raw_signature),
    )
    if size < 0:
        raise ValueError(f"no CertID hash algorithm {hash_algorithm}")
    result = PyBytes_FromStringAndSize(NULL, size)
    put_response(<uint8_t*>PyBytes_AS_STRING(result), &layout, template)
    return result


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


cdef int put_raw_signature(uint8_t* out, Template template, bytes signature) except -1:
    """The signature as a record keeps it: `template.signature_size` octets.

    Raises ValueError for another size or form than the template's; then some of them may be written.
    """
    cdef Cursor cursor
    cdef int status
    cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(signature), PyBytes_GET_SIZE(signature))
    if not template.is_ecdsa:
        if cursor.left != template.signature_size:
            raise ValueError(f"a signature of this key has {template.signature_size} octets")
        put_bytes(out, cursor.pos, cursor.left)
        return 0
    status = read_sig_value(&cursor, out, template.signature_size // 2)
    if status != DER_OK:
        raise der_error(status, "Ecdsa-Sig-Value")
    return 0


def signature_to_raw(Template template not None, bytes signature not None):
    """The signature as a record keeps it. Raises ValueError for another size or form than the template's."""
    cdef bytes result = PyBytes_FromStringAndSize(NULL, template.signature_size)
    put_raw_signature(<uint8_t*>PyBytes_AS_STRING(result), template, signature)
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
