"""OCSP responses at C level (RFC 6960 section 4.2): what is said of a certificate, and the writer."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

from _fastpath.certid cimport IssuerID
from _fastpath.der cimport Cursor
from _fastpath.template cimport Template


cdef struct SingleStatus:
    # What is said of one certificate. Times are seconds since 1970, UTC, in the years 1970 to 9999.
    bint revoked
    int reason  # CRLReason; 0 when good or unspecified
    int64_t this_update
    int64_t produced_at
    int64_t next_update
    int64_t revocation_time  # 0 when good


@cython.final
cdef class SingleResponse:
    cdef readonly bytes serial_number
    cdef SingleStatus status


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


cdef const char* status_fault(const SingleStatus* status) noexcept nogil
cdef int check_status(const SingleStatus* status) except -1
cdef bytes response_data_of(
    Template template, IssuerID issuer, int hash_algorithm, bytes serial_number, const SingleStatus* status
)
cdef bytes good_response_data_like(bytes model, bytes serial_number)
cdef int put_raw_signature(uint8_t* out, Template template, bytes signature) except -1
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
cdef uint8_t* put_response(
    uint8_t* out, const ResponseLayout* layout, Template template
) noexcept nogil
