"""Replies of the store in the order of the commands they belong to, with its pushes in between.

A reply has no name of its own: its place says whose it is (C1, E6). What does not fit ends the connection.
"""

cimport cython

from libc.math cimport INFINITY

import hiredis

cdef enum:
    MAX_REPLY = 1 << 20  # octets of a reply not yet whole; records are below 8 KiB
    MOST_GONE = 4096  # places at the beginning of the queue that are kept empty, for a while

cdef object NOT_ENOUGH = Ellipsis  # no RESP value decodes to it
cdef type PUSH = hiredis.PushNotification
cdef type REPLY_ERROR = hiredis.ReplyError


class Surprise(Exception):
    """The server sent what no command asked for."""


cdef class Command:
    """A command under way. `take` gets its reply, unless `fail` told before why there will be none."""

    def __init__(self, bytes request not None, double deadline):
        self.request = request
        self.deadline = deadline

    cpdef take(self, reply, double now):
        """Raises TypeError for a reply of a type that the command cannot have."""
        raise NotImplementedError

    cpdef fail(self, str cause):
        raise NotImplementedError


@cython.final
cdef class ReplyQueue:
    """The commands of one connection that have no reply yet."""

    def __init__(
        self,
        *,
        flush,
        arm,
        invalidated,
        refused,
        Py_ssize_t room,
        Tally tally not None,
        Py_ssize_t slot,
        bounds,
    ):
        self.queue = []
        self.outgoing = []
        self.flush = flush
        self.arm = arm
        self.room = room
        self.sweeps_at = INFINITY
        self.reader = hiredis.Reader(notEnoughData=NOT_ENOUGH)
        self.gets = self.reader.gets
        self.invalidated = invalidated
        self.refused = refused
        self.tally = tally
        tally.fill(&self.seconds, slot, bounds)

    def __len__(self):
        return len(self.queue) - self.gone

    @property
    def under_way(self):
        """How many commands were taken to be written and have no reply."""
        return len(self.queue) - self.gone - len(self.outgoing)

    @property
    def oldest(self):
        """When the oldest command without a reply was queued, in loop time; None when there is none."""
        return (<Command>self.queue[self.gone]).sent_at if self.queue else None

    cpdef str submit(self, Command command, double now):
        """Queue a command; `flush` is called for the first. The cause why it cannot be, else None."""
        if self.closed:
            return "store_down"
        if len(self.queue) - self.gone >= self.room:
            return "waiting_room"
        self.put(command, now)
        return None

    cpdef put(self, Command command, double now):
        """The same, however many wait already."""
        command.sent_at = now
        self.queue.append(command)
        if not self.outgoing:
            self.flush()
        self.outgoing.append(command.request)
        if command.deadline < self.sweeps_at:
            self.sweeps_at = command.deadline
            self.arm(command.deadline)

    cdef Command next(self):
        """Take the command whose reply comes next off the queue, which has one."""
        cdef Command command = <Command>self.queue[self.gone]
        self.queue[self.gone] = None
        self.gone += 1
        if self.gone == len(self.queue) or self.gone == MOST_GONE:
            del self.queue[:self.gone]
            self.gone = 0
        return command

    def take_outgoing(self):
        """What has to be written now."""
        cdef bytes data = b"".join(self.outgoing)
        self.outgoing.clear()
        return data

    def feed(self, bytes data not None, double now):
        """Hand out the replies in what was read at `now`, in loop time. Raises Surprise."""
        cdef Command command
        try:
            self.reader.feed(data)
            while not self.closed:
                reply = self.gets()
                if reply is NOT_ENOUGH:
                    break
                if type(reply) is PUSH:
                    self.push(reply)
                    continue
                if not self.queue:
                    raise Surprise("a reply without a command")
                command = self.next()
                self.tally.observe(&self.seconds, now - command.sent_at)
                self.answer(command, reply, now)
        except (hiredis.ProtocolError, TypeError, MemoryError) as error:  # an array as key, or of billions
            raise Surprise(str(error)) from error
        if self.reader.len() > MAX_REPLY:
            raise Surprise("a reply without an end")

    cdef int answer(self, Command command, reply, double now) except -1:
        if type(reply) is not bytes and isinstance(reply, REPLY_ERROR):
            self.refused(str(reply))
            command.fail("store_error")
            return 0
        try:
            command.take(reply, now)
        except TypeError as error:
            command.fail("store_protocol")
            raise Surprise(str(error)) from error
        return 0

    cdef int push(self, message) except -1:
        if len(message) != 2 or message[0] != b"invalidate" or not isinstance(message[1], (list, type(None))):
            raise Surprise("a push that is no invalidation")
        self.invalidated(message[1])
        return 0

    def overdue(self, double now):
        """Fail those whose deadline has come, and arm for the next; they stay queued, so that replies keep
        their places."""
        cdef Command command
        self.sweeps_at = INFINITY
        for command in self.queue[self.gone:]:
            if command.deadline <= now:
                command.fail("lookup_timeout")
                command.deadline = INFINITY
            elif command.deadline < self.sweeps_at:
                self.sweeps_at = command.deadline
        if self.sweeps_at < INFINITY:
            self.arm(self.sweeps_at)

    def close(self, str cause not None):
        """Fail everybody who waits; no reply is handed out any more."""
        cdef Command command
        self.closed = True
        self.outgoing.clear()
        while self.queue:
            command = self.next()
            command.fail(cause)
