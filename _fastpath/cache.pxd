"""The worker's cache at C level."""

cimport cython
from cpython.object cimport PyObject

from _fastpath.answer cimport Entry


@cython.final
cdef class Page:
    cdef bytes key  # of the page in the store
    cdef PyObject* first  # of its entries, borrowed from the cache; each names the next
    cdef Py_ssize_t count
    cdef Py_ssize_t size  # octets reckoned for it
    cdef bint used  # since the page came up for eviction
    cdef bint whole  # what it does not have is not issued (C4)
    cdef PyObject* older  # neighbours in the order of eviction, borrowed from the cache
    cdef PyObject* newer


@cython.final
cdef class Cache:
    cdef dict entries
    cdef dict pages  # Page by its key
    cdef PyObject* oldest  # borrowed from `pages`; the first to go
    cdef PyObject* newest
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t limit
    cdef readonly Py_ssize_t evicted
    cdef readonly Py_ssize_t invalidated
    cdef Entry find(self, bytes key)
    cdef int put(self, bytes key, Entry entry, bytes page_key) except -1
    cdef bint is_whole(self, bytes page_key) except -1
    cdef Page page_of(self, bytes page_key)
    cdef void link(self, Page page) noexcept
    cdef void unlink(self, Page page) noexcept
    cdef int remove(self, Page page) except -1
    cdef int evict(self) except -1
