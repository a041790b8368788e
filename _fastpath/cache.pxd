"""The worker's cache at C level."""

cimport cython

from _fastpath.answer cimport Entry


@cython.final
cdef class Page:
    cdef bytes key  # of the page in the store
    cdef set entries  # cache keys of its entries
    cdef Py_ssize_t size  # octets reckoned for it
    cdef bint used  # since the page came up for eviction
    cdef bint whole  # what it does not have is not issued (C4)


@cython.final
cdef class Cache:
    cdef dict entries
    cdef object pages  # OrderedDict of Page, by their keys, in the order of eviction
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t limit
    cdef readonly Py_ssize_t evicted
    cdef readonly Py_ssize_t invalidated
    cdef Entry find(self, bytes key)
    cdef int put(self, bytes key, Entry entry, bytes page_key) except -1
    cdef bint is_whole(self, bytes page_key) except -1
    cdef Page page_of(self, bytes page_key)
    cdef int remove(self, Page page) except -1
    cdef int evict(self) except -1
