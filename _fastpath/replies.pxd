"""Commands and their replies at C level."""

cimport cython

from _fastpath.tally cimport Histogram, Tally


cdef class Command:
    cdef public double deadline  # loop time
    cdef public double sent_at  # loop time
    cdef public bytes request
    cpdef take(self, reply, double now)
    cpdef fail(self, str cause)


@cython.final
cdef class ReplyQueue:
    cdef list queue  # None where the reply was taken already
    cdef Py_ssize_t gone  # how many those are, at the beginning
    cdef list outgoing
    cdef object reader
    cdef object gets
    cdef object flush  # () -> None, soon
    cdef object arm  # (loop time) -> None
    cdef object invalidated  # keys or None -> None
    cdef object refused  # message -> None
    cdef Py_ssize_t room
    cdef double sweeps_at  # loop time
    cdef Tally tally
    cdef Histogram seconds
    cdef bint closed
    cpdef str submit(self, Command command, double now)
    cpdef put(self, Command command, double now)
    cdef Command next(self)
    cdef int answer(self, Command command, reply, double now) except -1
    cdef int push(self, message) except -1
