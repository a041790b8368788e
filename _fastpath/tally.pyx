"""A worker's counters for compiled code: `responder.counters` says which slot is which."""

cimport cython

cdef enum:
    SUM_UNITS = 1000000  # histogram sums are kept in millionths of the base unit


@cython.final
cdef class Tally:
    """A row of counters. Slots come from the table that the row was laid out by."""

    def __init__(self, uint64_t[::1] cells not None):
        self.cells = cells

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef void add(self, Py_ssize_t slot, uint64_t amount) noexcept:
        self.cells[slot] += amount

    cdef void observe(self, const Histogram* histogram, double value) noexcept:
        """Count a measurement in the bucket of the first bound that is not below it."""
        cdef int bucket = 0
        while bucket < histogram.buckets and histogram.bounds[bucket] < value:
            bucket += 1
        self.add(histogram.first + bucket, 1)
        if value > 0:
            self.add(histogram.first + histogram.buckets + 1, <uint64_t>(value * SUM_UNITS))

    cdef int fill(self, Histogram* histogram, Py_ssize_t first, bounds) except -1:
        """Take over the slots of a histogram. Raises ValueError for slots that the row does not have."""
        cdef int index
        if len(bounds) > MOST_BUCKETS or not 0 <= first < self.cells.shape[0] - len(bounds) - 1:
            raise ValueError("a histogram does not fit its row")
        histogram.first = first
        histogram.buckets = <int>len(bounds)
        for index in range(histogram.buckets):
            histogram.bounds[index] = bounds[index]
        return 0
