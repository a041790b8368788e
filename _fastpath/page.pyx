"""Records and pages of the store.

A record of format 1 is, big-endian:

    flags 1 | template slot 1 | thisUpdate 4 | producedAt - thisUpdate 1 | CRC-32C 4
    [nextUpdate 4] [revocationTime 4 | reason 1] [raw signature, SHA-1 CertID] [raw signature, SHA-256 CertID]

The checksum runs over issuer fingerprint, length of the serial (one octet), serial and the record without the
checksum itself, so that a record in the wrong place is as bad as a damaged one. `read_record` alone reads
records; it refuses every other format, length and checksum. Views borrow from the record.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from _fastpath.der cimport put_bytes
from _fastpath.ocsp cimport status_fault

from _fastpath.errors import RecordDamaged, UnknownFormat


cdef extern from "crc32c.h":
    void ocspeed_crc32c_init()
    uint32_t ocspeed_crc32c(uint32_t state, const uint8_t* data, size_t size) noexcept nogil


cdef extern from "hash32.h":
    enum: OCSPEED_HASH32_LONGEST
    void ocspeed_hash32_init()
    uint32_t ocspeed_hash32(const uint8_t* serial, size_t size) noexcept nogil


cdef extern from "crc64.h":
    void ocspeed_crc64_init()
    uint64_t ocspeed_crc64(const uint8_t* data, size_t size) noexcept nogil


ocspeed_crc32c_init()
ocspeed_hash32_init()
ocspeed_crc64_init()

cdef enum:
    FORMAT = 1
    PAGE_HEADER_SIZE = 21

cdef enum:  # flags of a record
    REVOKED = 0x01
    HAS_SHA1 = 0x02
    HAS_SHA256 = 0x04
    SIGNED = 0x06  # HAS_SHA1 or HAS_SHA256: a record has at least one signature
    HAS_NEXT_UPDATE = 0x08
    FORMAT_AND_RAW = 0xF0  # bits 5 to 7: format number - 1; bit 4: imported whole responses
    RAW = 0x10  # of these, in a record that `_fastpath.imported` reads

cdef enum:  # offsets and sizes in a record
    SLOT = 1
    THIS_UPDATE = 2
    PRODUCED_AFTER = 6
    CHECKSUM = 7
    FIXED_SIZE = 11
    NEXT_UPDATE_SIZE = 4
    REVOCATION_SIZE = 5
    HIGHEST_SLOT = 255
    LONGEST_SERIAL = 255  # its length is one octet in the checksum

cdef enum:  # a DUMP of a hash that is kept as a listpack
    HASH_LISTPACK = 16  # RDB type
    RDB_VERSION = 10  # of Redis 7.0; Valkey reads it too
    DUMP_END = 10  # version and CRC-64
    LISTPACK_START = 6  # octets 4, elements 2, both little-endian
    LISTPACK_END = 0xFF
    LONGEST_FIELD = 4095  # what has a length of 12 bits
    MOST_RECORDS = 512  # hash-max-listpack-entries of deploy/: a longer hash is no listpack

HEADER_FIELD = b""
HEADER_SIZE = PAGE_HEADER_SIZE


# Numbers and checksums.

cdef inline uint8_t* put_u32(uint8_t* out, uint32_t value) noexcept nogil:
    out[0] = <uint8_t>(value >> 24)
    out[1] = <uint8_t>(value >> 16)
    out[2] = <uint8_t>(value >> 8)
    out[3] = <uint8_t>value
    return out + 4


cdef inline uint32_t get_u32(const uint8_t* data) noexcept nogil:
    return <uint32_t>data[0] << 24 | <uint32_t>data[1] << 16 | <uint32_t>data[2] << 8 | data[3]


cdef inline uint32_t record_crc(
    uint32_t seed,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    const uint8_t* record,
    Py_ssize_t record_size,
) noexcept nogil:
    """Checksum of a record (at least FIXED_SIZE) of the issuer whose fingerprint left `seed`."""
    cdef uint8_t size = <uint8_t>serial_size
    cdef uint32_t crc = ocspeed_crc32c(seed, &size, 1)
    crc = ocspeed_crc32c(crc, serial, <size_t>serial_size)
    crc = ocspeed_crc32c(crc, record, CHECKSUM)
    return ocspeed_crc32c(crc, record + FIXED_SIZE, <size_t>(record_size - FIXED_SIZE))


cdef bint has_right_checksum(
    const uint8_t* record, Py_ssize_t size, IssuerID issuer, const uint8_t* serial, Py_ssize_t serial_size
) noexcept nogil:
    """Whether a record of any kind, and at least of FIXED_SIZE octets, is that of the issuer's serial."""
    return get_u32(record + CHECKSUM) == record_crc(issuer.crc_seed, serial, serial_size, record, size)


cdef bint is_raw(bytes record) noexcept:
    """Whether a record says that it is of imported whole responses."""
    return PyBytes_GET_SIZE(record) > 0 and octets(record)[0] & FORMAT_AND_RAW == RAW


cdef inline const uint8_t* octets(bytes data) noexcept:
    return <const uint8_t*>PyBytes_AS_STRING(data)


def crc32c(bytes data not None, uint32_t seed=0):
    """CRC-32C of `data`, going on from the checksum `seed` of what came before."""
    return ocspeed_crc32c(seed, octets(data), <size_t>PyBytes_GET_SIZE(data))


cdef uint32_t hash_of(bytes serial_number) except? 0:
    if PyBytes_GET_SIZE(serial_number) > OCSPEED_HASH32_LONGEST:
        raise ValueError(f"a serial of {len(serial_number)} octets")
    return ocspeed_hash32(octets(serial_number), <size_t>PyBytes_GET_SIZE(serial_number))


def hash32(bytes serial_number not None):
    """First four octets, big-endian, of SHA-256 over the minimal serial."""
    return hash_of(serial_number)


def page_number(bytes serial_number not None, int page_bits):
    """Page of a serial: the first `page_bits` (0 to 32) bits of its `hash32`."""
    if not 0 <= page_bits <= 32:
        raise ValueError(f"page_bits is {page_bits}, not 0 to 32")
    return page_of(serial_number, page_bits)


cdef uint32_t page_of(bytes serial_number, int page_bits) except? 0:
    return 0 if page_bits == 0 else hash_of(serial_number) >> (32 - page_bits)


# Page headers.

@cython.final
cdef class PageHeader:
    """What a page says of itself; the guard of functions.lua compares it."""

    def __init__(self, uint64_t as_of, uint32_t this_update, uint32_t count, uint32_t revoked_count):
        self.as_of = as_of
        self.this_update = this_update
        self.count = count
        self.revoked_count = revoked_count

    def encode(self):
        """Value of the header field."""
        cdef bytes value = PyBytes_FromStringAndSize(NULL, PAGE_HEADER_SIZE)
        cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(value)
        out[0] = FORMAT
        out = put_u32(out + 1, <uint32_t>(self.as_of >> 32))
        out = put_u32(out, <uint32_t>self.as_of)
        out = put_u32(out, self.this_update)
        out = put_u32(out, self.count)
        put_u32(out, self.revoked_count)
        return value

    @staticmethod
    def decode(bytes value not None):
        """Read the header field. Raises RecordDamaged (length) or UnknownFormat."""
        cdef const uint8_t* data = octets(value)
        if PyBytes_GET_SIZE(value) == 0:
            raise RecordDamaged("a page header is empty")
        if data[0] != FORMAT:
            raise UnknownFormat(f"a page header has format {data[0]}; this release reads {FORMAT}")
        if PyBytes_GET_SIZE(value) != PAGE_HEADER_SIZE:
            raise RecordDamaged(f"a page header has {len(value)} octets, not {PAGE_HEADER_SIZE}")
        return PageHeader(
            <uint64_t>get_u32(data + 1) << 32 | get_u32(data + 5),
            get_u32(data + 9),
            get_u32(data + 13),
            get_u32(data + 17),
        )

    def __eq__(self, other):
        return isinstance(other, PageHeader) and self.encode() == other.encode()

    def __hash__(self):
        return hash(self.encode())

    def __repr__(self):
        return (
            f"PageHeader(as_of={self.as_of}, this_update={self.this_update}, "
            f"count={self.count}, revoked_count={self.revoked_count})"
        )


# Whole pages, as RESTORE takes them.

cdef inline Py_ssize_t entry_size(Py_ssize_t size) noexcept nogil:
    """Octets of one string in a listpack: its length, itself, and both lengths for reading backwards."""
    size += 1 if size < 64 else 2
    return size + (1 if size <= 127 else 2)


cdef inline uint8_t* put_entry(uint8_t* out, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t whole = size + (1 if size < 64 else 2)
    if size < 64:
        out[0] = <uint8_t>(0x80 | size)
    else:
        out[0] = <uint8_t>(0xE0 | size >> 8)
        out[1] = <uint8_t>size
    memcpy(out + whole - size, data, <size_t>size)
    out += whole
    if whole <= 127:
        out[0] = <uint8_t>whole
        return out + 1
    out[0] = <uint8_t>(whole >> 7)
    out[1] = <uint8_t>(whole & 127 | 128)
    return out + 2


cdef inline uint8_t* put_little(uint8_t* out, uint64_t value, int size) noexcept nogil:
    cdef int index
    for index in range(size):
        out[index] = <uint8_t>(value >> 8 * index)
    return out + size


cdef inline uint8_t* put_start(uint8_t* out, Py_ssize_t listpack, Py_ssize_t elements) noexcept nogil:
    """Type and length of the value, then total size and number of elements."""
    out[0] = HASH_LISTPACK
    out[1] = 0x80  # the length follows in 32 bits, big-endian
    out = put_u32(out + 2, <uint32_t>listpack)
    return put_little(put_little(out, <uint64_t>listpack, 4), <uint64_t>elements, 2)


cdef Py_ssize_t listpack_size(dict records, int* revoked) except -1:
    """Octets of the page as a listpack, 0 if it cannot be one. Raises ValueError for an empty field."""
    cdef Py_ssize_t size = LISTPACK_START + entry_size(0) + entry_size(PAGE_HEADER_SIZE) + 1
    cdef bytes serial, record
    revoked[0] = 0
    if len(records) > MOST_RECORDS:
        return 0
    for serial, record in records.items():
        if not serial or not record:
            raise ValueError("a serial or a record of a page is empty")
        if PyBytes_GET_SIZE(serial) > LONGEST_FIELD or PyBytes_GET_SIZE(record) > LONGEST_FIELD:
            return 0
        size += entry_size(PyBytes_GET_SIZE(serial)) + entry_size(PyBytes_GET_SIZE(record))
        revoked[0] += octets(record)[0] & REVOKED
    return size


def encode_page(uint64_t as_of, uint32_t this_update, dict records not None):
    """A page as RESTORE takes it; None for one that no listpack holds."""
    cdef int revoked = 0
    cdef Py_ssize_t size = listpack_size(records, &revoked)
    cdef bytes serial, record, header, page
    cdef uint8_t* start
    cdef uint8_t* out
    if size == 0:
        return None
    header = PageHeader(as_of, this_update, <uint32_t>len(records), <uint32_t>revoked).encode()
    page = PyBytes_FromStringAndSize(NULL, 6 + size + DUMP_END)
    start = <uint8_t*>PyBytes_AS_STRING(page)
    out = put_start(start, size, 2 * (len(records) + 1))
    out = put_entry(out, start, 0)  # HEADER_FIELD; first, because it is asked for most
    out = put_entry(out, octets(header), PAGE_HEADER_SIZE)
    for serial, record in records.items():
        out = put_entry(out, octets(serial), PyBytes_GET_SIZE(serial))
        out = put_entry(out, octets(record), PyBytes_GET_SIZE(record))
    out[0] = LISTPACK_END
    out = put_little(out + 1, RDB_VERSION, 2)
    put_little(out, ocspeed_crc64(start, <size_t>(out - start)), 8)
    return page


# Records.

cdef inline Py_ssize_t size_by_flags(int flags, Py_ssize_t signature_size) noexcept nogil:
    """Octets of a record with these flags."""
    cdef Py_ssize_t size = FIXED_SIZE
    if flags & HAS_NEXT_UPDATE:
        size += NEXT_UPDATE_SIZE
    if flags & REVOKED:
        size += REVOCATION_SIZE
    if flags & HAS_SHA1:
        size += signature_size
    if flags & HAS_SHA256:
        size += signature_size
    return size


cdef int read_record(
    const uint8_t* record,
    Py_ssize_t record_size,
    Template template,
    IssuerID issuer,
    const uint8_t* serial,
    Py_ssize_t serial_size,
    RecordView* view,
) noexcept nogil:
    """Fill `view` from the record of `serial`; a RecordStatus. Format, length and checksum come first."""
    if record_size < FIXED_SIZE or serial_size > LONGEST_SERIAL:
        return RECORD_DAMAGED
    if record[0] & FORMAT_AND_RAW:
        return RECORD_UNKNOWN_FORMAT
    if record_size != size_by_flags(record[0], template.signature_size) or not record[0] & SIGNED:
        return RECORD_DAMAGED
    if get_u32(record + CHECKSUM) != record_crc(issuer.crc_seed, serial, serial_size, record, record_size):
        return RECORD_DAMAGED
    fill_view(record, template, view)
    if status_fault(&view.status) != NULL:  # with a right checksum: not made by encode_record
        return RECORD_DAMAGED
    return RECORD_OK


cdef inline void fill_view(const uint8_t* record, Template template, RecordView* view) noexcept nogil:
    """Take apart a record whose length is right for its flags."""
    cdef int flags = record[0]
    cdef const uint8_t* pos = record + FIXED_SIZE
    view.template_slot = record[SLOT]
    view.status.this_update = get_u32(record + THIS_UPDATE)
    view.status.produced_at = view.status.this_update + record[PRODUCED_AFTER]
    view.status.next_update = view.status.this_update + template.validity
    view.status.revoked = flags & REVOKED
    view.status.revocation_time = 0
    view.status.reason = 0
    view.sha1_signature = NULL
    view.sha256_signature = NULL
    if flags & HAS_NEXT_UPDATE:
        view.status.next_update = get_u32(pos)
        pos += NEXT_UPDATE_SIZE
    if flags & REVOKED:
        view.status.revocation_time = get_u32(pos)
        view.status.reason = pos[4]
        pos += REVOCATION_SIZE
    if flags & HAS_SHA1:
        view.sha1_signature = pos
        pos += template.signature_size
    if flags & HAS_SHA256:
        view.sha256_signature = pos


cdef object record_error(int status, bytes record):
    """The exception for a RecordStatus; the caller raises it."""
    if status == RECORD_UNKNOWN_FORMAT:
        return UnknownFormat(f"a record has flags {record[0]:#04x}; this release reads format {FORMAT}")
    return RecordDamaged("a record's length, checksum or content is not that of the certificate asked for")


cdef int view_of(
    bytes record, Template template, IssuerID issuer, bytes serial_number, RecordView* view
) except -1:
    """`read_record` that raises."""
    cdef int status = read_record(
        octets(record), PyBytes_GET_SIZE(record), template, issuer,
        octets(serial_number), PyBytes_GET_SIZE(serial_number), view,
    )
    if status != RECORD_OK:
        raise record_error(status, record)
    return 0


cdef int flags_of(const SingleStatus* status, Template template, bint has_sha1, bint has_sha256) noexcept:
    cdef int flags = 0
    if status.revoked:
        flags |= REVOKED
    if status.next_update != status.this_update + template.validity:
        flags |= HAS_NEXT_UPDATE
    if has_sha1:
        flags |= HAS_SHA1
    if has_sha256:
        flags |= HAS_SHA256
    return flags


cdef int check_encodable(const SingleStatus* status, int template_slot, int flags) except -1:
    """Raise ValueError for what a record has no place for."""
    if not 0 <= template_slot <= HIGHEST_SLOT:
        raise ValueError(f"template slot {template_slot} is not 0 to {HIGHEST_SLOT}")
    if not 0 <= status.produced_at - status.this_update <= 0xFF:
        raise ValueError("producedAt is not within 255 s after thisUpdate")
    if max(status.this_update, status.next_update, status.revocation_time) > 0xFFFFFFFF:
        raise ValueError("a time is after 2106-02-07T06:28:15Z, which a record of format 1 cannot hold")
    if not flags & SIGNED:
        raise ValueError("a record has at least one signature")
    return 0


cdef bytes unsigned_record(
    Template template, int flags, int template_slot, const SingleStatus* status, uint8_t** signatures
):
    """A record that `check_encodable` lets through, but for its checksum and the signatures at its end."""
    cdef bytes record = PyBytes_FromStringAndSize(NULL, size_by_flags(flags, template.signature_size))
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(record)
    out[0] = <uint8_t>flags
    out[SLOT] = <uint8_t>template_slot
    put_u32(out + THIS_UPDATE, <uint32_t>status.this_update)
    out[PRODUCED_AFTER] = <uint8_t>(status.produced_at - status.this_update)
    out += FIXED_SIZE
    if flags & HAS_NEXT_UPDATE:
        out = put_u32(out, <uint32_t>status.next_update)
    if flags & REVOKED:
        out = put_u32(out, <uint32_t>status.revocation_time)
        out[0] = <uint8_t>status.reason
        out += 1
    signatures[0] = out
    return record


cdef void put_checksum(bytes record, IssuerID issuer, bytes serial_number) noexcept:
    """The last thing that is written of a record."""
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(record)
    put_u32(
        out + CHECKSUM,
        record_crc(
            issuer.crc_seed,
            octets(serial_number), PyBytes_GET_SIZE(serial_number), out, PyBytes_GET_SIZE(record),
        ),
    )


def encode_record(
    IssuerID issuer not None,
    Template template not None,
    int template_slot,
    SingleResponse response not None,
    bytes sha1_signature,
    bytes sha256_signature,
):
    """Pack a record of format 1. Raises ValueError for what it has no place for."""
    cdef int flags = flags_of(
        &response.status, template, sha1_signature is not None, sha256_signature is not None
    )
    cdef uint8_t* out = NULL
    cdef bytes record
    check_encodable(&response.status, template_slot, flags)
    for signature in (sha1_signature, sha256_signature):
        if signature is not None and len(signature) != template.signature_size:
            raise ValueError(
                f"a signature has {len(signature)} octets, the template's {template.signature_size}"
            )
    record = unsigned_record(template, flags, template_slot, &response.status, &out)
    if sha1_signature is not None:
        out = put_bytes(out, octets(sha1_signature), PyBytes_GET_SIZE(sha1_signature))
    if sha256_signature is not None:
        put_bytes(out, octets(sha256_signature), PyBytes_GET_SIZE(sha256_signature))
    put_checksum(record, issuer, response.serial_number)
    return record


def record_slot(bytes record not None):
    """Template slot of a record whose checksum was not looked at yet. Raises UnknownFormat, RecordDamaged."""
    cdef int slot = slot_of(record)
    if slot < 0:
        raise record_error(-slot, record)
    return slot


cdef int slot_of(bytes record) noexcept:
    """Template slot of a record whose checksum was not looked at yet, or a negative RecordStatus."""
    cdef const uint8_t* data = octets(record)
    if PyBytes_GET_SIZE(record) < FIXED_SIZE:
        return -RECORD_DAMAGED
    return -RECORD_UNKNOWN_FORMAT if data[0] & FORMAT_AND_RAW else data[SLOT]


@cython.final
cdef class Record:
    """A decoded record: what it says, its template slot, one raw signature per CertID hash algorithm."""

    def __init__(self):
        raise TypeError("a Record comes from decode_record")


cdef SingleResponse response_of(const SingleStatus* status, bytes serial_number):
    try:
        return SingleResponse(
            serial_number,
            this_update=status.this_update,
            produced_at=status.produced_at,
            next_update=status.next_update,
            revocation_time=status.revocation_time if status.revoked else None,
            reason=status.reason,
        )
    except ValueError as error:  # the checksum is right, so somebody else than encode_record made it
        raise RecordDamaged(f"a record says what cannot be: {error}") from error


def decode_record(
    IssuerID issuer not None, Template template not None, bytes serial_number not None, bytes record not None
):
    """Unpack a record, checked against the issuer and serial it was asked for.

    Raises RecordDamaged, UnknownFormat.
    """
    cdef RecordView view
    cdef Record decoded
    view_of(record, template, issuer, serial_number, &view)
    decoded = Record.__new__(Record)
    decoded.template_slot = view.template_slot
    decoded.response = response_of(&view.status, serial_number)
    if view.sha1_signature != NULL:
        decoded.sha1_signature = view.sha1_signature[:template.signature_size]
    if view.sha256_signature != NULL:
        decoded.sha256_signature = view.sha256_signature[:template.signature_size]
    return decoded
