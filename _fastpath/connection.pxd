"""A client's connection at C level."""

cimport cython

from _fastpath.serve cimport Client, Exchange, FastPath


@cython.final
cdef class Connection(Client):
    cdef FastPath path
    cdef object protocol
    cdef public object write  # the transport's
    cdef bytes asked  # octets of the request that waits and all that followed
    cdef Exchange exchange  # None while it waits for the rest of a POST, or for nothing
    cdef readonly bint plain  # whether the fast path may have what comes next
    cdef bint blocked  # the client does not read
    cdef bint held  # nothing more is read
    cdef bint draining  # the answer under way is to be the last
    cdef public double due  # loop time at which the client has taken too long
    cdef int offer(self, bytes data) except -1
    cdef int go_on(self, answer, bytes data) except -1
    cdef int rest(self) except -1
    cdef int leave_to_library(self, bytes data) except -1
    cdef int end(self) except -1
    cdef int hold(self) except -1
    cdef int release(self) except -1
