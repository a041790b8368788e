"""The second reader of CRLs at C level: each field a cursor into the CRL it holds."""

from libc.stdint cimport int64_t

from _fastpath.der cimport Cursor


cdef class Crl:
    cdef bytes data  # owns every octet the cursors below point to
    cdef Cursor tbs  # whole TLV, the signed octets
    cdef Cursor algorithm  # whole TLV of signatureAlgorithm
    cdef Cursor signature_bits  # without the unused-bits octet
    cdef Cursor issuer  # whole TLV
    cdef int64_t this_update_seconds
    cdef int64_t next_update_seconds
    cdef Cursor entries  # content of revokedCertificates, empty when the field is absent
    cdef Py_ssize_t entry_count
    cdef Cursor number  # minimal unsigned octets
    cdef Cursor key_identifier
    cdef Cursor distribution_point  # whole TLV of the extension's value; left = 0 when absent
    cdef Cursor url  # left = 0 when absent
    cdef int read_certificate_list(self) except -1
    cdef int read_tbs_cert_list(self, Cursor fields) except -1
    cdef int read_entries(self, Cursor* fields) except -1
    cdef int read_extensions(self, Cursor extensions) except -1
    cdef int read_extension(self, Cursor* extension) noexcept nogil
