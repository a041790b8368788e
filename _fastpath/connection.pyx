"""One client's connection on the fast path: what it sends is answered request after request, in order (E6).

While nothing is under way, what comes is offered to the fast path; what that leaves goes, untouched, to the
HTTP library. A request that waits for the store holds back all that follow it.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.math cimport INFINITY


@cython.final
cdef class Connection(Client):
    """What the fast path has of one connection; `protocol` has the rest of it, and sets `write`."""

    def __init__(self, FastPath path not None, protocol):
        self.path = path
        self.protocol = protocol
        self.asked = b""
        self.due = INFINITY

    @property
    def waiting(self):
        """Whether a request waits for the store."""
        return self.exchange is not None

    @property
    def busy(self):
        """Whether anything was read that is not answered yet."""
        return PyBytes_GET_SIZE(self.asked) > 0

    def data_received(self, bytes data not None):
        """What the client sent."""
        if self.plain:
            self.offer(data)
        elif PyBytes_GET_SIZE(self.asked) == 0:
            self.protocol.read(data)
        elif self.exchange is not None:
            self.asked += data
            self.hold()
        else:
            self.offer(self.asked + data)

    cdef int offer(self, bytes data) except -1:
        """Let the fast path answer what is plain, request after request."""
        cdef Py_ssize_t start = 0
        answer = None
        try:
            while not self.blocked:
                answer = self.path.respond(self, data, start)
                if type(answer) is not bytes:
                    break
                start += self.path.size
                self.write(answer)
                answer = None
                if self.path.closes:
                    return self.end()
                if start == PyBytes_GET_SIZE(data):
                    return self.rest()
        except Exception:
            self.path.failed()
            answer = None
        return self.go_on(answer, data[start:] if start else data)

    cdef int go_on(self, answer, bytes data) except -1:
        """What follows where the fast path has no answer at hand."""
        self.plain = False
        if answer is None:
            return self.leave_to_library(data)
        if answer is False:
            if not self.asked or PyBytes_GET_SIZE(data) < PyBytes_GET_SIZE(self.asked):
                self.protocol.await_body()  # another message than was waited for
        else:
            self.exchange = <Exchange>answer
            self.due = INFINITY
            if PyBytes_GET_SIZE(data) > self.exchange.size:
                self.hold()  # the end of what the client sends must not overtake it
        self.asked = data
        return 0

    cdef int settled(self, Exchange exchange, bytes answer) except -1:
        cdef bytes data = self.asked
        self.exchange = None
        self.release()
        if answer is None:
            self.leave_to_library(data)
            if self.draining:
                self.protocol.shutdown()
            return 0
        self.write(answer)
        if exchange.closes:
            return self.end()
        self.rest()
        if PyBytes_GET_SIZE(data) > exchange.size:
            self.offer(data[exchange.size:])
        return 0

    cdef int rest(self) except -1:
        """Everything is answered."""
        self.asked = b""
        self.due = self.path.idle_due
        self.plain = not self.blocked
        return 0

    cdef int leave_to_library(self, bytes data) except -1:
        self.asked = b""
        self.protocol.read(data)
        return 0

    cdef int end(self) except -1:
        """The last answer of this connection is written."""
        self.asked = b""
        self.plain = False
        self.protocol.finish()
        return 0

    cdef int hold(self) except -1:
        if not self.held:
            self.held = True
            self.protocol.hold(True)
        return 0

    cdef int release(self) except -1:
        if self.held:
            self.held = False
            self.protocol.hold(False)
        return 0

    def allow(self, bint plain):
        """Whether the HTTP library is between two requests, so that the next may be answered here."""
        self.plain = plain and not self.blocked and PyBytes_GET_SIZE(self.asked) == 0

    def block(self, bint blocked):
        """Whether the client does not read what is written."""
        self.blocked = blocked
        if blocked:
            self.plain = False

    def hand_over(self):
        """Leave what was begun to the HTTP library, from its first octet."""
        cdef bytes data = self.asked
        if self.exchange is not None:
            self.exchange.client = None
            self.exchange = None
        self.plain = False
        self.release()
        if PyBytes_GET_SIZE(data) > 0:
            self.leave_to_library(data)

    def drain(self):
        """Let the answer of a request that waits, if it is the only one, say that the connection ends.

        False if there is none such.
        """
        if self.exchange is None or PyBytes_GET_SIZE(self.asked) > self.exchange.size:
            return False
        self.exchange.closes = self.draining = True
        return True

    def lost(self):
        """Nobody is there to answer. Whether somebody waited."""
        cdef bint busy = PyBytes_GET_SIZE(self.asked) > 0
        if self.exchange is not None:
            self.exchange.client = None
            self.exchange = None
        self.asked = b""
        self.plain = False
        return busy
