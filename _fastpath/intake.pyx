"""Lines of index.txt (`openssl ca`) and of comma-separated values (RFC 4180) as packed rows.

Never lenient: a line that is not wholly as most are is left, and a reader in Python says what it means or
what is wrong with it. Serials and times are read in place; what words and URLs mean the caller's tables know.
"""

from collections import namedtuple

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from _fastpath.der cimport DER_OK, Cursor, cursor_over, read_generalized_time, read_utc_time
from _fastpath.staged cimport (
    PACKED_SIZE,
    SERIAL_SIZE,
    STATUS_EXPIRED,
    STATUS_GOOD,
    STATUS_REVOKED,
    Row,
    Status,
    put_row,
)


cdef extern from "hash32.h":
    void ocspeed_hash32_init()
    uint32_t ocspeed_hash32(const uint8_t* serial, size_t size) noexcept nogil


ocspeed_hash32_init()

cdef int64_t YEAR_1 = -62135596800  # seconds since 1970: what Python knows no date before

cdef enum:
    SHORTEST = 20  # octets of a line that is a row, with its end
    UTC_TIME_SIZE = 13
    GENERALIZED_TIME_SIZE = 15
    DATE_TIME_SIZE = 19  # YYYY-MM-DDTHH:MM:SS
    FRACTION_DIGITS = 6

cdef enum:  # fields of index.txt
    INDEX_STATUS
    INDEX_END
    INDEX_REVOCATION
    INDEX_SERIAL
    INDEX_FIELDS = 6

cdef enum:  # columns of comma-separated values
    SERIAL
    NOT_AFTER
    NOT_BEFORE
    STATUS
    REVOKED_AT
    REASON
    CRL_URL
    COLUMNS

Lines = namedtuple("Lines", ("rows", "revoked", "expired", "placed", "lines", "left"))


# Fields.

cdef inline bint is_byte(const Cursor* field, uint8_t octet) noexcept nogil:
    return field.left == 1 and field.pos[0] == octet


cdef inline bytes text_of(const Cursor* field):
    return PyBytes_FromStringAndSize(<const char*>field.pos, field.left)


cdef int split(const Cursor* line, uint8_t between, Cursor* fields, int most) noexcept nogil:
    """Fields of a line, of which there are `most` at most; returns how many, 0 for more."""
    cdef const uint8_t* pos = line.pos
    cdef const uint8_t* end = line.pos + line.left
    cdef const uint8_t* found
    cdef int count
    for count in range(most):
        found = <const uint8_t*>memchr(pos, between, <size_t>(end - pos))
        if found == NULL:
            cursor_over(&fields[count], pos, end - pos)
            return count + 1
        cursor_over(&fields[count], pos, found - pos)
        pos = found + 1
    return 0


cdef inline int digit(uint8_t octet) noexcept nogil:
    """The value of a hexadecimal digit, or -1."""
    if c"0" <= octet <= c"9":
        return octet - c"0"
    if c"a" <= octet | 0x20 <= c"f":
        return (octet | 0x20) - c"a" + 10
    return -1


cdef bint read_serial(const Cursor* field, uint8_t* out, Row* row) noexcept nogil:
    """Of an even number of digits. `out` has SERIAL_SIZE octets and holds it."""
    cdef Py_ssize_t at = 0, size = 0
    cdef int high, low
    if field.left == 0 or field.left % 2:
        return False
    while at < field.left:
        high, low = digit(field.pos[at]), digit(field.pos[at + 1])
        at += 2
        if high < 0 or low < 0 or size == SERIAL_SIZE:
            return False
        if size or high or low or at == field.left:  # minimal, and one octet for zero
            out[size] = <uint8_t>(high << 4 | low)
            size += 1
    row.serial, row.size = out, size
    row.hash32 = ocspeed_hash32(out, <size_t>size)
    return True


cdef inline bint read_index_time(const Cursor* field, int64_t* seconds) noexcept nogil:
    if field.left == UTC_TIME_SIZE:
        return read_utc_time(field, seconds) == DER_OK
    return read_generalized_time(field, seconds) == DER_OK and seconds[0] >= YEAR_1


cdef bint read_date_time(const Cursor* field, int64_t* seconds) noexcept nogil:
    """RFC 3339 with T and a zone that is UTC; a fraction is cut off."""
    cdef uint8_t compact[GENERALIZED_TIME_SIZE]
    cdef const uint8_t* text = field.pos
    cdef Cursor content
    if field.left <= DATE_TIME_SIZE or text[4] != c"-" or text[7] != c"-" or text[10] != c"T":
        return False
    if text[13] != c":" or text[16] != c":" or not zone_is_utc(text + fraction_end(field), field):
        return False
    memcpy(compact, text, 4)
    memcpy(compact + 4, text + 5, 2)
    memcpy(compact + 6, text + 8, 2)
    memcpy(compact + 8, text + 11, 2)
    memcpy(compact + 10, text + 14, 2)
    memcpy(compact + 12, text + 17, 2)
    compact[14] = c"Z"
    cursor_over(&content, compact, GENERALIZED_TIME_SIZE)
    return read_generalized_time(&content, seconds) == DER_OK and seconds[0] >= YEAR_1


cdef Py_ssize_t fraction_end(const Cursor* field) noexcept nogil:
    """Where the fraction of a second ends that may follow date and time."""
    cdef Py_ssize_t at = DATE_TIME_SIZE + 1
    if field.pos[DATE_TIME_SIZE] != c".":
        return DATE_TIME_SIZE
    while at < field.left and at <= DATE_TIME_SIZE + FRACTION_DIGITS and c"0" <= field.pos[at] <= c"9":
        at += 1
    return at if at > DATE_TIME_SIZE + 1 else DATE_TIME_SIZE


cdef bint zone_is_utc(const uint8_t* zone, const Cursor* field) noexcept nogil:
    """`zone` is what follows in the field."""
    cdef Py_ssize_t left = field.left - (zone - field.pos)
    if left == 1:
        return zone[0] == c"Z"
    return left == 6 and memcmp(zone, b"+00:00", 6) == 0


# Lines.

@cython.final
cdef class Block:
    """Rows of a block of lines as they come, and the lines that are left."""

    cdef bytes block, rows
    cdef const uint8_t* pos
    cdef const uint8_t* end
    cdef uint8_t* out
    cdef Py_ssize_t lines, longest, revoked, expired
    cdef uint64_t first
    cdef int64_t now
    cdef list left
    cdef bint placed

    def __cinit__(self, bytes block not None, uint64_t first, Py_ssize_t longest, int64_t now):
        cdef Py_ssize_t most = PyBytes_GET_SIZE(block) // SHORTEST + 1
        self.block, self.rows = block, PyBytes_FromStringAndSize(NULL, most * PACKED_SIZE)
        self.pos = <const uint8_t*>PyBytes_AS_STRING(block)
        self.end = self.pos + PyBytes_GET_SIZE(block)
        self.out = <uint8_t*>PyBytes_AS_STRING(self.rows)
        self.first, self.longest, self.now, self.left = first, longest, now, []

    cdef bint next_line(self, Cursor* line) noexcept:
        """The next, without what ends it."""
        cdef const uint8_t* found
        cdef const uint8_t* end
        if self.pos == self.end:
            return False
        found = <const uint8_t*>memchr(self.pos, c"\n", <size_t>(self.end - self.pos))
        end = self.end if found == NULL else found
        cursor_over(line, self.pos, end - self.pos)
        if found != NULL and line.left and end[-1] == c"\r":
            line.left -= 1
        self.pos = end + (found != NULL)
        self.lines += 1
        return True

    cdef int add(self, Row* row) except -1:
        """A row of the line that came last. Its status is revoked, or else what the line says of expiry."""
        if row.status != STATUS_REVOKED and row.end < self.now:
            row.status = STATUS_EXPIRED
        self.revoked += row.status == STATUS_REVOKED
        self.expired += row.status == STATUS_EXPIRED
        self.placed |= row.rank != 0
        row.where = self.first + <uint64_t>(self.lines - 1)
        put_row(self.out, row)
        self.out += PACKED_SIZE
        return 0

    cdef int leave(self, const Cursor* line) except -1:
        self.left.append((self.lines - 1, text_of(line)))
        return 0

    cdef object read(self):
        cdef Py_ssize_t size = self.out - <uint8_t*>PyBytes_AS_STRING(self.rows)
        return Lines(self.rows[:size], self.revoked, self.expired, self.placed, self.lines, self.left)


@cython.final
cdef class Tables:
    """Which columns there are, and what words and URLs mean."""

    cdef tuple columns  # None for index.txt
    cdef int at[COLUMNS]
    cdef int width
    cdef object statuses, reasons, places

    def __cinit__(self, columns, int width, statuses, reasons, places):
        cdef int column
        self.columns, self.width = columns, width
        self.statuses, self.reasons, self.places = statuses, reasons, places
        for column in range(COLUMNS):
            self.at[column] = -1 if columns is None else columns[column]


cdef bint index_row(const Cursor* line, Row* row, uint8_t* serial, int64_t now, Tables tables) except -1:
    cdef Cursor fields[INDEX_FIELDS]
    cdef Cursor* status = &fields[INDEX_STATUS]
    if split(line, c"\t", fields, INDEX_FIELDS) != INDEX_FIELDS:
        return False
    row.rank = row.series = row.index = 0
    if not read_serial(&fields[INDEX_SERIAL], serial, row):
        return False
    if not read_index_time(&fields[INDEX_END], &row.end):
        return False
    if is_byte(status, c"R"):
        row.status = STATUS_REVOKED
        return index_revocation(&fields[INDEX_REVOCATION], row, now, tables)
    row.status = STATUS_EXPIRED if is_byte(status, c"E") else STATUS_GOOD
    row.time = row.reason = 0
    return fields[INDEX_REVOCATION].left == 0 and (is_byte(status, c"E") or is_byte(status, c"V"))


cdef bint index_revocation(const Cursor* field, Row* row, int64_t now, Tables tables) except -1:
    """`date[,reason[,extra]]`"""
    cdef Cursor date = field[0]
    cdef Cursor name
    cdef const uint8_t* comma = <const uint8_t*>memchr(field.pos, c",", <size_t>field.left)
    if comma == NULL:
        cursor_over(&name, field.pos + field.left, 0)
    else:
        cursor_over(&date, field.pos, comma - field.pos)
        cursor_over(&name, comma + 1, field.left - date.left - 1)
    if not read_index_time(&date, &row.time) or not 0 <= row.time <= now:
        return False
    row.reason = tables.reasons[text_of(&name)]
    return True


cdef bint csv_row(const Cursor* line, Row* row, uint8_t* serial, int64_t now, Tables tables) except -1:
    cdef Cursor fields[COLUMNS]
    cdef Cursor values[COLUMNS]
    cdef int64_t begin = 0
    cdef int column
    if split(line, c",", fields, tables.width) != tables.width:
        return False
    for column in range(COLUMNS):
        if tables.at[column] < 0:
            cursor_over(&values[column], line.pos, 0)
        else:
            values[column] = fields[tables.at[column]]
    if not read_serial(&values[SERIAL], serial, row) or not read_date_time(&values[NOT_AFTER], &row.end):
        return False
    if values[NOT_BEFORE].left and not (read_date_time(&values[NOT_BEFORE], &begin) and begin <= row.end):
        return False
    row.rank = row.series = row.index = 0
    if values[CRL_URL].left:
        row.rank, row.series, row.index = tables.places[text_of(&values[CRL_URL])]
    return csv_status(values, row, now, tables)


cdef bint csv_status(const Cursor* values, Row* row, int64_t now, Tables tables) except -1:
    """What status, revoked_at and reason say has to agree."""
    cdef bint said = values[STATUS].left != 0
    row.status = STATUS_GOOD
    row.time = row.reason = 0
    if said:
        row.status = <Status><int>tables.statuses[text_of(&values[STATUS])]
    if values[REASON].left:
        row.reason = tables.reasons[text_of(&values[REASON])]
    if values[REVOKED_AT].left == 0:
        return row.status != STATUS_REVOKED and row.reason == 0
    if (said and row.status == STATUS_GOOD) or not read_date_time(&values[REVOKED_AT], &row.time):
        return False
    row.status = STATUS_REVOKED
    return 0 <= row.time <= now


cdef bint any_row(Block lines, const Cursor* line, Row* row, uint8_t* serial, Tables tables) except -1:
    """Whether a line is a row. What a table does not know is a KeyError there, and nothing wrong here."""
    if line.left >= lines.longest:
        return False
    try:
        if tables.columns is None:
            return index_row(line, row, serial, lines.now, tables)
        return csv_row(line, row, serial, lines.now, tables)
    except KeyError:
        return False


cdef object read_lines(Block lines, Tables tables):
    cdef uint8_t serial[SERIAL_SIZE]
    cdef Cursor line
    cdef Row row
    while lines.next_line(&line):
        if any_row(lines, &line, &row, serial, tables):
            lines.add(&row)
        else:
            lines.leave(&line)
    return lines.read()


def read_index(bytes block not None, uint64_t first, Py_ssize_t longest, int64_t now, reasons not None):
    return read_lines(Block(block, first, longest, now), Tables(None, 0, None, reasons, None))


def read_csv(
    bytes block not None,
    uint64_t first,
    Py_ssize_t longest,
    int64_t now,
    tuple columns not None,
    int width,
    statuses not None,
    reasons not None,
    places not None,
):
    if len(columns) != COLUMNS or not max(columns) < width <= COLUMNS:
        raise ValueError(f"{width} columns of which {columns} are known")
    return read_lines(Block(block, first, longest, now), Tables(columns, width, statuses, reasons, places))
