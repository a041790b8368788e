"""The fast path: from the octets of a request to those of its answer, without an HTTP library or a task.

It answers whole and plain OCSP requests out of the cache, or by one lookup. Whatever else comes is left
untouched for the slow path, which gives the same answers: requests that are not plain, several CertIDs,
tolerated spellings, issuers without a view, pages not known to be whole. No I/O: the protocol writes, and the
channel of the source is somebody else's to send.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memset

from _fastpath.answer cimport Entry, fault_of, write_answer, write_error
from _fastpath.certid cimport HASH_OTHER, CertIDView
from _fastpath.der cimport DER_OK, Cursor, cursor_over
from _fastpath.head cimport HEAD_OK, read_head
from _fastpath.http cimport decode_path, put_imf_fixdate
from _fastpath.lookup cimport StatusSource, View, cache_key
from _fastpath.request cimport RequestView, scan_request
from _fastpath.tally cimport Tally

from _fastpath import ocsp

cdef enum:
    LONGEST_HEAD = 4096  # octets; longer ones are left to the slow path, which knows every limit

cdef enum:  # rows of slots, by what is answered; columns are GET and POST
    GOOD = 0
    REVOKED = 1
    MALFORMED = 2
    TRY_LATER = 3
    UNAUTHORIZED = 4

cdef bytes MALFORMED_BODY = ocsp.MALFORMED_REQUEST
cdef bytes TRY_LATER_BODY = ocsp.TRY_LATER
cdef bytes UNAUTHORIZED_BODY = ocsp.UNAUTHORIZED
cdef object UNKNOWN = object()
# What the slow path finds out more about, or tries again.
cdef frozenset DOUBTFUL = frozenset(("page_changed", "unknown_slot"))


cdef class Counts:
    """Where the fast path counts; every attribute is a slot of the worker's row."""

    def __init__(self, Tally tally not None, slot, bounds, causes):
        """`slot` and `bounds` know the metrics; `causes` are those of tryLater."""
        cdef int kind
        self.tally = tally
        for kind, status in enumerate(("good", "revoked", "malformed_request", "try_later", "unauthorized")):
            self.answers[kind][0] = slot("ocsp_responses_total", status, "GET")
            self.answers[kind][1] = slot("ocsp_responses_total", status, "POST")
        self.not_modified = slot("ocsp_not_modified_total")
        self.request_bytes = slot("ocsp_request_bytes_total")
        self.hit = slot("ocsp_cache_lookups_total", "worker", "hit")
        self.miss = slot("ocsp_cache_lookups_total", "worker", "miss")
        self.stale = slot("ocsp_cache_lookups_total", "worker", "stale")
        self.unknown_issuer = slot("ocsp_unauthorized_total", "unknown_issuer")
        self.no_record = slot("ocsp_unauthorized_total", "no_record")
        self.try_later = {cause: slot("ocsp_try_later_total", cause) for cause in causes}
        tally.fill(&self.seconds, slot("ocsp_request_seconds"), bounds("ocsp_request_seconds"))
        tally.fill(&self.age, slot("ocsp_response_age_seconds"), bounds("ocsp_response_age_seconds"))


cdef class Client:
    """A connection that can be told what became of its request; None: the slow path shall find out."""

    cdef int settled(self, Exchange exchange, bytes answer) except -1:
        raise NotImplementedError


@cython.final
cdef class Exchange(Waiter):
    """A request whose answer waits for the store."""

    cdef int settle(self, outcome, int64_t now, double at) except -1:
        cdef Client client = self.client
        cdef bytes answer
        if client is None:
            return 0
        try:
            answer = self.path.conclude(self, outcome, now, at)
        except Exception:
            self.path.failed()
            answer = None
        return client.settled(self, answer)


@cython.final
cdef class FastPath:
    """One worker's fast path."""

    def __init__(
        self,
        StatusSource source not None,
        Counts counts not None,
        *,
        failed,
        bytes prefix not None,
        Py_ssize_t head_limit,
        Py_ssize_t body_limit,
    ):
        self.source = source
        self.counts = counts
        self.failed = failed
        self.prefix = prefix
        self.head_limit = min(head_limit, LONGEST_HEAD)
        self.body_limit = body_limit
        self.dated = -1

    @property
    def cache(self):
        """The worker's cache."""
        return self.source.cache

    cdef object respond(self, Client client, bytes data, Py_ssize_t start):
        """Answer the request that begins at `start`.

        The HTTP answer; or an Exchange, when the client will be told of it; or False for a POST of which
        `size` octets are to be awaited first, `head_size` of them its head; or None for what the slow path
        must have.
        """
        cdef Question question
        cdef uint8_t buffer[LONGEST_HEAD]
        cdef const uint8_t* octets = <const uint8_t*>PyBytes_AS_STRING(data) + start
        cdef Py_ssize_t left = PyBytes_GET_SIZE(data) - start
        if read_head(octets, min(left, self.head_limit), &question.head) != HEAD_OK:
            return None
        self.size = question.head.size + question.head.content_length
        if question.head.content_length > self.body_limit:
            return None
        if not self.locate(&question, octets, buffer):
            return None
        self.closes = question.head.closes
        if self.size > left:
            self.head_size = question.head.size
            return False
        return self.answer(client, &question)

    cdef object respond_to_body(self, Client client, bytes body, Py_ssize_t head_size, bint closes):
        """The same for the body of a POST whose head, of so many octets, was read before."""
        cdef Question question
        memset(&question.head, 0, sizeof(question.head))
        question.head.post = True
        question.head.closes = self.closes = closes
        question.der = <const uint8_t*>PyBytes_AS_STRING(body)
        question.der_size = PyBytes_GET_SIZE(body)
        self.size = head_size + question.der_size
        return self.answer(client, &question)

    cdef bint locate(self, Question* question, const uint8_t* octets, uint8_t* buffer) noexcept:
        """Find the DER of the request; False for targets and spellings of the slow path."""
        cdef Cursor target = question.head.target
        cdef Py_ssize_t prefix = PyBytes_GET_SIZE(self.prefix)
        cdef int tolerated = 0
        if target.left < prefix or memcmp(target.pos, PyBytes_AS_STRING(self.prefix), <size_t>prefix) != 0:
            return False
        target.pos += prefix
        target.left -= prefix
        if question.head.post:
            question.der = octets + question.head.size
            question.der_size = question.head.content_length
            return target.left == 0 or target.pos[0] == c"/"
        # A request begins with 0x30, in base64 with M; CRLs and everything else do not (H-14).
        if target.left < 2 or target.pos[0] != c"/" or target.pos[1] != c"M":
            return False
        question.der = buffer
        question.der_size = decode_path(target.pos + 1, target.left - 1, buffer, &tolerated)
        return tolerated == 0

    cdef object answer(self, Client client, Question* question):
        cdef RequestView view
        cdef Entry entry
        cdef int64_t now = self.source.now()
        cdef int64_t cap
        cdef bytes key
        if question.der_size <= 0 or scan_request(question.der, question.der_size, &view) != DER_OK:
            return self.refuse(MALFORMED, MALFORMED_BODY, question, now)
        if view.count != 1 or view.first.hash_algorithm == HASH_OTHER:
            return None
        question.cert_id = view.first
        key = cache_key(&view.first)
        entry = self.source.cache.find(key)
        if entry is None:
            return self.ask(client, question, key, now)
        cap = self.source.longest_age(now)
        if cap < 0 or fault_of(entry, now) is not None:
            self.counts.tally.add(self.counts.stale, 1)
            return None
        if question.head.if_none_match.pos != NULL and not entry.has_etag(&question.head.if_none_match):
            return None  # only the one tag that matches is understood here (H-09)
        self.counts.tally.add(self.counts.hit, 1)
        self.count(REVOKED if entry.revoked else GOOD, question.head.post, question.der_size, 0)
        return self.positive(entry, question.head.if_none_match.pos != NULL, self.closes, now, cap)

    cdef void count(self, int kind, bint post, Py_ssize_t der_size, double waited) noexcept:
        cdef Counts counts = self.counts
        self.answered += 1
        counts.tally.add(counts.answers[kind][post], 1)
        counts.tally.add(counts.request_bytes, <uint64_t>max(0, der_size))
        counts.tally.observe(&counts.seconds, waited)

    cdef bytes positive(self, Entry entry, bint not_modified, bint closes, int64_t now, int64_t cap):
        self.set_date(now)
        self.counts.tally.observe(&self.counts.age, <double>(now - entry.this_update))
        if not_modified:
            self.counts.tally.add(self.counts.not_modified, 1)
        return write_answer(entry, self.date, now, cap, not_modified, closes)

    cdef bytes refuse(self, int kind, bytes body, Question* question, int64_t now):
        """What can be said without the store."""
        self.count(kind, question.head.post, question.der_size, 0)
        return self.negative(body, self.closes, now)

    cdef bytes negative(self, bytes body, bint closes, int64_t now):
        self.set_date(now)
        return write_error(body, self.date, closes)

    cdef void set_date(self, int64_t now) noexcept:
        if now != self.dated:
            put_imf_fixdate(self.date, now)
            self.dated = now

    cdef object ask(self, Client client, Question* question, bytes key, int64_t now):
        """Look the certificate up: an Exchange, or the answer of which the store has no part."""
        cdef CertIDView* cert_id = &question.cert_id
        cdef Exchange exchange
        cdef bytes issuer_key = key[1:1 + cert_id.name_hash.left + cert_id.key_hash.left]
        found = self.source.views.get(issuer_key, UNKNOWN)
        if found is UNKNOWN:
            self.counts.tally.add(self.counts.unknown_issuer, 1)
            return self.refuse(UNAUTHORIZED, UNAUTHORIZED_BODY, question, now)
        if found is None or not (<View>found).algorithms & 1 << cert_id.hash_algorithm:
            return None
        exchange = self.exchange(client, question)
        self.counts.tally.add(self.counts.miss, 1)
        cause = self.source.ask(
            <View>found, cert_id.hash_algorithm, key,
            cert_id.serial.pos[:cert_id.serial.left], exchange, exchange.began,
        )
        return exchange if cause is None else self.conclude(exchange, cause, now, exchange.began)

    cdef Exchange exchange(self, Client client, Question* question):
        cdef Exchange exchange = Exchange.__new__(Exchange)
        cdef Cursor* tag = &question.head.if_none_match
        exchange.path = self
        exchange.client = client
        exchange.post = question.head.post
        exchange.closes = question.head.closes
        exchange.der_size = question.der_size
        exchange.size = self.size
        exchange.began = self.source.monotonic()
        if tag.pos != NULL:
            exchange.if_none_match = tag.pos[:tag.left]
        return exchange

    cdef bytes conclude(self, Exchange exchange, outcome, int64_t now, double at):
        """The answer that an outcome makes, or None for the slow path."""
        cdef Counts counts = self.counts
        cdef double waited = at - exchange.began
        if isinstance(outcome, Entry):
            return self.conclude_well(exchange, <Entry>outcome, now, waited)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome in DOUBTFUL:
            return None
        if outcome == "no_record":
            self.count(UNAUTHORIZED, exchange.post, exchange.der_size, waited)
            counts.tally.add(counts.no_record, 1)
            return self.negative(UNAUTHORIZED_BODY, exchange.closes, now)
        self.count(TRY_LATER, exchange.post, exchange.der_size, waited)
        counts.tally.add(counts.try_later[outcome], 1)
        return self.negative(TRY_LATER_BODY, exchange.closes, now)

    cdef bytes conclude_well(self, Exchange exchange, Entry entry, int64_t now, double waited):
        cdef int64_t cap = self.source.longest_age(now)
        cdef bytes tag = exchange.if_none_match
        cdef Cursor wanted
        if cap < 0 or fault_of(entry, now) is not None:
            return None
        if tag is not None:
            cursor_over(&wanted, <const uint8_t*>PyBytes_AS_STRING(tag), PyBytes_GET_SIZE(tag))
            if not entry.has_etag(&wanted):
                return None
        self.count(REVOKED if entry.revoked else GOOD, exchange.post, exchange.der_size, waited)
        return self.positive(entry, tag is not None, exchange.closes, now, cap)
