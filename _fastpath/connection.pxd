"""Clients' connections at C level."""

cimport cython

from _fastpath.serve cimport Client, Exchange, FastPath


@cython.final
cdef class Connections:
    cdef FastPath path
    cdef set members  # everybody with a `sweep` and a `shutdown`
    cdef object library  # Connection -> the HTTP library's protocol for it
    cdef object left  # () -> None: a client left who waited, or did not read
    cdef bint plain  # whether the fast path is used
    cdef Py_ssize_t limit  # connections beyond which the library refuses requests
    cdef double header_timeout  # seconds
    cdef double body_timeout
    cdef double write_timeout
    cdef public double first_due  # loop time until which a connection made now must have sent something
    cdef public double idle_due  # loop time until which one that begins to wait now must have sent something


@cython.final
cdef class Connection(Client):
    cdef Connections shared
    cdef FastPath path
    cdef object transport
    cdef object write  # the transport's
    cdef object protocol  # the HTTP library's, None until it is needed
    cdef bytes asked  # octets of the request that waits and all that followed
    cdef Py_ssize_t body_size  # of a POST of which exactly the head is in `asked`, else 0
    cdef bint closes  # whether the connection ends with the answer to that
    cdef Exchange exchange  # None while it waits for the rest of a POST, or for nothing
    cdef readonly bint plain  # whether the fast path may have what comes next
    cdef bint blocked  # the client does not read
    cdef bint held  # nothing more is read
    cdef readonly bint draining  # the answer under way, or else to the next request, is to be the last
    cdef bint silent  # nothing has come yet
    cdef public double due  # loop time at which the client has taken too long
    cdef double read_at  # loop time at which the client was last seen to read
    cdef Py_ssize_t unread  # octets that lay unread then
    cdef object to_library(self)
    cdef int offer(self, bytes data) except -1
    cdef int offer_body(self, bytes body) except -1
    cdef int go_on(self, answer, bytes data) except -1
    cdef int rest(self) except -1
    cdef int leave_to_library(self, bytes data) except -1
    cdef int end(self) except -1
    cdef int hold(self) except -1
    cdef int release(self) except -1
