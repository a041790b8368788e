"""Records of imported responses at C level."""

from libc.stdint cimport uint8_t

from _fastpath.certid cimport IssuerID


cdef struct ImportedView:
    # Borrowed from the record; valid as long as its bytes are held.
    bint revoked
    const uint8_t* sha1_response  # or NULL
    Py_ssize_t sha1_size
    const uint8_t* sha256_response
    Py_ssize_t sha256_size


cdef int read_imported(
    const uint8_t* record,
    Py_ssize_t record_size,
    IssuerID issuer,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    ImportedView* view,
) noexcept nogil
cdef bytes response_of_kind(const ImportedView* view, int hash_algorithm)
