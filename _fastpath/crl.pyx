"""Writes CRLs (RFC 5280 section 5) in one pass over the entries.

They grow one buffer, which is copied once, behind the header, when its size is known.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, realloc

from _fastpath.der cimport (
    BIT_STRING,
    CONTEXT_0,
    CONTEXT_6,
    DER_OK,
    EXPLICIT_0,
    GENERALIZED_TIME_SIZE,
    OCTET_STRING,
    SEQUENCE,
    UTC_TIME_SIZE,
    Cursor,
    at_end,
    cursor_over,
    der_error,
    put_bytes,
    put_generalized_time,
    put_header,
    put_unsigned,
    put_utc_time,
    read_expected,
    tlv_size,
    unsigned_size,
)

from _fastpath.der import encode, encode_unsigned

cdef enum:
    SERIAL_MAX = 20  # octets (RFC 5280 section 4.1.2.2)
    REASON_SIZE = 14  # crlEntryExtensions TLV with a reasonCode
    ENTRY_MAX = 2 + 2 + 1 + SERIAL_MAX + GENERALIZED_TIME_SIZE + REASON_SIZE
    FIRST_ROOM = 4096
    LIST_MAX = 0x7FFFFFFF  # keeps every length within four octets

# RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime after.
cdef int64_t YEAR_1950 = -631152000
cdef int64_t YEAR_2050 = 2524608000
cdef int64_t YEAR_10000 = 253402300800


cdef struct EntryList:
    uint8_t* data  # from realloc; encode_tbs_cert_list frees it
    Py_ssize_t used
    Py_ssize_t size


cdef inline Py_ssize_t time_size(int64_t seconds) noexcept nogil:
    return UTC_TIME_SIZE if seconds < YEAR_2050 else GENERALIZED_TIME_SIZE


cdef inline uint8_t* put_time(uint8_t* out, int64_t seconds) noexcept nogil:
    return put_utc_time(out, seconds) if seconds < YEAR_2050 else put_generalized_time(out, seconds)


cdef uint8_t* put_reason(uint8_t* out, int reason) noexcept nogil:
    """crlEntryExtensions holding a non-critical reasonCode (RFC 5280 section 5.3.1)."""
    out = put_bytes(out, b"\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01", REASON_SIZE - 1)
    out[0] = <uint8_t>reason
    return out + 1


cdef int make_room(EntryList* entries) except -1:
    """Room for one more entry of any size."""
    cdef Py_ssize_t size = entries.size
    cdef uint8_t* data = NULL
    if size - entries.used >= ENTRY_MAX:
        return 0
    size += size // 2 + FIRST_ROOM
    if size > LIST_MAX:
        raise ValueError("the list of revoked certificates grows beyond 2 GiB")
    data = <uint8_t*>realloc(entries.data, <size_t>size)
    if data == NULL:
        raise MemoryError
    entries.data = data
    entries.size = size
    return 0


cdef inline bint has_time(int64_t seconds) noexcept nogil:
    return YEAR_1950 <= seconds < YEAR_10000


cdef int check_entry(Py_ssize_t index, bytes serial, int64_t revocation_time, int64_t reason) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(serial)
    cdef str what = None
    if size == 0 or size > SERIAL_MAX:
        what = f"{size} octets, not 1 to 20"
    elif size > 1 and PyBytes_AS_STRING(serial)[0] == 0:
        what = "leading zero octet"
    elif not has_time(revocation_time):
        what = f"revocation time {revocation_time} is not in the years 1950 to 9999"
    elif reason not in (0, 1, 3, 4, 5, 9):  # C-15, C-21; 0 stands for unspecified, which is left out
        what = f"reason {reason} is not 0, 1, 3, 4, 5 or 9"
    if what is not None:
        raise ValueError(f"entry {index}, serial {serial.hex()}: {what}")
    return 0


cdef uint8_t* put_entry(
    uint8_t* out, const uint8_t* serial, Py_ssize_t size, int64_t revocation_time, int reason
) noexcept nogil:
    cdef Py_ssize_t content = unsigned_size(serial, size) + time_size(revocation_time)
    if reason:
        content += REASON_SIZE
    out = put_header(out, SEQUENCE, content)
    out = put_unsigned(out, serial, size)
    out = put_time(out, revocation_time)
    return put_reason(out, reason) if reason else out


cdef int write_entries(EntryList* written, entries) except -1:
    cdef Py_ssize_t index = 0
    cdef bytes serial
    cdef int64_t revocation_time, reason
    cdef uint8_t* end
    for entry in entries:
        serial_object, time_object, reason_object = entry
        if type(serial_object) is not bytes:
            raise TypeError(f"entry {index}: serial is {type(serial_object).__name__}, not bytes")
        serial = <bytes>serial_object
        revocation_time = time_object
        reason = reason_object
        check_entry(index, serial, revocation_time, reason)
        make_room(written)
        end = put_entry(
            written.data + written.used,
            <const uint8_t*>PyBytes_AS_STRING(serial),
            PyBytes_GET_SIZE(serial),
            revocation_time,
            <int>reason,
        )
        written.used = end - written.data
        index += 1
    return 0


cdef bytes encode_crl_time(int64_t seconds, str what):
    if not has_time(seconds):
        raise ValueError(f"{what}: {seconds} is not in the years 1950 to 9999")
    cdef bytes result = PyBytes_FromStringAndSize(NULL, time_size(seconds))
    put_time(<uint8_t*>PyBytes_AS_STRING(result), seconds)
    return result


cdef bytes one_sequence(bytes value, str what):
    """`value` itself, once it is known to be one SEQUENCE."""
    cdef Cursor cursor, content
    cursor_over(&cursor, <const uint8_t*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    cdef int status = read_expected(&cursor, SEQUENCE, &content)
    if status == DER_OK:
        status = at_end(&cursor)
    if status != DER_OK:
        raise der_error(status, what)
    return value


cdef bytes encode_extension(bytes oid, bint critical, bytes value):
    return encode(SEQUENCE, oid + (b"\x01\x01\xff" if critical else b"") + encode(OCTET_STRING, value))


cdef bytes encode_extensions(bytes key_identifier, crl_number, bytes issuing_distribution_point):
    """crlExtensions: exactly those of conformance row C-07."""
    if not key_identifier:
        raise ValueError("authority key identifier: empty")
    if crl_number < 0 or crl_number >= 1 << 159:  # C-08
        raise ValueError(f"CRL number: {crl_number} is negative or needs more than 20 octets")
    number = crl_number.to_bytes(max(1, (crl_number.bit_length() + 7) // 8), "big")
    extensions = encode_extension(
        b"\x06\x03\x55\x1d\x23", False, encode(SEQUENCE, encode(CONTEXT_0, key_identifier))
    )
    extensions += encode_extension(b"\x06\x03\x55\x1d\x14", False, encode_unsigned(number))
    if issuing_distribution_point is not None:
        one_sequence(issuing_distribution_point, "issuing distribution point")
        extensions += encode_extension(b"\x06\x03\x55\x1d\x1c", True, issuing_distribution_point)
    return encode(EXPLICIT_0, encode(SEQUENCE, extensions))


cdef bytes join_tbs(bytes head, const EntryList* entries, bytes tail):
    cdef Py_ssize_t head_size = PyBytes_GET_SIZE(head)
    cdef Py_ssize_t tail_size = PyBytes_GET_SIZE(tail)
    cdef Py_ssize_t size = head_size + tail_size
    if entries.used:  # C-13: no empty list
        size += tlv_size(entries.used)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, tlv_size(size))
    cdef uint8_t* out = put_header(<uint8_t*>PyBytes_AS_STRING(result), SEQUENCE, size)
    out = put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(head), head_size)
    if entries.used:
        out = put_header(out, SEQUENCE, entries.used)
        out = put_bytes(out, entries.data, entries.used)
    put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(tail), tail_size)
    return result


def encode_issuing_distribution_point(
    str url, *, bint only_contains_user_certs=False, bint only_contains_ca_certs=False
):
    """DER IssuingDistributionPoint (RFC 5280 section 5.2.5) with one URL at most, byte for byte as given.

    Raises ValueError for what C-11 excludes: both scopes, nothing at all, or a URL that is not ASCII.
    """
    cdef bytes content = b""
    if only_contains_user_certs and only_contains_ca_certs:
        raise ValueError("issuing distribution point: a CRL covers user certificates or CA certificates only")
    if url is not None:
        if not url or not url.isascii():
            raise ValueError(f"issuing distribution point: {url!r} is not an ASCII URL")
        content = encode(EXPLICIT_0, encode(EXPLICIT_0, encode(CONTEXT_6, url.encode())))
    if only_contains_user_certs:
        content += b"\x81\x01\xff"
    if only_contains_ca_certs:
        content += b"\x82\x01\xff"
    if not content:
        raise ValueError("issuing distribution point: neither URL nor scope, the extension would be empty")
    return encode(SEQUENCE, content)


def encode_tbs_cert_list(
    entries,
    *,
    bytes signature_algorithm not None,
    bytes issuer_name not None,
    int64_t this_update,
    int64_t next_update,
    bytes authority_key_identifier not None,
    crl_number,
    bytes issuing_distribution_point,
):
    """DER TBSCertList (RFC 5280 section 5.1.2) of `entries` in the order they come.

    Raises ValueError, naming entry or field, for what may not stand in a CRL, and whatever `entries` raises.
    """
    cdef EntryList written
    written.data = NULL
    written.used = 0
    written.size = 0
    cdef bytes head = (
        b"\x02\x01\x01"  # v2
        + one_sequence(signature_algorithm, "signature algorithm")
        + one_sequence(issuer_name, "issuer name")
        + encode_crl_time(this_update, "thisUpdate")
        + encode_crl_time(next_update, "nextUpdate")
    )
    cdef bytes tail = encode_extensions(authority_key_identifier, crl_number, issuing_distribution_point)
    try:
        write_entries(&written, entries)
        return join_tbs(head, &written, tail)
    finally:
        free(written.data)


def encode_crl(bytes tbs_cert_list not None, bytes signature_algorithm not None, bytes signature not None):
    """DER CertificateList of a TBSCertList and its signature, given as the octets of the BIT STRING."""
    cdef Py_ssize_t tbs_size = PyBytes_GET_SIZE(tbs_cert_list)
    cdef bytes tail = one_sequence(signature_algorithm, "signature algorithm") + encode(
        BIT_STRING, b"\0" + signature
    )
    cdef Py_ssize_t tail_size = PyBytes_GET_SIZE(tail)
    one_sequence(tbs_cert_list, "tbsCertList")
    cdef bytes result = PyBytes_FromStringAndSize(NULL, tlv_size(tbs_size + tail_size))
    cdef uint8_t* out = put_header(<uint8_t*>PyBytes_AS_STRING(result), SEQUENCE, tbs_size + tail_size)
    out = put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(tbs_cert_list), tbs_size)
    put_bytes(out, <const uint8_t*>PyBytes_AS_STRING(tail), tail_size)
    return result
