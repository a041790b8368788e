"""What is asked of all entries of a CRL before it is published, walked in place.

Nothing here reads octets itself: the second reader has read the whole CRL before, so that no entry can fail.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp

from _fastpath.crl_reader cimport YEAR_2050, Crl, Entry, entry_value, next_entry
from _fastpath.der cimport Cursor, cursor_over, unsigned_size

cdef enum:
    NOWHERE = -1


cdef object index_or_none(Py_ssize_t index):
    return None if index == NOWHERE else index


cdef bint is_above(const Cursor* serial, const Cursor* before) noexcept nogil:
    """As octets, the way the ledger sorts: a longer one is above its own beginning."""
    cdef Py_ssize_t shorter = min(serial.left, before.left)
    cdef int order = memcmp(serial.pos, before.pos, <size_t>shorter)
    return order > 0 or (order == 0 and serial.left > before.left)


cdef bint says(const Entry* entry, tuple expected) except -1:
    cdef bytes serial = expected[0]
    return (
        PyBytes_GET_SIZE(serial) == entry.serial.left
        and memcmp(PyBytes_AS_STRING(serial), entry.serial.pos, <size_t>entry.serial.left) == 0
        and expected[1] == entry.revocation_time
        and expected[2] == entry.reason
    )


def first_difference(Crl crl not None, expected):
    cdef Cursor left = crl.entries
    cdef Entry entry
    cdef Py_ssize_t index = 0
    for one in expected:
        if not next_entry(&left, &entry):
            return index, None, one
        if not says(&entry, one):
            return index, entry_value(&entry), one
        index += 1
    return (index, entry_value(&entry), None) if next_entry(&left, &entry) else None


def first_out_of_order(Crl crl not None):
    cdef Cursor left = crl.entries
    cdef Cursor before
    cdef Entry entry
    cdef Py_ssize_t index = 0
    cdef Py_ssize_t found = NOWHERE
    before.pos = NULL
    before.left = 0
    with nogil:
        while found == NOWHERE and next_entry(&left, &entry):
            if index > 0 and not is_above(&entry.serial, &before):
                found = index
            before = entry.serial
            index += 1
    return index_or_none(found)


def first_reason_outside(Crl crl not None, reasons):
    cdef Cursor left = crl.entries
    cdef Entry entry
    cdef Py_ssize_t index = 0
    cdef Py_ssize_t found = NOWHERE
    cdef unsigned int allowed = 0  # a bit for each reason
    for reason in reasons:
        allowed |= 1 << <unsigned int>reason
    with nogil:
        while found == NOWHERE and next_entry(&left, &entry):
            if not allowed >> entry.reason & 1:
                found = index
            index += 1
    return index_or_none(found)


def first_revoked_after(Crl crl not None, int64_t seconds):
    cdef Cursor left = crl.entries
    cdef Entry entry
    cdef Py_ssize_t index = 0
    cdef Py_ssize_t found = NOWHERE
    with nogil:
        while found == NOWHERE and next_entry(&left, &entry):
            if entry.revocation_time > seconds:
                found = index
            index += 1
    return index_or_none(found)


def sample(Crl crl not None):
    cdef Cursor left = crl.entries
    cdef Entry entry
    cdef unsigned int sizes = 0, reasons = 0, forms = 0  # a bit for each that was seen
    cdef unsigned int size, reason, form
    cdef list chosen = []
    while next_entry(&left, &entry):
        size = 1 << unsigned_size(entry.serial.pos, entry.serial.left)
        reason = 1 << entry.reason
        form = 1 << (entry.revocation_time >= YEAR_2050)
        if not (size & sizes and reason & reasons and form & forms):
            chosen.append(entry_value(&entry))
            sizes, reasons, forms = sizes | size, reasons | reason, forms | form
    return chosen


def serials_absent(Crl crl not None, serials):
    cdef Cursor left = crl.entries
    cdef Cursor wanted
    cdef Entry entry
    cdef bint more = next_entry(&left, &entry)
    cdef bytes serial
    cdef list absent = []
    for one in serials:
        serial = one
        cursor_over(&wanted, <const uint8_t*>PyBytes_AS_STRING(serial), PyBytes_GET_SIZE(serial))
        while more and is_above(&wanted, &entry.serial):
            more = next_entry(&left, &entry)
        if not more or is_above(&entry.serial, &wanted):
            absent.append(serial)
    return absent
