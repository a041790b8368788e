"""What the store says of a certificate: lookups that others share, and what becomes of their replies.

An outcome is an Entry that may be sent at its time, or the name of a cause why there is none. No I/O: the
connection hands replies in, in the order in which it was given the commands, and tells of changes in between.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t

from _fastpath.answer cimport decimal_size, fault_of, make_entry, make_whole_entry, put_decimal
from _fastpath.certid cimport HASH_SHA1, HASH_SHA256, CertID
from _fastpath.der cimport put_bytes
from _fastpath.imported cimport ImportedView, read_imported, response_of_kind
from _fastpath.page cimport (
    RECORD_DAMAGED,
    RECORD_OK,
    PageHeader,
    RecordView,
    is_raw,
    page_of,
    read_record,
    record_error,
    slot_of,
)

from _fastpath.errors import FastpathError, UnknownFormat

cdef bytes HGET = b"*3\r\n$4\r\nHGET\r\n"  # and two bulk strings
cdef bytes HLEN = b"*2\r\n$4\r\nHLEN\r\n"  # and one

cdef enum:  # what a Lookup waits for
    RECORD = 0
    HEADER = 1
    LENGTH = 2
    CHECKED = 3  # the record, after its page was looked at
    CONFIRMED = 4  # the record, after it was missing from a whole page

cdef enum:
    HEARTBEATS = 3  # seconds for which one answered heartbeat vouches for the connection
    NEVER = -1


@cython.final
cdef class Signer:
    """A template whose signer holds for the issuer, and the sample of its signatures that is checked (C2)."""

    def __init__(
        self,
        uint64_t number,
        Template template not None,
        *,
        int64_t not_before,
        int64_t not_after,
        verify,
        double interval,
    ):
        self.number = number
        self.template = template
        self.not_before = not_before
        self.not_after = not_after
        self.verify = verify
        self.interval = interval

    cdef bint passes(self, Entry entry, double now) except -1:
        """Verify a response if none was for `interval` seconds, or if the last one was bad."""
        if self.last_good and now < self.due:
            return True
        self.due = now + self.interval
        self.last_good = self.verify(entry.body)
        return self.last_good


@cython.final
cdef class View:
    """What the store said of an issuer at one time. It holds until the source has another."""

    def __init__(
        self,
        str name not None,
        IssuerID issuer not None,
        *,
        bytes page_prefix not None,
        int page_bits,
        algorithms,
        dict signers not None,
        dict refused not None,
        imported,
    ):
        self.name = name
        self.issuer = issuer
        self.page_prefix = page_prefix
        self.page_bits = page_bits
        for algorithm in algorithms:
            self.algorithms |= 1 << <int>algorithm
        self.signers = signers
        self.refused = refused
        self.imported = imported


cdef class Waiter:
    """Someone who waits for an outcome. It comes at wall time `now`, monotonic time `at`."""

    cdef int settle(self, outcome, int64_t now, double at) except -1:
        raise NotImplementedError


cdef inline const uint8_t* octets(bytes data) noexcept:
    return <const uint8_t*>PyBytes_AS_STRING(data)


cdef bytes cache_key(const CertIDView* cert_id):
    """Hash algorithm, name hash, key hash, serial: the CertID, never the octets it was read from."""
    cdef Py_ssize_t size = 1 + cert_id.name_hash.left + cert_id.key_hash.left + cert_id.serial.left
    cdef bytes key = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(key)
    out[0] = <uint8_t>cert_id.hash_algorithm
    out = put_bytes(out + 1, cert_id.name_hash.pos, cert_id.name_hash.left)
    out = put_bytes(out, cert_id.key_hash.pos, cert_id.key_hash.left)
    put_bytes(out, cert_id.serial.pos, cert_id.serial.left)
    return key


cdef bytes key_of(CertID cert_id):
    cdef bytes algorithm = bytes((cert_id.hash_algorithm,))
    return algorithm + cert_id.issuer_name_hash + cert_id.issuer_key_hash + cert_id.serial_number


cdef bytes page_key_of(bytes prefix, uint32_t page):
    """Key of a page: what all of its page epoch begin with, and its number."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(prefix)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, size + decimal_size(page))
    put_decimal(put_bytes(<uint8_t*>PyBytes_AS_STRING(key), octets(prefix), size), page)
    return key


cdef inline uint8_t* put_bulk(uint8_t* out, bytes data) noexcept:
    """A RESP bulk string."""
    out[0] = c"$"
    out = put_bytes(put_decimal(out + 1, PyBytes_GET_SIZE(data)), b"\r\n", 2)
    return put_bytes(put_bytes(out, octets(data), PyBytes_GET_SIZE(data)), b"\r\n", 2)


cdef inline Py_ssize_t bulk_size(bytes data) noexcept:
    return 5 + decimal_size(PyBytes_GET_SIZE(data)) + PyBytes_GET_SIZE(data)


cdef bytes command_of(bytes beginning, bytes key, bytes field):
    """A command as it goes over the wire: the beginning of an array, a key and, unless None, a field."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(beginning)
    cdef Py_ssize_t field_size = 0 if field is None else bulk_size(field)
    cdef bytes request = PyBytes_FromStringAndSize(NULL, size + bulk_size(key) + field_size)
    cdef uint8_t* out = put_bytes(<uint8_t*>PyBytes_AS_STRING(request), octets(beginning), size)
    out = put_bulk(out, key)
    if field is not None:
        put_bulk(out, field)
    return request


@cython.final
cdef class Lookup(Command):
    """The HGET of one record, for everybody who asks for it while it is under way.

    No record is a fact only if the page is whole (C4). Where that is not known, header and length of the page
    are asked for, and the record once more. And as the server tells of changes after its replies, a record
    may be missing by a change that we are not told of yet: with one more reply we would be.
    """

    cpdef take(self, reply, double now):
        cdef int64_t wall = 0
        if self.stage == LENGTH:
            if not isinstance(reply, int):
                raise TypeError("a length is a number")
        elif reply is not None and not isinstance(reply, bytes):
            raise TypeError("a field of a hash is a string or null")
        try:
            wall = self.source.now()
            if self.stage == HEADER or self.stage == LENGTH:
                outcome = self.take_page(reply)
            else:
                outcome = self.outcome_of(reply, wall)
        except Exception as error:
            outcome = error  # nobody foresaw it, and nobody may wait for it
        if outcome is not None:
            self.finish(outcome, wall, now)

    cpdef fail(self, str cause):
        self.finish(cause, self.source.now(), self.source.monotonic())

    cdef object outcome_of(self, reply, int64_t now):
        """What the record's reply comes to; None while more is awaited."""
        if not self.view.holds:
            return "page_changed"  # another page epoch, or other templates in the slots
        if reply is not None:
            return self.source.judge(self, <bytes>reply, now)
        whole = self.source.cache.is_whole(self.page_key)
        if self.stage == CONFIRMED:
            return "no_record" if whole else "page_changed"
        if whole:
            return self.confirm()
        if self.stage == RECORD and self.first is not None:
            return self.check_page()
        return "page_changed" if self.whole else "page_incomplete"

    cdef object confirm(self):
        """Ask for the record once more; the cause why that cannot be, else None."""
        self.stage = CONFIRMED
        return self.submit(self.request)

    cdef object submit(self, bytes request):
        cdef ReplyQueue channel = self.source.channel
        self.request = request
        return "store_down" if channel is None else channel.submit(self, self.source.monotonic())

    cdef object check_page(self):
        """Ask for header, length and record; the cause why that cannot be, else None."""
        cdef bytes record = self.request
        self.stage = HEADER
        cause = self.submit(command_of(HGET, self.page_key, b""))
        if cause is not None:
            return cause
        for request in (command_of(HLEN, self.page_key, None), record):
            self.request = request
            self.source.channel.put(self, self.sent_at)
        return None

    cdef object take_page(self, reply):
        """Compare the header with the number of fields. None: the record is awaited."""
        if self.stage == HEADER:
            self.header = reply
            self.stage = LENGTH
            return None
        self.stage = CHECKED
        if self.header is None:
            return None
        try:
            self.whole = PageHeader.decode(self.header).count + 1 == reply
        except FastpathError:
            return None
        if self.whole:
            self.source.cache.mark_whole(self.page_key)
        return None

    cdef finish(self, outcome, int64_t now, double at):
        first, others = self.first, self.others
        self.first = self.others = None
        if self.source.pending.get(self.key) is self:
            del self.source.pending[self.key]
        if first is not None:
            self.tell(first, outcome, now, at)
        if others is not None:
            for waiter in <list>others:
                self.tell(waiter, outcome, now, at)

    cdef tell(self, waiter, outcome, int64_t now, double at):
        if isinstance(waiter, Waiter):
            (<Waiter>waiter).settle(outcome, now, at)
        else:
            waiter(outcome)

    cdef join(self, waiter):
        if self.others is None:
            self.others = []
        self.others.append(waiter)


@cython.final
cdef class StatusSource:
    """One worker's cache, issuers and lookups under way."""

    def __init__(
        self,
        Cache cache not None,
        *,
        damaged,
        below_floor,
        wall,
        monotonic,
        int64_t max_age_cap,
        double max_unverified,
        double timeout,
    ):
        self.cache = cache
        self.views = {}
        self.pending = {}
        self.damaged = damaged
        self.below_floor = below_floor
        self.wall = wall
        self.monotonic = monotonic
        self.max_age_cap = max_age_cap
        self.max_unverified = max_unverified
        self.timeout = timeout

    cdef int64_t now(self) except -1:
        """Whole seconds since 1970, UTC."""
        return <int64_t><double>self.wall()

    def verified(self, double at):
        """What was sent at this monotonic time was answered: what is cached holds (A1).

        The answer may have lain here while the process was stopped, with changes behind it.
        """
        cdef double left = at + HEARTBEATS - <double>self.monotonic()
        if left >= 0:
            self.verified_until = self.now() + <int64_t>left
        self.usable_until = at + self.max_unverified

    def cut_off(self):
        """The connection is lost: what is cached may have changed."""
        self.channel = None
        self.verified_until = 0

    cdef int64_t longest_age(self, int64_t now) except? -1:
        """For how many seconds others may keep an answer out of the cache; NEVER where none may be sent.

        The wall clock tells a process that was stopped, before it reads what happened meanwhile.
        """
        cdef double left
        if now <= self.verified_until:
            return self.max_age_cap
        left = self.usable_until - <double>self.monotonic()
        return NEVER if left <= 0 else min(self.max_age_cap, <int64_t>left)

    def max_age_limit(self):
        """`longest_age` now; None where nothing may be sent out of the cache."""
        cdef int64_t limit = self.longest_age(self.now())
        return None if limit == NEVER else limit

    def renew(self, ReplyQueue channel not None):
        """A new connection: nothing is used that was read over another."""
        self.channel = channel
        self.cache.clear()

    def set_view(self, IssuerID issuer not None, View view):
        """The issuer's present view, None while there is none. What was read under another is forgotten."""
        for algorithm in (HASH_SHA1, HASH_SHA256):
            key = issuer.lookup_key(algorithm)
            before = self.views.get(key)
            self.views[key] = view
            if before is not None and before is not view:
                (<View>before).holds = False
                self.cache.drop((<View>before).page_prefix)
        if view is not None:
            view.holds = True

    def find(self, CertID cert_id not None):
        """The entry that the cache has for a CertID, or None."""
        return self.cache.find(key_of(cert_id))

    def look_up(self, View view not None, CertID cert_id not None, waiter):
        """Ask the store: `waiter` is called with the outcome. The cause why it cannot be asked, else None."""
        return self.ask(
            view,
            cert_id.hash_algorithm,
            key_of(cert_id),
            cert_id.serial_number,
            waiter,
            self.monotonic(),
        )

    cdef str ask(
        self, View view, int hash_algorithm, bytes key, bytes serial, waiter, double now
    ):
        cdef Lookup lookup = <Lookup>self.pending.get(key)
        cdef str cause
        if self.channel is None:
            return "store_down"
        if lookup is not None and lookup.view is view:
            lookup.join(waiter)
            return None
        lookup = Lookup.__new__(Lookup)
        lookup.source = self
        lookup.view = view
        lookup.hash_algorithm = hash_algorithm
        lookup.key = key
        lookup.serial = serial
        lookup.page_key = page_key_of(view.page_prefix, page_of(serial, view.page_bits))
        lookup.request = command_of(HGET, lookup.page_key, serial)
        lookup.first = waiter
        lookup.deadline = now + self.timeout
        cause = self.channel.submit(lookup, now)
        if cause is None:
            self.pending[key] = lookup
        return cause

    cdef object judge(self, Lookup lookup, bytes record, int64_t now):
        """The entry that a record makes, kept from now on, or the cause why it makes none."""
        cdef View view = lookup.view
        cdef RecordView fields
        cdef Entry entry
        cdef Signer signer
        cdef int status
        cdef int slot = slot_of(record)
        if is_raw(record):
            return self.judge_imported(lookup, record, now)
        if slot < 0:
            return self.condemn(lookup, record_error(-slot, record))
        found = view.signers.get(slot)
        if found is None:
            return view.refused.get(slot, "unknown_slot")
        signer = <Signer>found
        status = read_record(
            octets(record), PyBytes_GET_SIZE(record), signer.template, view.issuer,
            octets(lookup.serial), PyBytes_GET_SIZE(lookup.serial), &fields,
        )
        if status != RECORD_OK:
            return self.condemn(lookup, record_error(status, record))
        entry = make_entry(
            &fields, signer.template, signer.number, view.issuer, lookup.hash_algorithm, lookup.serial,
            signer.not_before, signer.not_after,
        )
        if entry is None:
            return "no_signature"
        if self.is_on_floor(lookup, entry):
            return "floor"
        if not signer.passes(entry, lookup.sent_at):
            return "bad_signature"
        if fault_of(entry, now) is None:  # what may not be sent would be read anew at each request
            self.cache.put(lookup.key, entry, lookup.page_key)
        return entry

    cdef bint is_on_floor(self, Lookup lookup, Entry entry) except -1:
        """Whether it says good of a serial on the floor, which is told."""
        cdef View view = lookup.view
        if entry.revoked or self.floor is None or not self.floor.has(
            view.issuer, octets(lookup.serial), PyBytes_GET_SIZE(lookup.serial)
        ):
            return False
        self.below_floor(view.name, lookup.serial)
        return True

    cdef object judge_imported(self, Lookup lookup, bytes record, int64_t now):
        """The same of a record of whole responses: each is verified, for there is no sample of few (C2)."""
        cdef View view = lookup.view
        cdef ImportedView fields
        cdef Entry entry
        cdef int status = read_imported(
            octets(record), PyBytes_GET_SIZE(record), view.issuer,
            octets(lookup.serial), PyBytes_GET_SIZE(lookup.serial), &fields,
        )
        if status != RECORD_OK:
            return self.condemn(lookup, record_error(status, record))
        body = response_of_kind(&fields, lookup.hash_algorithm)
        if body is None:
            return "no_signature"
        said = view.imported(body, lookup.hash_algorithm, lookup.serial)
        if said is None:
            return "bad_signature"
        entry = make_whole_entry(body, said)
        if entry.revoked != fields.revoked:
            return self.condemn(lookup, record_error(RECORD_DAMAGED, record))
        if self.is_on_floor(lookup, entry):
            return "floor"
        if fault_of(entry, now) is None:
            self.cache.put(lookup.key, entry, lookup.page_key)
        return entry

    def pages(self):
        """Keys of the pages of which something is cached."""
        return list(self.cache.pages)

    def drop_below_floor(self, page_keys not None):
        """Forget those of these pages that have a good answer for a serial that is on the floor by now."""
        if self.floor is not None:
            pages = [self.cache.pages[key] for key in page_keys if key in self.cache.pages]
            self.cache.invalidate([(<Page>page).key for page in pages if self.is_below_floor(page)])

    cdef bint is_below_floor(self, Page page) except -1:
        cdef PyObject* each = page.first
        cdef Entry entry
        cdef Py_ssize_t size  # of the CertID before the serial
        while each != NULL:
            entry = <Entry>each
            each = entry.sibling
            if entry.revoked:
                continue
            size = 41 if entry.key[0] == HASH_SHA1 else 65
            view = self.views.get(entry.key[1:size])
            if view is None or self.floor.has(
                (<View>view).issuer, octets(entry.key) + size, PyBytes_GET_SIZE(entry.key) - size
            ):
                return True
        return False

    def condemn(self, Lookup lookup not None, error):
        """C1: a record that is not the one asked for condemns the connection that it came on."""
        self.damaged(lookup.view.name, lookup.serial, str(error))
        return "unknown_format" if isinstance(error, UnknownFormat) else "record_damaged"
