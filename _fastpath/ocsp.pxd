"""OCSP responses at C level (RFC 6960 section 4.2): what is said of a certificate, and the writer."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

from _fastpath.certid cimport IssuerID
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


cdef bytes build_response(
    Template template,
    IssuerID issuer,
    int hash_algorithm,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    const SingleStatus* status,
    const uint8_t* raw_signature,
)
