"""OCSP requests and responses at C level (RFC 6960 section 4): views, sizes, writers."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

from _fastpath.certid cimport CertIDView, IssuerID
from _fastpath.der cimport Cursor


cdef struct SingleStatus:
    # What is said of one certificate. Times are seconds since 1970, UTC, in the years 1970 to 9999.
    bint revoked
    int reason  # CRLReason; 0 when good or unspecified
    int64_t this_update
    int64_t produced_at
    int64_t next_update
    int64_t revocation_time  # 0 when good


cdef struct RequestView:
    # Borrowed from the request; valid as long as its bytes are held.
    Py_ssize_t count  # CertIDs in the request, at least one
    CertIDView first
    Cursor request_list  # content of requestList, checked
    Cursor nonce  # inner OCTET STRING; pos is NULL when there is none


cdef struct ResponseLayout:
    # What one response is made of (borrowed) and the content octets of each of its constructed values.
    const uint8_t* cert_id_prefix
    Py_ssize_t cert_id_prefix_size
    const uint8_t* serial
    Py_ssize_t serial_size
    const SingleStatus* status
    const uint8_t* raw_signature
    Cursor r  # ECDSA: the two integers of raw_signature, minimal
    Cursor s
    Py_ssize_t cert_id
    Py_ssize_t revoked_info  # 0 when good
    Py_ssize_t single_response
    Py_ssize_t response_data
    Py_ssize_t sig_value  # ECDSA-Sig-Value; 0 for RSA
    Py_ssize_t signature  # BIT STRING content after the unused-bits octet
    Py_ssize_t basic_response
    Py_ssize_t response_bytes
    Py_ssize_t response  # OCSPResponse


@cython.final
cdef class Template:
    cdef readonly bytes signature_algorithm
    cdef readonly Py_ssize_t signature_size  # raw octets in a record
    cdef readonly bint is_ecdsa
    cdef readonly bytes responder_key_hash
    cdef readonly bytes certificates
    cdef readonly int64_t validity  # seconds
    # For the writers, which run without the GIL; the pointers are into the bytes objects of this template.
    cdef const uint8_t* algorithm
    cdef Py_ssize_t algorithm_size
    cdef uint8_t responder_id[24]  # ResponderID byKey, whole
    cdef bytes certs  # [0] EXPLICIT SEQUENCE OF Certificate, whole, or empty
    cdef const uint8_t* certs_octets
    cdef Py_ssize_t certs_size


@cython.final
cdef class SingleResponse:
    cdef readonly bytes serial_number
    cdef SingleStatus status


cdef int scan_request(const uint8_t* data, Py_ssize_t size, RequestView* view) noexcept nogil
# Fills `layout` and returns the octets that `put_response` will write, or -1 for a hash algorithm not ours.
cdef Py_ssize_t lay_out_response(
    ResponseLayout* layout,
    Template template,
    IssuerID issuer,
    int hash_algorithm,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    const SingleStatus* status,
    const uint8_t* raw_signature,
) noexcept nogil
cdef uint8_t* put_response(uint8_t* out, const ResponseLayout* layout, Template template) noexcept nogil
cdef bytes build_response(
    Template template,
    IssuerID issuer,
    int hash_algorithm,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    const SingleStatus* status,
    const uint8_t* raw_signature,
)
