"""Counting at C level: slots of shared memory that a worker alone adds to."""

cimport cython
from libc.stdint cimport uint64_t

cdef enum:
    MOST_BUCKETS = 16


cdef struct Histogram:
    Py_ssize_t first  # slot; one per bucket, one above them, and the sum
    int buckets
    double bounds[MOST_BUCKETS]


@cython.final
cdef class Tally:
    cdef uint64_t[::1] cells
    cdef void add(self, Py_ssize_t slot, uint64_t amount) noexcept
    cdef void observe(self, const Histogram* histogram, double value) noexcept
    cdef int fill(self, Histogram* histogram, Py_ssize_t first, bounds) except -1
