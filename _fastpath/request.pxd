"""OCSPRequests at C level: a view that borrows."""

from libc.stdint cimport uint8_t

from _fastpath.certid cimport CertIDView
from _fastpath.der cimport Cursor


cdef struct RequestView:
    # Borrowed from the request; valid as long as its bytes are held.
    Py_ssize_t count  # CertIDs in the request, at least one
    CertIDView first
    Cursor request_list  # content of requestList, checked
    Cursor nonce  # inner OCTET STRING; pos is NULL when there is none


cdef int scan_request(const uint8_t* data, Py_ssize_t size, RequestView* view) noexcept nogil
