"""What a worker keeps of the store: answers by CertID, in the pages they came from, bounded in octets.

The store tells of changes by page, so a page is what is dropped; it is also what is evicted: the oldest one
from which nothing was sent since it came up before.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject

cdef enum:
    # Octets of the objects around an entry and a page: keys, dict slots, headers. Rounded up.
    ENTRY_OVERHEAD = 270
    PAGE_OVERHEAD = 170


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Page:
    """One page of the store as far as it was read."""


@cython.final
cdef class Cache:
    """Entries by cache key, dropped by page key. With a limit of 0 it keeps nothing."""

    def __init__(self, Py_ssize_t limit):
        self.entries = {}
        self.pages = {}
        self.limit = limit

    def __len__(self):
        return len(self.entries)

    cdef Entry find(self, bytes key):
        """The entry of a key, or None."""
        cdef PyObject* found = PyDict_GetItem(self.entries, key)
        cdef Entry entry
        if found == NULL:
            return None
        entry = <Entry>found
        (<Page>entry.page).used = True
        return entry

    cdef bint is_whole(self, bytes page_key) except -1:
        """Whether the page is known to be whole, and was not changed since."""
        page = self.pages.get(page_key)
        return page is not None and (<Page>page).whole

    def mark_whole(self, bytes page_key not None):
        """The page's header and its length agree. What is found out counts as used: it outlives this call."""
        cdef Page page
        if self.limit > 0:
            page = self.page_of(page_key)
            page.whole = page.used = True
            self.evict()

    cdef Page page_of(self, bytes page_key):
        cdef Page page
        found = self.pages.get(page_key)
        if found is not None:
            return <Page>found
        page = Page.__new__(Page)
        page.key = page_key
        page.size = PAGE_OVERHEAD + PyBytes_GET_SIZE(page_key)
        self.pages[page_key] = page
        self.link(page)
        self.size += page.size
        return page

    cdef void link(self, Page page) noexcept:
        """Make a page the last to go."""
        page.older = self.newest
        page.newer = NULL
        if self.newest == NULL:
            self.oldest = <PyObject*>page
        else:
            (<Page>self.newest).newer = <PyObject*>page
        self.newest = <PyObject*>page

    cdef void unlink(self, Page page) noexcept:
        if page.older == NULL:
            self.oldest = page.newer
        else:
            (<Page>page.older).newer = page.newer
        if page.newer == NULL:
            self.newest = page.older
        else:
            (<Page>page.newer).older = page.older

    cdef int put(self, bytes key, Entry entry, bytes page_key) except -1:
        """Keep an entry. One that has its key goes, and its page with it: they were read at other times."""
        cdef Page page
        cdef Py_ssize_t size
        if self.limit <= 0:
            return 0
        old = self.entries.get(key)
        if old is not None:
            self.invalidate([(<Page>(<Entry>old).page).key])
        page = self.page_of(page_key)
        size = PyBytes_GET_SIZE(entry.text) + PyBytes_GET_SIZE(key) + ENTRY_OVERHEAD
        entry.page = page
        entry.key = key
        entry.sibling = page.first
        page.first = <PyObject*>entry
        page.count += 1
        self.entries[key] = entry
        page.size += size
        self.size += size
        return self.evict()

    cdef int remove(self, Page page) except -1:
        """Forget a page and its entries."""
        cdef PyObject* each = page.first
        cdef Entry entry
        self.unlink(page)
        del self.pages[page.key]
        while each != NULL:
            entry = <Entry>each
            each = entry.sibling
            del self.entries[entry.key]
        self.size -= page.size
        return 0

    cdef int evict(self) except -1:
        """Make room: a page that was used since it came up last gets another round."""
        cdef Page page
        while self.size > self.limit:
            page = <Page>self.oldest
            if page.used:
                page.used = False
                self.unlink(page)
                self.link(page)
            else:
                self.remove(page)
                self.evicted += page.count
        return 0

    def invalidate(self, keys):
        """Forget the pages with these keys, whatever else is among them; None: all."""
        if keys is None:
            self.clear()
            return
        for key in keys:
            page = self.pages.get(key)
            if page is not None:
                self.remove(<Page>page)
                self.invalidated += (<Page>page).count

    def drop(self, bytes prefix not None):
        """Forget every page whose key begins so."""
        self.invalidate([key for key in self.pages if key.startswith(prefix)])

    def clear(self):
        """Forget everything."""
        self.invalidated += len(self.entries)
        self.entries.clear()
        self.pages.clear()
        self.oldest = self.newest = NULL
        self.size = 0
