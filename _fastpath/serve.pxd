"""The fast path at C level: requests that wait, and whoever is told what came of them."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from _fastpath.answer cimport Entry
from _fastpath.certid cimport CertIDView
from _fastpath.head cimport RequestHead
from _fastpath.http cimport IMF_FIXDATE_SIZE
from _fastpath.lookup cimport StatusSource, Waiter
from _fastpath.tally cimport Histogram, Tally

cdef enum:
    KINDS_OF_ANSWER = 5  # good, revoked, malformedRequest, tryLater, unauthorized


cdef class Counts:
    # Every number is a slot of the worker's row.
    cdef Tally tally
    cdef Py_ssize_t answers[KINDS_OF_ANSWER][2]  # by GET and POST
    cdef Py_ssize_t not_modified
    cdef Py_ssize_t request_bytes
    cdef Py_ssize_t hit
    cdef Py_ssize_t miss
    cdef Py_ssize_t stale
    cdef Py_ssize_t unknown_issuer
    cdef Py_ssize_t no_record
    cdef dict try_later  # slots by cause
    cdef Histogram seconds
    cdef Histogram age


cdef struct Question:
    # One request, read; borrowed from the octets that were received.
    RequestHead head
    const uint8_t* der
    Py_ssize_t der_size
    CertIDView cert_id


cdef class Client:
    cdef int settled(self, Exchange exchange, bytes answer) except -1


@cython.final
cdef class Exchange(Waiter):
    cdef FastPath path
    cdef Client client  # None once it left
    cdef bint post
    cdef bint closes  # whether the connection ends with the answer
    cdef bytes if_none_match
    cdef Py_ssize_t size  # octets of the request
    cdef Py_ssize_t der_size
    cdef double began


@cython.final
cdef class FastPath:
    cdef StatusSource source
    cdef Counts counts
    cdef readonly object failed  # called while an exception that nobody foresaw is handled
    cdef bytes prefix
    cdef Py_ssize_t head_limit
    cdef Py_ssize_t body_limit
    cdef Py_ssize_t size  # octets of the request last answered, begun, or to be awaited
    cdef Py_ssize_t head_size  # of the POST to be awaited
    cdef bint closes  # whether the connection ends with that answer
    cdef readonly uint64_t answered
    cdef int64_t dated  # the second that `date` is
    cdef uint8_t date[IMF_FIXDATE_SIZE]
    cdef object respond(self, Client client, bytes data, Py_ssize_t start)
    cdef object respond_to_body(self, Client client, bytes body, Py_ssize_t head_size, bint closes)
    cdef bint locate(self, Question* question, const uint8_t* octets, uint8_t* buffer) noexcept
    cdef object answer(self, Client client, Question* question)
    cdef void count(self, int kind, bint post, Py_ssize_t der_size, double waited) noexcept
    cdef bytes positive(self, Entry entry, bint not_modified, bint closes, int64_t now, int64_t cap)
    cdef bytes refuse(self, int kind, bytes body, Question* question, int64_t now)
    cdef bytes negative(self, bytes body, bint closes, int64_t now)
    cdef void set_date(self, int64_t now) noexcept
    cdef object ask(self, Client client, Question* question, bytes key, int64_t now)
    cdef Exchange exchange(self, Client client, Question* question)
    cdef bytes conclude(self, Exchange exchange, outcome, int64_t now, double at)
    cdef bytes conclude_well(self, Exchange exchange, Entry entry, int64_t now, double waited)
