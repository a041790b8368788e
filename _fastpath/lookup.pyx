"""What the store says of a certificate: lookups that others share, and what becomes of their replies.

An outcome is an Entry that may be sent at its time, or the name of a cause why there is none. No I/O: the
connection hands replies in, in the order in which it was given the commands, and tells of changes in between.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from _fastpath.answer cimport make_entry
from _fastpath.certid cimport HASH_SHA1, HASH_SHA256, CertID
from _fastpath.der cimport put_bytes
from _fastpath.page cimport (
    RECORD_OK,
    Answer,
    RecordView,
    answer_of,
    page_of,
    read_record,
    record_error,
)

from _fastpath.errors import FastpathError, UnknownFormat
from _fastpath.page import record_slot

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
        Py_ssize_t interval,
    ):
        self.number = number
        self.template = template
        self.not_before = not_before
        self.not_after = not_after
        self.verify = verify
        self.interval = interval

    cdef bint passes(self, bytes body) except -1:
        """Verify the first of every `interval` responses; after a failure every one."""
        cdef bint chosen = self.failed or self.seen % self.interval == 0
        self.seen += 1
        if not chosen:
            return True
        self.failed = not self.verify(body)
        return not self.failed


@cython.final
cdef class View:
    """What the store said of an issuer at one time. Identity tells whether it still holds."""

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
    ):
        self.name = name
        self.issuer = issuer
        self.page_prefix = page_prefix
        self.page_bits = page_bits
        for algorithm in algorithms:
            self.algorithms |= 1 << <int>algorithm
        self.signers = signers
        self.refused = refused


cdef class Command:
    """A command under way. `take` gets its reply, unless `fail` told before why there will be none."""

    def __init__(self, bytes request not None, double deadline):
        self.request = request
        self.deadline = deadline

    cpdef take(self, reply):
        """Raises TypeError for a reply of a type that the command cannot have."""
        raise NotImplementedError

    cpdef fail(self, str cause):
        raise NotImplementedError


cdef class Waiter:
    """Someone who waits for an outcome."""

    cdef int settle(self, outcome, int64_t now) except -1:
        raise NotImplementedError


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


def encode_hget(bytes key not None, bytes field not None):
    """A HGET as it goes over the wire (RESP array of bulk strings)."""
    return b"*3\r\n$4\r\nHGET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(field), field)


@cython.final
cdef class Lookup(Command):
    """The HGET of one record, for everybody who asks for it while it is under way."""

    cpdef take(self, reply):
        if reply is not None and not isinstance(reply, bytes):
            raise TypeError("a field of a hash is a string or null")
        self.finish(self.outcome_of(reply))

    cpdef fail(self, str cause):
        self.finish(cause)

    cdef object outcome_of(self, reply):
        if self.source.views.get(self.issuer_key) is not self.view:
            return "page_changed"  # another page epoch, or other templates in the slots
        if reply is None:
            return "no_record" if self.source.cache.is_whole(self.page_key) else "absent"
        return self.source.judge(self, <bytes>reply)

    cdef finish(self, outcome):
        cdef list waiters = self.waiters
        cdef int64_t now
        self.waiters = []
        if self.source.pending.get(self.key) is self:
            del self.source.pending[self.key]
        if waiters:
            now = self.source.now()
            for waiter in waiters:
                if isinstance(waiter, Waiter):
                    (<Waiter>waiter).settle(outcome, now)
                else:
                    waiter(outcome)


@cython.final
cdef class StatusSource:
    """One worker's cache, issuers and lookups under way."""

    def __init__(
        self,
        Cache cache not None,
        *,
        send,
        damaged,
        now,
        monotonic,
        int64_t max_age_cap,
        double max_unverified,
    ):
        self.cache = cache
        self.views = {}
        self.pending = {}
        self.send = send
        self.damaged = damaged
        self.now = now
        self.monotonic = monotonic
        self.max_age_cap = max_age_cap
        self.max_unverified = max_unverified

    def verified(self, double at):
        """What was sent at this monotonic time was answered: what is cached holds (F4)."""
        self.verified_until = self.now() + HEARTBEATS
        self.usable_until = at + self.max_unverified

    def cut_off(self):
        """The connection is lost: what is cached may have changed."""
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

    def renew(self):
        """A new connection: nothing is used that was read over another (architecture, section 4, item 8)."""
        self.cache.clear()

    def set_view(self, IssuerID issuer not None, View view):
        """The issuer's present view, None while there is none. What was read under another is forgotten."""
        for algorithm in (HASH_SHA1, HASH_SHA256):
            key = issuer.lookup_key(algorithm)
            before = self.views.get(key)
            self.views[key] = view
            if before is not None and before is not view:
                self.cache.drop((<View>before).page_prefix)

    def find(self, CertID cert_id not None):
        """The entry that the cache has for a CertID, or None."""
        return self.cache.find(key_of(cert_id))

    def look_up(self, View view not None, CertID cert_id not None, waiter):
        """Ask the store: `waiter` is called with the outcome. The cause why it cannot be asked, else None."""
        return self.ask(
            view,
            cert_id.issuer_name_hash + cert_id.issuer_key_hash,
            cert_id.hash_algorithm,
            key_of(cert_id),
            cert_id.serial_number,
            waiter,
        )

    cdef str ask(
        self, View view, bytes issuer_key, int hash_algorithm, bytes key, bytes serial, waiter
    ):
        cdef Lookup lookup = <Lookup>self.pending.get(key)
        if lookup is not None and lookup.view is view:
            lookup.waiters.append(waiter)
            return None
        lookup = Lookup.__new__(Lookup)
        lookup.source = self
        lookup.view = view
        lookup.issuer_key = issuer_key
        lookup.hash_algorithm = hash_algorithm
        lookup.key = key
        lookup.serial = serial
        lookup.page_key = b"%b%d" % (view.page_prefix, page_of(serial, view.page_bits))
        lookup.request = encode_hget(lookup.page_key, serial)
        lookup.waiters = [waiter]
        cause = self.send(lookup)
        if cause is None:
            self.pending[key] = lookup
        return cause

    cdef object judge(self, Lookup lookup, bytes record):
        """The entry that a record makes, kept from now on, or the cause why it makes none."""
        cdef View view = lookup.view
        cdef RecordView fields
        cdef Answer answer
        cdef Entry entry
        cdef Signer signer
        cdef int status
        try:
            slot = record_slot(record)
        except FastpathError as error:
            return self.condemn(lookup, error)
        found = view.signers.get(slot)
        if found is None:
            return view.refused.get(slot, "unknown_slot")
        signer = <Signer>found
        status = read_record(
            <const uint8_t*>PyBytes_AS_STRING(record), PyBytes_GET_SIZE(record), signer.template, view.issuer,
            <const uint8_t*>PyBytes_AS_STRING(lookup.serial), PyBytes_GET_SIZE(lookup.serial), &fields,
        )
        if status != RECORD_OK:
            return self.condemn(lookup, record_error(status, record))
        answer = answer_of(
            &fields, signer.template, signer.number, view.issuer, lookup.hash_algorithm, lookup.serial
        )
        if answer is None:
            return "no_signature"
        if not signer.passes(answer.body):
            return "bad_signature"
        entry = make_entry(answer, signer.not_before, signer.not_after)
        self.cache.put(lookup.key, entry, lookup.page_key)
        return entry

    def condemn(self, Lookup lookup not None, error):
        """C1: a record that is not the one asked for condemns the connection that it came on."""
        self.damaged(lookup.view.name, lookup.serial, str(error))
        return "unknown_format" if isinstance(error, UnknownFormat) else "record_damaged"
