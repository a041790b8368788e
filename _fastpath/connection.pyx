"""A client's connection: requests are answered one after the other, in order (E6).

While nothing is under way, what comes is offered to the fast path; what that leaves goes, untouched, to the
HTTP library. A request that waits for the store holds back all that follow it. Most connections never need
the library, whose objects cost more than all the rest: they are made when something first comes for it.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.math cimport INFINITY

cdef double FIRST_AND_LAST = 1.0  # seconds for the first request of a client that came as the worker stopped


@cython.final
cdef class Connections:
    """What all connections of a worker share."""

    def __init__(
        self,
        FastPath path not None,
        *,
        members,
        library,
        left,
        bint plain,
        Py_ssize_t limit,
        double header_timeout,
        double body_timeout,
        double write_timeout,
    ):
        self.path = path
        self.members = members
        self.library = library
        self.left = left
        self.plain = plain
        self.limit = limit
        self.header_timeout = header_timeout
        self.body_timeout = body_timeout
        self.write_timeout = write_timeout
        self.first_due = self.idle_due = INFINITY

    def sweep(self, members, double now):
        """End those of these that take too long, if they are still there."""
        for member in members:
            if member in self.members:
                member.sweep(now)


@cython.final
cdef class Connection(Client):
    """A transport's protocol until something comes for the HTTP library, whose protocol then replaces it."""

    def __init__(self, Connections shared not None):
        self.shared = shared
        self.path = shared.path
        self.asked = b""
        self.due = INFINITY
        self.silent = True

    # The transport's protocol

    def connection_made(self, transport):
        """A client came: the fast path has it, unless it is one too many (H-20)."""
        cdef Connections shared = self.shared
        self.transport = transport
        self.write = transport.write
        self.due = shared.first_due
        shared.members.add(self)
        self.plain = shared.plain and len(shared.members) <= shared.limit

    def connection_lost(self, error):
        """Nobody is there to answer."""
        self.shared.members.discard(self)
        if self.lost():
            self.shared.left()
        self.transport = self.write = None

    def eof_received(self):
        """A client may close its half and still read."""
        if PyBytes_GET_SIZE(self.asked) == 0:
            return False
        self.hand_over()
        return self.to_library().eof_received()

    def pause_writing(self):
        """The client does not read."""
        self.block(True)

    def resume_writing(self):
        """It does again."""
        self.block(False)
        self.allow(True)

    def shutdown(self):
        """The worker stops: what was read is answered, the last answer says that the connection ends (E3)."""
        if self.drain():
            return
        if PyBytes_GET_SIZE(self.asked) > 0:
            self.hand_over()
            self.protocol.shutdown()
        elif self.silent:
            self.draining = True  # it may have sent what we did not read yet, and would not know why we left
            self.plain = False
            self.due = min(self.due, <double>self.path.source.monotonic() + FIRST_AND_LAST)
        else:
            self.transport.close()

    def sweep(self, double now):
        """End the connection if the client is too slow: to read, to send a message, to begin one (F3)."""
        if self.stalled(now):
            self.transport.abort()
        elif self.exchange is not None:
            self.due = max(self.due, now + self.shared.header_timeout)  # it waits for us
        elif now >= self.due and not self.transport.is_closing():
            if PyBytes_GET_SIZE(self.asked) > 0:
                self.hand_over()
                self.protocol.overdue()
            else:
                self.transport.close()

    def stalled(self, double now):
        """Whether answers have lain unread for too long; one of several MB may take its time."""
        cdef Py_ssize_t unread = self.transport.get_write_buffer_size()
        if self.unread == 0 or unread < self.unread:
            self.read_at = now
        self.unread = unread
        return unread > 0 and now - self.read_at > self.shared.write_timeout

    cdef object to_library(self):
        """The HTTP library's protocol, which is the transport's from now on."""
        if self.protocol is None:
            self.shared.members.discard(self)
            self.protocol = self.shared.library(self)
            self.transport.set_protocol(self.protocol)
            self.protocol.connection_made(self.transport)
            if self.blocked:
                self.protocol.pause_writing()
        return self.protocol

    # What is read

    @property
    def waiting(self):
        """Whether a request waits for the store."""
        return self.exchange is not None

    def data_received(self, bytes data not None):
        """What the client sent."""
        self.silent = False
        if self.plain:
            self.offer(data)
        elif PyBytes_GET_SIZE(self.asked) == 0:
            self.leave_to_library(data)
        elif self.exchange is not None:
            self.asked += data
            self.hold()
        elif PyBytes_GET_SIZE(data) == self.body_size:
            self.offer_body(data)
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
                self.asked = b""  # what comes next has its own time
                if self.path.closes:
                    return self.end()
                if start == PyBytes_GET_SIZE(data):
                    return self.rest()
        except Exception:
            self.path.failed()
            answer = None
        return self.go_on(answer, data[start:] if start else data)

    cdef int offer_body(self, bytes body) except -1:
        """The body of a POST came by itself, as most clients send it: its head is not read again."""
        answer = None
        try:
            if not self.blocked:
                answer = self.path.respond_to_body(self, body, PyBytes_GET_SIZE(self.asked), self.closes)
                if type(answer) is bytes:
                    self.write(answer)
                    return self.end() if self.closes else self.rest()
        except Exception:
            self.path.failed()
            answer = None
        return self.go_on(answer, self.asked + body)

    cdef int go_on(self, answer, bytes data) except -1:
        """What follows where the fast path has no answer at hand."""
        self.plain = False
        self.body_size = 0
        if answer is None:
            return self.leave_to_library(data)
        if answer is False:
            if PyBytes_GET_SIZE(data) == self.path.head_size:
                self.body_size = self.path.size - self.path.head_size
                self.closes = self.path.closes
            if PyBytes_GET_SIZE(self.asked) == 0:
                self.due = <double>self.path.source.monotonic() + self.shared.body_timeout
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
        self.due = self.shared.idle_due
        self.plain = not self.blocked
        return 0

    cdef int leave_to_library(self, bytes data) except -1:
        self.asked = b""
        self.plain = False
        self.to_library().read(data)
        return 0

    cdef int end(self) except -1:
        """The last answer of this connection is written."""
        self.asked = b""
        self.plain = False
        if self.protocol is None:
            self.transport.close()
        else:
            self.protocol.finish()
        return 0

    cdef int hold(self) except -1:
        if not self.held:
            self.held = True
            if self.protocol is None:
                self.transport.pause_reading()
            else:
                self.protocol.hold(True)
        return 0

    cdef int release(self) except -1:
        if self.held:
            self.held = False
            if self.protocol is None:
                self.transport.resume_reading()
            else:
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
        """Nobody is there to answer. Whether somebody waited, or did not read."""
        cdef bint busy = PyBytes_GET_SIZE(self.asked) > 0 or self.unread > 0
        if self.exchange is not None:
            self.exchange.client = None
            self.exchange = None
        self.asked = b""
        self.plain = False
        return busy
