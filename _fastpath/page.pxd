"""Records and page headers at C level: what the store holds, checked before anything of it is believed."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from _fastpath.certid cimport IssuerID
from _fastpath.ocsp cimport SingleResponse, SingleStatus
from _fastpath.template cimport Template


cdef enum RecordStatus:
    RECORD_OK = 0
    RECORD_DAMAGED = 1  # length or checksum is not that of the record asked for, or it says what cannot be
    RECORD_UNKNOWN_FORMAT = 2  # another format number, or whole responses where none are read


cdef struct RecordView:
    # Borrowed from the record; valid as long as its bytes are held.
    int template_slot
    SingleStatus status
    const uint8_t* sha1_signature  # template.signature_size octets, or NULL
    const uint8_t* sha256_signature


cdef class PageHeader:
    cdef readonly uint64_t as_of  # generation: epoch << 48 | counter
    cdef readonly uint32_t this_update  # newest of the page, seconds since 1970
    cdef readonly uint32_t count
    cdef readonly uint32_t revoked_count


cdef class Record:
    cdef readonly int template_slot
    cdef readonly SingleResponse response
    cdef readonly bytes sha1_signature  # None when absent
    cdef readonly bytes sha256_signature


cdef bint has_right_checksum(
    const uint8_t* record, Py_ssize_t size, IssuerID issuer, const uint8_t* serial, Py_ssize_t serial_size
) noexcept nogil
cdef bint is_raw(bytes record) noexcept
cdef int read_record(
    const uint8_t* record,
    Py_ssize_t record_size,
    Template template,
    IssuerID issuer,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    RecordView* view,
) noexcept nogil
cdef int flags_of(const SingleStatus* status, Template template, bint has_sha1, bint has_sha256) noexcept
cdef int check_encodable(const SingleStatus* status, int template_slot, int flags) except -1
cdef bytes unsigned_record(
    Template template, int flags, int template_slot, const SingleStatus* status, uint8_t** signatures
)
cdef void put_checksum(bytes record, IssuerID issuer, bytes serial_number) noexcept
cdef object record_error(int status, bytes record)
cdef int slot_of(bytes record) noexcept
cdef uint32_t page_of(bytes serial_number, int page_bits) except? 0
cdef int view_of(
    bytes record, Template template, IssuerID issuer, bytes serial_number, RecordView* view
) except -1
