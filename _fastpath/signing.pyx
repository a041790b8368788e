"""Records between ledger and key: what rows of the ledger give to sign, then the records with signatures.

Everything is checked when the rows are taken, so that nothing is signed that no record could hold. Where
responses differ in nothing but the serial, the first is written and the others are copies with their own.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t

from _fastpath.certid cimport HASH_SHA1, HASH_SHA256, IssuerID, is_minimal_serial
from _fastpath.ocsp cimport (
    SingleStatus,
    check_status,
    good_response_data_like,
    put_raw_signature,
    response_data_of,
)
from _fastpath.page cimport check_encodable, flags_of, put_checksum, unsigned_record
from _fastpath.template cimport Template

cdef enum:  # of a row
    ROW_SERIAL = 1
    ROW_NOT_AFTER = 2
    ROW_REVOCATION_TIME = 3
    ROW_REASON = 4
    ROW_FIELDS = 5  # at least


cdef inline bint is_same_but_for_serial(
    const SingleStatus* one, bytes serial, const SingleStatus* other, bytes other_serial
) noexcept:
    """Whether two certificates of a lot get the same ResponseData, with the serial in the same place."""
    return (
        not one.revoked
        and not other.revoked
        and one.next_update == other.next_update
        and PyBytes_GET_SIZE(serial) == PyBytes_GET_SIZE(other_serial)
        and (PyBytes_AS_STRING(serial)[0] ^ PyBytes_AS_STRING(other_serial)[0]) & 0x80 == 0
    )


@cython.final
cdef class UnsignedRecords:
    """Records of one issuer under one template, all with the same thisUpdate, before they are signed."""

    cdef IssuerID issuer
    cdef Template template
    cdef int template_slot
    cdef bint has_sha1
    cdef bint has_sha256
    cdef Py_ssize_t signatures  # that each record needs
    cdef list serials
    cdef SingleStatus* statuses  # as many; owned

    def __cinit__(
        self,
        IssuerID issuer not None,
        Template template not None,
        int template_slot,
        tuple certid_algorithms not None,
        list rows not None,
        *,
        int64_t this_update,
        int64_t produced_at,
        int64_t earliest,
        int64_t latest,
    ):
        self.issuer = issuer
        self.template = template
        self.template_slot = template_slot
        for algorithm in certid_algorithms:
            issuer.lookup_key(algorithm)  # ValueError for one that is not ours
        self.has_sha1 = HASH_SHA1 in certid_algorithms
        self.has_sha256 = HASH_SHA256 in certid_algorithms
        self.signatures = self.has_sha1 + self.has_sha256
        self.serials = []
        cdef Py_ssize_t count = len(rows)
        self.statuses = <SingleStatus*>PyMem_Calloc(<size_t>count, sizeof(SingleStatus))
        if self.statuses == NULL:
            raise MemoryError
        for index in range(count):
            row = rows[index]
            if not PyTuple_Check(row) or PyTuple_GET_SIZE(row) < ROW_FIELDS:
                raise TypeError("a row is a tuple of hash32, serial, notAfter, revocation time and reason")
            self.take(<tuple>row, this_update, produced_at, earliest, latest)

    def __dealloc__(self):
        PyMem_Free(self.statuses)

    cdef int take(
        self, tuple row, int64_t this_update, int64_t produced_at, int64_t earliest, int64_t latest
    ) except -1:
        """Add a row. Raises ValueError for what a response or a record has no place for."""
        cdef bytes serial = row[ROW_SERIAL]
        cdef SingleStatus* status = &self.statuses[len(self.serials)]
        cdef int64_t not_after = row[ROW_NOT_AFTER]
        revocation_time = row[ROW_REVOCATION_TIME]
        if serial is None or not is_minimal_serial(serial):
            raise ValueError("a serial number is 1 to 20 octets without leading zeros")
        status.revoked = revocation_time is not None
        status.reason = row[ROW_REASON]
        status.this_update = this_update
        status.produced_at = produced_at
        status.next_update = min(max(not_after, earliest), latest)
        status.revocation_time = revocation_time if status.revoked else 0
        check_status(status)
        check_encodable(status, self.template_slot, self.flags(status))
        self.serials.append(serial)
        return 0

    cdef int flags(self, const SingleStatus* status) noexcept:
        return flags_of(status, self.template, self.has_sha1, self.has_sha256)

    def __len__(self):
        return len(self.serials)

    def serial_of(self, Py_ssize_t index):
        """Serial number of the record that the signature of this index in `response_data` goes into."""
        return self.serials[index // self.signatures]

    def response_data(self):
        """What to sign: for each record DER ResponseData with the SHA-1 CertID, then the SHA-256 CertID."""
        cdef list data = []
        cdef bytes sha1 = None
        cdef bytes sha256 = None
        cdef bytes last = None
        cdef bytes serial
        cdef Py_ssize_t index
        cdef const SingleStatus* status
        for index in range(len(self.serials)):
            serial = self.serials[index]
            status = &self.statuses[index]
            if last is not None and is_same_but_for_serial(status, serial, status - 1, last):
                sha1 = good_response_data_like(sha1, serial) if self.has_sha1 else None
                sha256 = good_response_data_like(sha256, serial) if self.has_sha256 else None
            else:
                sha1 = self.encode(HASH_SHA1, serial, status) if self.has_sha1 else None
                sha256 = self.encode(HASH_SHA256, serial, status) if self.has_sha256 else None
            if self.has_sha1:
                data.append(sha1)
            if self.has_sha256:
                data.append(sha256)
            last = serial
        return data

    cdef bytes encode(self, int hash_algorithm, bytes serial, const SingleStatus* status):
        return response_data_of(self.template, self.issuer, hash_algorithm, serial, status)

    def records(self, list signatures not None):
        """The records by serial, with the signatures of `response_data`, as the key makes them.

        Raises ValueError for another number of them, or one that does not fit the template.
        """
        cdef Py_ssize_t index, which
        cdef uint8_t* out = NULL
        cdef const SingleStatus* status
        cdef bytes record, signature
        cdef dict records = {}
        if len(signatures) != self.signatures * len(self.serials):
            raise ValueError(f"{len(signatures)} signatures for {len(self.serials)} records")
        for index in range(len(self.serials)):
            status = &self.statuses[index]
            record = unsigned_record(self.template, self.flags(status), self.template_slot, status, &out)
            for which in range(self.signatures * index, self.signatures * (index + 1)):
                signature = signatures[which]
                if signature is None:
                    raise TypeError("a signature is bytes")
                put_raw_signature(out, self.template, signature)
                out += self.template.signature_size
            put_checksum(record, self.issuer, self.serials[index])
            records[self.serials[index]] = record
        return records
