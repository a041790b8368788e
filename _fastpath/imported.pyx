"""Records of responses that were signed elsewhere and imported: whole, one for each CertID hash algorithm.

    flags 1 | 0 1 | newest thisUpdate 4 | 0 1 | CRC-32C 4
    [size 2, OCSPResponse for the SHA-1 CertID] [size 2, OCSPResponse for the SHA-256 CertID]

Flags and checksum are those of `_fastpath.page`, with bit 4 set. What a response says is in the response
alone, signed; here only its octets are found. Views borrow from the record.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from _fastpath.certid cimport HASH_SHA1, HASH_SHA256, IssuerID
from _fastpath.der cimport put_bytes
from _fastpath.page cimport (
    RECORD_DAMAGED,
    RECORD_OK,
    RECORD_UNKNOWN_FORMAT,
    has_right_checksum,
    is_raw,
    put_checksum,
    record_error,
)

cdef enum:  # flags
    REVOKED = 0x01
    HAS_SHA1 = 0x02
    HAS_SHA256 = 0x04
    KIND_MASK = 0xF8  # format, raw, and what only other records have
    KIND = 0x10
    FORMAT_AND_RAW = 0xF0

cdef enum:  # offsets and sizes
    SLOT = 1
    THIS_UPDATE = 2
    PRODUCED_AFTER = 6
    FIXED_SIZE = 11
    LENGTH_SIZE = 2
    LONGEST_SERIAL = 255
    MOST = 4000  # octets of a response: a signature and a certificate of RSA-4096 have less than 3,000

LARGEST_RESPONSE = MOST


cdef inline int take_response(
    const uint8_t** pos, const uint8_t* end, const uint8_t** response, Py_ssize_t* size
) noexcept nogil:
    """One length and what it is of; a RecordStatus."""
    if end - pos[0] < LENGTH_SIZE:
        return RECORD_DAMAGED
    size[0] = <Py_ssize_t>pos[0][0] << 8 | pos[0][1]
    pos[0] += LENGTH_SIZE
    if not 0 < size[0] <= MOST or size[0] > end - pos[0]:
        return RECORD_DAMAGED
    response[0] = pos[0]
    pos[0] += size[0]
    return RECORD_OK


cdef int read_imported(
    const uint8_t* record,
    Py_ssize_t record_size,
    IssuerID issuer,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    ImportedView* view,
) noexcept nogil:
    """Fill `view` from the record of `serial`; a RecordStatus. Format and checksum come first."""
    cdef const uint8_t* pos = record + FIXED_SIZE
    cdef const uint8_t* end = record + record_size
    cdef int status = RECORD_OK
    if record_size < FIXED_SIZE or serial_size > LONGEST_SERIAL:
        return RECORD_DAMAGED
    if record[0] & FORMAT_AND_RAW != KIND:
        return RECORD_UNKNOWN_FORMAT
    if not has_right_checksum(record, record_size, issuer, serial, serial_size):
        return RECORD_DAMAGED
    if record[0] & KIND_MASK != KIND or record[SLOT] or record[PRODUCED_AFTER]:
        return RECORD_DAMAGED
    memset(view, 0, sizeof(ImportedView))
    view.revoked = record[0] & REVOKED
    if record[0] & HAS_SHA1:
        status = take_response(&pos, end, &view.sha1_response, &view.sha1_size)
    if status == RECORD_OK and record[0] & HAS_SHA256:
        status = take_response(&pos, end, &view.sha256_response, &view.sha256_size)
    if status == RECORD_OK and (pos != end or pos == record + FIXED_SIZE):
        return RECORD_DAMAGED
    return status


cdef bytes response_of_kind(const ImportedView* view, int hash_algorithm):
    """The response for a CertID by this algorithm, or None."""
    if hash_algorithm == HASH_SHA1 and view.sha1_response != NULL:
        return PyBytes_FromStringAndSize(<const char*>view.sha1_response, view.sha1_size)
    if hash_algorithm == HASH_SHA256 and view.sha256_response != NULL:
        return PyBytes_FromStringAndSize(<const char*>view.sha256_response, view.sha256_size)
    return None


def is_imported_record(bytes record not None):
    """Whether a record says of itself that it is of whole responses."""
    return is_raw(record)


def decode_imported_record(IssuerID issuer not None, bytes serial_number not None, bytes record not None):
    """The responses of a record by hash algorithm. Raises RecordDamaged, UnknownFormat."""
    cdef ImportedView view
    cdef int status = read_imported(
        <const uint8_t*>PyBytes_AS_STRING(record), PyBytes_GET_SIZE(record), issuer,
        <const uint8_t*>PyBytes_AS_STRING(serial_number), PyBytes_GET_SIZE(serial_number), &view,
    )
    if status != RECORD_OK:
        raise record_error(status, record)
    found = ((algorithm, response_of_kind(&view, algorithm)) for algorithm in (HASH_SHA1, HASH_SHA256))
    return {algorithm: response for algorithm, response in found if response is not None}


cdef uint8_t* put_response(uint8_t* out, bytes response) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(response)
    out[0] = <uint8_t>(size >> 8)
    out[1] = <uint8_t>size
    return put_bytes(out + LENGTH_SIZE, <const uint8_t*>PyBytes_AS_STRING(response), size)


def encode_imported_record(
    IssuerID issuer not None,
    bytes serial_number not None,
    int64_t this_update,
    bint revoked,
    dict responses not None,
):
    """The record of whole responses by hash algorithm. Raises ValueError for what it has no place for."""
    cdef bytes record, response
    cdef uint8_t* out
    cdef int flags = KIND | REVOKED if revoked else KIND
    cdef int index
    size = FIXED_SIZE
    for algorithm, response in responses.items():
        issuer.lookup_key(algorithm)  # ValueError for one that is not ours
        if response is None or not 0 < PyBytes_GET_SIZE(response) <= MOST:
            raise ValueError(f"an imported response has 1 to {MOST} octets")
        flags |= HAS_SHA1 if algorithm == HASH_SHA1 else HAS_SHA256
        size += LENGTH_SIZE + PyBytes_GET_SIZE(response)
    if not responses or not 0 <= this_update <= 0xFFFFFFFF:
        raise ValueError("a record has a response, and a thisUpdate before 2106-02-07T06:28:16Z")
    record = PyBytes_FromStringAndSize(NULL, size)
    out = <uint8_t*>PyBytes_AS_STRING(record)
    memset(out, 0, FIXED_SIZE)
    out[0] = <uint8_t>flags
    for index in range(4):
        out[THIS_UPDATE + index] = <uint8_t>(this_update >> (24 - 8 * index))
    out += FIXED_SIZE
    for algorithm in sorted(responses):
        out = put_response(out, responses[algorithm])
    put_checksum(record, issuer, serial_number)
    return record
