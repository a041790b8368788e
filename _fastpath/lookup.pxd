"""Lookups at C level: who waits for what the store says of a certificate."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from _fastpath.answer cimport Entry
from _fastpath.cache cimport Cache, Page
from _fastpath.certid cimport CertIDView, IssuerID
from _fastpath.floor cimport Floor
from _fastpath.replies cimport Command, ReplyQueue
from _fastpath.template cimport Template


@cython.final
cdef class Signer:
    cdef readonly uint64_t number  # of the template
    cdef readonly Template template
    cdef int64_t not_before  # of the signer's certificate
    cdef int64_t not_after
    cdef object verify  # body -> bool
    cdef double interval  # seconds
    cdef double due  # monotonic time of the next one
    cdef bint last_good
    cdef bint passes(self, Entry entry, double now) except -1


@cython.final
cdef class View:
    cdef readonly str name
    cdef IssuerID issuer
    cdef bytes page_prefix
    cdef int page_bits
    cdef int algorithms  # bit 1 << hash algorithm
    cdef dict signers  # by slot
    cdef dict refused  # causes by slot
    cdef object imported  # (body, hash algorithm, serial) -> store.imported.Admitted or None
    cdef bint holds  # while it is the one among the views


cdef class Waiter:
    cdef int settle(self, outcome, int64_t now, double at) except -1


@cython.final
cdef class Lookup(Command):
    cdef StatusSource source
    cdef View view
    cdef int hash_algorithm
    cdef bytes key  # in cache and among the pending
    cdef bytes page_key
    cdef bytes serial
    cdef object first  # who waits: mostly one
    cdef list others
    cdef int stage
    cdef bytes header  # of the page, while its length is awaited
    cdef bint whole  # whether the header and the length agreed
    cdef object confirm(self)
    cdef object submit(self, bytes request)
    cdef object check_page(self)
    cdef object take_page(self, reply)
    cdef finish(self, outcome, int64_t now, double at)
    cdef tell(self, waiter, outcome, int64_t now, double at)
    cdef join(self, waiter)
    cdef object outcome_of(self, reply, int64_t now)


@cython.final
cdef class StatusSource:
    cdef readonly Cache cache
    cdef dict views  # View, or None while there is none, by both lookup keys of every pinned issuer
    cdef dict pending
    cdef public ReplyQueue channel  # to the store; None while there is none
    cdef readonly double timeout  # seconds for a lookup
    cdef public Floor floor  # None while there is none
    cdef object damaged  # (issuer name, serial, reason) -> None
    cdef object below_floor  # (issuer name, serial) -> None
    cdef object wall  # () -> seconds since 1970
    cdef object monotonic  # () -> seconds
    cdef int64_t max_age_cap  # seconds
    cdef double max_unverified
    cdef int64_t verified_until  # wall time to which the cache is known to hold
    cdef double usable_until  # monotonic time to which it is used without that
    cdef int64_t now(self) except -1
    cdef int64_t longest_age(self, int64_t now) except? -1
    cdef str ask(
        self, View view, int hash_algorithm, bytes key, bytes serial, waiter, double now
    )
    cdef object judge(self, Lookup lookup, bytes record, int64_t now)
    cdef bint is_below_floor(self, Page page) except -1
    cdef bint is_on_floor(self, Lookup lookup, Entry entry) except -1
    cdef object judge_imported(self, Lookup lookup, bytes record, int64_t now)


cdef bytes cache_key(const CertIDView* cert_id)
