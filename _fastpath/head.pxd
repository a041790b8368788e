"""Heads of HTTP/1 requests at C level: the few that are answered without an HTTP library."""

from libc.stdint cimport uint8_t

from _fastpath.der cimport Cursor


cdef enum HeadStatus:
    HEAD_OK = 0
    HEAD_OTHER = 1  # not whole, or anything that is not plainly an OCSP request: for the HTTP library


cdef struct RequestHead:
    # Borrowed from the octets read; valid as long as they are held.
    bint post  # else GET
    bint closes  # the connection ends with the answer (RFC 9112 section 9.3)
    Py_ssize_t size  # octets up to and with the empty line
    Cursor target
    Py_ssize_t content_length  # of a POST
    Cursor if_none_match  # of a GET; pos is NULL when there is none


cdef int read_head(const uint8_t* data, Py_ssize_t size, RequestHead* head) noexcept nogil
