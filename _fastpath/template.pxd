"""Templates at C level: their fields, and the octets that writers copy."""

cimport cython
from libc.stdint cimport int64_t, uint8_t


cdef enum:
    RESPONDER_ID_SIZE = 24  # [2] EXPLICIT OCTET STRING of a key hash


@cython.final
cdef class Template:
    cdef readonly bytes signature_algorithm
    cdef readonly Py_ssize_t signature_size  # raw octets in a record
    cdef readonly bint is_ecdsa
    cdef readonly bytes responder_key_hash
    cdef readonly bytes certificates
    cdef readonly int64_t validity  # seconds
    # For the writers, which run without the GIL; the pointers are into the bytes objects of this template.
    cdef const uint8_t* algorithm
    cdef Py_ssize_t algorithm_size
    cdef uint8_t responder_id[RESPONDER_ID_SIZE]  # ResponderID byKey, whole
    cdef bytes certs  # [0] EXPLICIT SEQUENCE OF Certificate, whole, or empty
    cdef const uint8_t* certs_octets
    cdef Py_ssize_t certs_size
