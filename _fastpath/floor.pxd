"""The floor at C level."""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

from _fastpath.certid cimport IssuerID


cdef enum:
    KEY_SIZE = 16  # octets


@cython.final
cdef class Floor:
    cdef Py_buffer buffer  # held as long as this is
    cdef const uint64_t* hashes  # in the buffer, ascending
    cdef Py_ssize_t count
    cdef uint8_t key[KEY_SIZE]
    cdef bint has(self, IssuerID issuer, const uint8_t* serial, Py_ssize_t size) noexcept
