"""The second reader of CRLs at C level: each field a cursor into the CRL it holds."""

from libc.stdint cimport int64_t

from _fastpath.der cimport Cursor

# RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime after.
cdef int64_t YEAR_2050


cdef struct Entry:
    Cursor serial  # minimal unsigned octets, in the CRL
    int64_t revocation_time
    int reason  # 0: no reasonCode
    int field  # that was being read, for the error


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


# Take one off what is left of a CRL's entries; false at their end.
cdef bint next_entry(Cursor* left, Entry* entry) noexcept nogil
# As given to crl.encode_tbs_cert_list.
cdef tuple entry_value(const Entry* entry)
cdef bytes octets(const Cursor* span)
