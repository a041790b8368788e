"""The second reader of CRLs (RFC 5280 section 5): what was written is checked with it.

It shares none of the writer's code. It takes only what conformance rows C-01 to C-15 allow: version 2, one
algorithm named twice, both dates, no empty list, reasonCode as the only entry extension and the three CRL
extensions; whether a reason, date or URL is the right one is for its caller to say. It holds the CRL it was
given and walks the entries in place.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp

from _fastpath.der cimport (
    BIT_STRING,
    BOOLEAN,
    CONTEXT_0,
    CONTEXT_1,
    CONTEXT_2,
    CONTEXT_6,
    DER_BAD_TAG,
    DER_BAD_VALUE,
    DER_OK,
    ENUMERATED,
    EXPLICIT_0,
    GENERALIZED_TIME,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    UTC_TIME,
    Cursor,
    at_end,
    cursor_over,
    der_error,
    peek_tag,
    read_expected,
    read_explicit,
    read_generalized_time,
    read_tlv,
    read_unsigned,
    read_utc_time,
)

cdef enum:
    SERIAL_MAX = 20  # octets (RFC 5280 section 4.1.2.2)

YEAR_2050 = 2524608000


cdef enum EntryField:
    ENTRY_WHOLE
    ENTRY_SERIAL
    ENTRY_DATE
    ENTRY_REASON

cdef tuple ENTRY_FIELDS = ("entry", "userCertificate", "revocationDate", "crlEntryExtensions")


cdef int read_crl_time(Cursor* cursor, int64_t* seconds) noexcept nogil:
    """Time in the only form its year may have (C-05)."""
    cdef Cursor content
    cdef uint8_t tag = 0
    cdef int status = read_tlv(cursor, &tag, &content)
    if status != DER_OK:
        return status
    if tag == UTC_TIME:
        return read_utc_time(&content, seconds)
    if tag != GENERALIZED_TIME:
        return DER_BAD_TAG
    status = read_generalized_time(&content, seconds)
    return DER_BAD_VALUE if status == DER_OK and seconds[0] < YEAR_2050 else status


cdef int read_reason(Cursor extensions, int* reason) noexcept nogil:
    """Content of crlEntryExtensions: one non-critical reasonCode, not 0 (C-15) and defined in RFC 5280."""
    cdef Cursor extension, oid, code
    cdef int status = read_expected(&extensions, SEQUENCE, &extension)
    if status == DER_OK:
        status = at_end(&extensions)
    if status == DER_OK:
        status = read_expected(&extension, OBJECT_IDENTIFIER, &oid)
    if status != DER_OK:
        return status
    if oid.left != 3 or memcmp(oid.pos, b"\x55\x1d\x15", 3) != 0:
        return DER_BAD_VALUE
    status = read_explicit(&extension, OCTET_STRING, ENUMERATED, &code)
    if status == DER_OK:
        status = at_end(&extension)
    if status != DER_OK:
        return status
    if code.left != 1 or code.pos[0] == 0 or code.pos[0] == 7 or code.pos[0] > 10:
        return DER_BAD_VALUE
    reason[0] = code.pos[0]
    return DER_OK


cdef int read_serial(Cursor* cursor, Cursor* serial) noexcept nogil:
    cdef Cursor content
    cdef int status = read_expected(cursor, INTEGER, &content)
    if status == DER_OK:
        status = read_unsigned(&content, serial)
    return DER_BAD_VALUE if status == DER_OK and serial.left > SERIAL_MAX else status


cdef int read_entry(Cursor* cursor, Entry* entry) noexcept nogil:
    """Take one entry off the content of revokedCertificates."""
    cdef Cursor fields, extensions
    entry.field = ENTRY_WHOLE
    entry.reason = 0
    cdef int status = read_expected(cursor, SEQUENCE, &fields)
    if status == DER_OK:
        entry.field = ENTRY_SERIAL
        status = read_serial(&fields, &entry.serial)
    if status == DER_OK:
        entry.field = ENTRY_DATE
        status = read_crl_time(&fields, &entry.revocation_time)
    if status != DER_OK or fields.left == 0:
        return status
    entry.field = ENTRY_REASON
    status = read_expected(&fields, SEQUENCE, &extensions)
    if status == DER_OK:
        status = at_end(&fields)
    return status if status != DER_OK else read_reason(extensions, &entry.reason)


cdef int read_true(Cursor* cursor, uint8_t tag) noexcept nogil:
    cdef Cursor content
    cdef int status = read_expected(cursor, tag, &content)
    if status == DER_OK and (content.left != 1 or content.pos[0] != 0xFF):
        status = DER_BAD_VALUE
    return status


cdef int read_idp(Cursor content, Cursor* url) noexcept nogil:
    """Content of an IssuingDistributionPoint: at most one URL and one scope, not nothing (C-10, C-11)."""
    cdef Cursor point
    cdef int status = DER_OK
    if content.left == 0:
        return DER_BAD_VALUE
    if peek_tag(&content) == EXPLICIT_0:
        status = read_expected(&content, EXPLICIT_0, &point)
        if status == DER_OK:
            status = read_explicit(&point, EXPLICIT_0, CONTEXT_6, url)
        if status == DER_OK:
            status = at_end(&point)
        if status == DER_OK and url.left == 0:
            status = DER_BAD_VALUE
    if status == DER_OK and content.left:
        status = read_true(&content, CONTEXT_2 if peek_tag(&content) == CONTEXT_2 else CONTEXT_1)
    return status if status != DER_OK else at_end(&content)


cdef bytes octets(const Cursor* span):
    return <bytes>span.pos[:span.left]


cdef bint next_entry(Cursor* left, Entry* entry) noexcept nogil:
    return left.left > 0 and read_entry(left, entry) == DER_OK


cdef tuple entry_value(const Entry* entry):
    return octets(&entry.serial), entry.revocation_time, entry.reason


cdef int require(int status, str what) except -1:
    if status != DER_OK:
        raise der_error(status, what)
    return 0


cdef Cursor take(Cursor* cursor, uint8_t tag, Cursor* whole, str what) except *:
    """Content of the next value; `whole`, if asked for, is the same with tag and length."""
    cdef Cursor content
    cdef const uint8_t* start = cursor.pos
    cursor_over(&content, NULL, 0)
    require(read_expected(cursor, tag, &content), what)
    if whole != NULL:
        cursor_over(whole, start, cursor.pos - start)
    return content


@cython.final
cdef class CrlEntries:
    """Walks the entries of a CRL that was read whole before, so nothing can fail here."""

    cdef Crl crl
    cdef Cursor left

    def __iter__(self):
        return self

    def __next__(self):
        cdef Entry entry
        if not next_entry(&self.left, &entry):
            raise StopIteration
        return entry_value(&entry)


@cython.final
cdef class Crl:
    """A CRL in the profile this project writes, every octet of which was read. Raises MalformedDer by field.

    `len` is the number of entries; iterating gives them as `encode_tbs_cert_list` takes them.
    """

    def __cinit__(self, bytes data not None):
        self.data = data
        self.read_certificate_list()

    cdef int read_certificate_list(self) except -1:
        cdef Cursor cursor, fields, bits, tbs_fields
        cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(self.data), PyBytes_GET_SIZE(self.data))
        fields = take(&cursor, SEQUENCE, NULL, "CertificateList")
        require(at_end(&cursor), "CertificateList")
        tbs_fields = take(&fields, SEQUENCE, &self.tbs, "tbsCertList")
        take(&fields, SEQUENCE, &self.algorithm, "signatureAlgorithm")
        bits = take(&fields, BIT_STRING, NULL, "signatureValue")
        require(at_end(&fields), "CertificateList")
        if bits.left < 2 or bits.pos[0] != 0:
            raise der_error(DER_BAD_VALUE, "signatureValue")
        cursor_over(&self.signature_bits, bits.pos + 1, bits.left - 1)
        return self.read_tbs_cert_list(tbs_fields)

    cdef int read_tbs_cert_list(self, Cursor fields) except -1:
        cdef Cursor version, algorithm, extensions
        version = take(&fields, INTEGER, NULL, "version")
        if version.left != 1 or version.pos[0] != 1:  # v2 (C-01)
            raise der_error(DER_BAD_VALUE, "version")
        take(&fields, SEQUENCE, &algorithm, "signature")
        if octets(&algorithm) != octets(&self.algorithm):  # C-03
            raise der_error(DER_BAD_VALUE, "signature, not equal to signatureAlgorithm")
        take(&fields, SEQUENCE, &self.issuer, "issuer")
        require(read_crl_time(&fields, &self.this_update_seconds), "thisUpdate")
        require(read_crl_time(&fields, &self.next_update_seconds), "nextUpdate")
        self.read_entries(&fields)
        require(read_explicit(&fields, EXPLICIT_0, SEQUENCE, &extensions), "crlExtensions")
        require(at_end(&fields), "tbsCertList")
        return self.read_extensions(extensions)

    cdef int read_entries(self, Cursor* fields) except -1:
        cdef Cursor left
        cdef Entry entry
        cdef Py_ssize_t count = 0
        cdef int status = DER_OK
        cursor_over(&self.entries, fields.pos, 0)
        if peek_tag(fields) != SEQUENCE:
            return 0
        require(read_expected(fields, SEQUENCE, &self.entries), "revokedCertificates")
        if self.entries.left == 0:  # C-13
            raise der_error(DER_BAD_VALUE, "revokedCertificates: present and empty")
        left = self.entries
        with nogil:
            while left.left:
                status = read_entry(&left, &entry)
                if status != DER_OK:
                    break
                count += 1
        if status != DER_OK:
            raise der_error(status, f"revokedCertificates, entry {count}, {ENTRY_FIELDS[entry.field]}")
        self.entry_count = count
        return 0

    cdef int read_extensions(self, Cursor extensions) except -1:
        cdef Cursor extension
        cdef int index = 0
        while extensions.left:
            require(read_expected(&extensions, SEQUENCE, &extension), f"crlExtensions, extension {index}")
            require(self.read_extension(&extension), f"crlExtensions, extension {index}")
            index += 1
        if self.key_identifier.left == 0:
            raise der_error(DER_BAD_VALUE, "crlExtensions: no authorityKeyIdentifier")
        if self.number.left == 0:
            raise der_error(DER_BAD_VALUE, "crlExtensions: no cRLNumber")
        return 0

    cdef int read_extension(self, Cursor* extension) noexcept nogil:
        """One extension of C-07, each at most once and with the criticality it must have."""
        cdef Cursor oid, value, inner, content
        cdef uint8_t which
        cdef int status = read_expected(extension, OBJECT_IDENTIFIER, &oid)
        if status != DER_OK:
            return status
        if oid.left != 3 or memcmp(oid.pos, b"\x55\x1d", 2) != 0:
            return DER_BAD_VALUE
        which = oid.pos[2]
        if which == 28:
            status = read_true(extension, BOOLEAN)
        if status == DER_OK:
            status = read_expected(extension, OCTET_STRING, &value)
        if status == DER_OK:
            status = at_end(extension)
        if status != DER_OK:
            return status
        inner = value
        status = read_expected(&inner, INTEGER if which == 20 else SEQUENCE, &content)
        if status == DER_OK:
            status = at_end(&inner)
        if status != DER_OK:
            return status
        if which == 20 and self.number.left == 0 and content.left <= SERIAL_MAX:  # C-08
            return read_unsigned(&content, &self.number)
        if which == 28 and self.distribution_point.left == 0:
            self.distribution_point = value
            return read_idp(content, &self.url)
        if which == 35 and self.key_identifier.left == 0:
            status = read_expected(&content, CONTEXT_0, &self.key_identifier)
            return status if status != DER_OK else at_end(&content)
        return DER_BAD_VALUE

    @property
    def tbs_cert_list(self):
        return octets(&self.tbs)

    @property
    def signature_algorithm(self):
        return octets(&self.algorithm)

    @property
    def signature(self):
        return octets(&self.signature_bits)

    @property
    def issuer_name(self):
        return octets(&self.issuer)

    @property
    def this_update(self):
        return self.this_update_seconds

    @property
    def next_update(self):
        return self.next_update_seconds

    @property
    def crl_number(self):
        return int.from_bytes(octets(&self.number), "big")

    @property
    def authority_key_identifier(self):
        return octets(&self.key_identifier)

    @property
    def issuing_distribution_point(self):
        """DER value of the extension, or None for a full CRL."""
        return octets(&self.distribution_point) if self.distribution_point.left else None

    @property
    def distribution_point_url(self):
        # Latin-1 shows any octet: a URL that is not ASCII then differs from the one expected.
        return octets(&self.url).decode("latin-1") if self.url.left else None

    def __len__(self):
        return self.entry_count

    def __iter__(self):
        cdef CrlEntries entries = CrlEntries.__new__(CrlEntries)
        entries.crl = self
        entries.left = self.entries
        return entries
