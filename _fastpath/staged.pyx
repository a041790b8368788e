"""Certificates on their way into the ledger, packed so that they sort as octets.

    hash32 4 | serial 20, zeros behind it | its length 1 | status 1 | revocation time + 2^40, or 0, 8
    reason 1 | notAfter 8 | rank of the placement 1 | its series 2 | its index 2 | where it was read 8

The first of a serial's rows is its earliest revocation. Rows come from our own readers and temporary files:
sizes are checked, and what is in the rows leads nobody beyond them.
"""

from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, qsort
from libc.string cimport memcmp, memcpy

cdef enum:
    MOST_BUCKETS = 1 << 16
    FEW = 16  # rows that are sorted by insertion
    SHAPES = 3

cdef enum:  # what a row says decides which of its values are not the same for all
    PLAIN = 0  # good, and placed by the hash
    PLACED = 1  # good, in a shard that was named
    REVOKED = 2

ROW_SIZE = PACKED_SIZE
cdef int[SHAPES] WIDTHS = [4, 6, 8]

cdef enum:
    CHANGE_WIDTH = 2  # hash32 and serial


cdef inline uint64_t number_at(const uint8_t* data, int size) noexcept nogil:
    cdef uint64_t value = 0
    cdef int at
    for at in range(size):
        value = value << 8 | data[at]
    return value


cdef inline uint32_t hash_at(const uint8_t* row) noexcept nogil:
    return <uint32_t>number_at(row, 4)


cdef inline const uint8_t* octets(bytes rows) noexcept:
    return <const uint8_t*>PyBytes_AS_STRING(rows)


cdef Py_ssize_t count_of(bytes rows) except -1:
    if PyBytes_GET_SIZE(rows) % PACKED_SIZE:
        raise ValueError(f"{len(rows)} octets are not whole rows of {PACKED_SIZE}")
    return PyBytes_GET_SIZE(rows) // PACKED_SIZE


# Order.

cdef int compare(const void* one, const void* other) noexcept nogil:
    return memcmp(one, other, PACKED_SIZE)


cdef void insertion_sort(uint8_t* rows, Py_ssize_t count) noexcept nogil:
    cdef uint8_t held[PACKED_SIZE]
    cdef Py_ssize_t at, to
    for at in range(1, count):
        if memcmp(rows + (at - 1) * PACKED_SIZE, rows + at * PACKED_SIZE, PACKED_SIZE) <= 0:
            continue
        memcpy(held, rows + at * PACKED_SIZE, PACKED_SIZE)
        to = at
        while to > 0 and memcmp(rows + (to - 1) * PACKED_SIZE, held, PACKED_SIZE) > 0:
            memcpy(rows + to * PACKED_SIZE, rows + (to - 1) * PACKED_SIZE, PACKED_SIZE)
            to -= 1
        memcpy(rows + to * PACKED_SIZE, held, PACKED_SIZE)


cdef void sort_into(
    const uint8_t* rows, Py_ssize_t count, uint8_t* out, Py_ssize_t* ends, uint32_t buckets
) noexcept nogil:
    """By hash32 into `buckets` over the range there is, few rows each, then by all. `ends`: zeros."""
    cdef uint32_t least = hash_at(rows), most = least, value
    cdef int shift = 0
    cdef Py_ssize_t at, begin = 0, size
    for at in range(count):
        value = hash_at(rows + at * PACKED_SIZE)
        least, most = min(least, value), max(most, value)
    while (most - least) >> shift >= buckets:
        shift += 1
    for at in range(count):
        ends[(hash_at(rows + at * PACKED_SIZE) - least) >> shift] += 1
    for at in range(<Py_ssize_t>buckets):
        size = ends[at]
        ends[at] = begin
        begin += size
    for at in range(count):
        value = (hash_at(rows + at * PACKED_SIZE) - least) >> shift
        memcpy(out + ends[value] * PACKED_SIZE, rows + at * PACKED_SIZE, PACKED_SIZE)
        ends[value] += 1
    begin = 0
    for at in range(<Py_ssize_t>buckets):
        size = ends[at] - begin
        if size <= FEW:
            insertion_sort(out + begin * PACKED_SIZE, size)
        else:
            qsort(out + begin * PACKED_SIZE, <size_t>size, PACKED_SIZE, compare)
        begin = ends[at]


def sort_rows(bytes rows not None):
    cdef Py_ssize_t count = count_of(rows)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, count * PACKED_SIZE)
    cdef uint8_t* start = <uint8_t*>PyBytes_AS_STRING(out)
    if count == 0:
        return out
    cdef const uint8_t* unsorted = octets(rows)
    cdef uint32_t buckets = <uint32_t>min(count, MOST_BUCKETS)
    cdef Py_ssize_t* ends = <Py_ssize_t*>calloc(buckets, sizeof(Py_ssize_t))
    if ends == NULL:
        raise MemoryError
    with nogil:
        sort_into(unsorted, count, start, ends, buckets)
    free(ends)
    return out


def rows_up_to(bytes rows not None, bytes last not None):
    cdef Py_ssize_t low = 0, high = count_of(rows), middle
    if PyBytes_GET_SIZE(last) != PACKED_SIZE:
        raise ValueError(f"{len(last)} octets are not one row")
    while low < high:
        middle = low + (high - low) // 2
        if memcmp(octets(rows) + middle * PACKED_SIZE, octets(last), PACKED_SIZE) <= 0:
            low = middle + 1
        else:
            high = middle
    return low


def first_not_above(bytes rows not None):
    cdef Py_ssize_t count = count_of(rows), at = 1
    cdef const uint8_t* row = octets(rows)
    while at < count and memcmp(row, row + PACKED_SIZE, KEY_SIZE) < 0:
        row += PACKED_SIZE
        at += 1
    return None if at >= count else at


# What the constraints of the ledger ask.

def first_reason_outside(bytes rows not None, reasons not None):
    cdef Py_ssize_t count = count_of(rows), at
    cdef uint32_t allowed = 0, may
    cdef const uint8_t* row = octets(rows)
    for reason in reasons:
        allowed |= <uint32_t>1 << <int>reason
    for at in range(count):
        may = allowed if row[STATUS_AT] == STATUS_REVOKED else 1
        if row[REASON_AT] > 31 or not may >> row[REASON_AT] & 1:
            return at
        row += PACKED_SIZE
    return None


def series_of(bytes rows not None):
    cdef Py_ssize_t count = count_of(rows)
    cdef const uint8_t* row = octets(rows)
    cdef uint32_t seen = MOST_BUCKETS, series  # none
    cdef set found = set()
    for _ in range(count):
        if row[RANK_AT]:
            series = <uint32_t>number_at(row + SERIES_AT, 2)
            if series != seen:
                found.add(series)
                seen = series
        row += PACKED_SIZE
    return found


# Parameters.

cdef int shape_of(const uint8_t* row) noexcept nogil:
    if row[STATUS_AT] == STATUS_REVOKED:
        return REVOKED
    return PLACED if row[RANK_AT] else PLAIN


def by_shape(bytes rows not None):
    cdef Py_ssize_t count = count_of(rows), at
    cdef const uint8_t* row = octets(rows)
    cdef Py_ssize_t sizes[SHAPES]
    cdef uint8_t* outs[SHAPES]
    cdef list found = []
    cdef bytes out
    cdef int shape
    sizes[:] = [0, 0, 0]
    for at in range(count):
        sizes[shape_of(row + at * PACKED_SIZE)] += PACKED_SIZE
    for shape in range(SHAPES):
        out = PyBytes_FromStringAndSize(NULL, sizes[shape])
        outs[shape] = <uint8_t*>PyBytes_AS_STRING(out)
        found.append(out)
    for _ in range(count):
        shape = shape_of(row)
        memcpy(outs[shape], row, PACKED_SIZE)
        outs[shape] += PACKED_SIZE
        row += PACKED_SIZE
    return tuple(found)


cdef inline void put_value(tuple values, Py_ssize_t at, object value) noexcept:
    Py_INCREF(value)
    PyTuple_SET_ITEM(values, at, value)


cdef object serial_of(const uint8_t* row):
    """A bytearray, which the driver binds as it is: for `bytes` it asks about adapters first, which takes as
    long as inserting the row.
    """
    cdef Py_ssize_t size = row[LENGTH_AT]
    if size > SERIAL_SIZE:
        raise ValueError(f"a serial of {size} octets")
    return PyByteArray_FromStringAndSize(<const char*>row + SERIAL_AT, size)


cdef Py_ssize_t put_values(
    tuple values, Py_ssize_t at, const uint8_t* row, int shape, uint32_t shards, tuple placed_by
) except -1:
    """One row's; returns where the next begin."""
    cdef uint32_t hash32 = hash_at(row)
    put_value(values, at, hash32)
    put_value(values, at + 1, serial_of(row))
    put_value(values, at + 2, <int64_t>number_at(row + END_AT, 8))
    if shape == PLAIN:
        put_value(values, at + 3, hash32 % shards)
        return at + 4
    at = put_place(values, at + 3, row, shards, placed_by)
    if shape == PLACED:
        return at
    put_value(values, at, <int64_t>(number_at(row + TIME_AT, 8) - (<uint64_t>1 << TIME_BIAS_BITS)))
    put_value(values, at + 1, row[REASON_AT])
    return at + 2


cdef Py_ssize_t put_place(
    tuple values, Py_ssize_t at, const uint8_t* row, uint32_t shards, tuple placed_by
) except -1:
    """The first of `placed_by` is the series of those that name none, then comes who placed, by rank."""
    if row[RANK_AT]:
        put_value(values, at, <int>number_at(row + SERIES_AT, 2))
        put_value(values, at + 1, <int>number_at(row + INDEX_AT, 2))
    else:
        put_value(values, at, placed_by[0])
        put_value(values, at + 1, hash_at(row) % shards)
    put_value(values, at + 2, placed_by[1 + row[RANK_AT]])
    return at + 3


def parameters(
    bytes rows not None, Py_ssize_t together, uint32_t shards, tuple placed_by not None, generation
):
    cdef Py_ssize_t count = count_of(rows), done = 0, place
    cdef const uint8_t* row = octets(rows)
    cdef list found = []
    cdef tuple values
    cdef int shape
    if count == 0:
        return found
    if together < 1 or shards < 1:
        raise ValueError(f"{together} rows together, {shards} shards")
    shape = shape_of(row)
    while done + together <= count:
        values = PyTuple_New(1 + together * WIDTHS[shape])
        put_value(values, 0, generation)
        place = 1
        for _ in range(together):
            if shape_of(row) != shape:
                raise ValueError("rows of different shapes")
            place = put_values(values, place, row, shape, shards, placed_by)
            row += PACKED_SIZE
        found.append(values)
        done += together
    return found


def change_parameters(bytes rows not None, Py_ssize_t together, generation, now):
    cdef Py_ssize_t count = count_of(rows), done = 0, at
    cdef const uint8_t* row = octets(rows)
    cdef list found = []
    cdef tuple values
    if together < 1:
        raise ValueError(f"{together} rows together")
    while done + together <= count:
        values = PyTuple_New(2 + together * CHANGE_WIDTH)
        put_value(values, 0, generation + done)
        put_value(values, 1, now)
        for at in range(together):
            put_value(values, 2 + at * CHANGE_WIDTH, hash_at(row))
            put_value(values, 3 + at * CHANGE_WIDTH, serial_of(row))
            row += PACKED_SIZE
        found.append(values)
        done += together
    return found
