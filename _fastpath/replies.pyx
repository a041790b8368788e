"""Replies of the store in the order of the commands they belong to, with its pushes in between.

A reply has no name of its own: its place says whose it is (C1, E6). What does not fit ends the connection.
"""

cimport cython

from _fastpath.lookup cimport Command
from _fastpath.tally cimport Histogram, Tally

from collections import deque

import hiredis

cdef enum:
    MAX_REPLY = 1 << 20  # octets of a reply not yet whole; records are below 8 KiB

cdef object NOT_ENOUGH = Ellipsis  # no RESP value decodes to it
cdef type PUSH = hiredis.PushNotification
cdef type REPLY_ERROR = hiredis.ReplyError


class Surprise(Exception):
    """The server sent what no command asked for."""


@cython.final
cdef class ReplyQueue:
    """The commands of one connection that have no reply yet."""

    cdef object queue
    cdef object reader
    cdef object gets
    cdef object invalidated  # keys or None -> None
    cdef object refused  # message -> None
    cdef Tally tally
    cdef Histogram seconds
    cdef bint closed

    def __init__(self, *, invalidated, refused, Tally tally not None, Py_ssize_t slot, bounds):
        self.queue = deque()
        self.reader = hiredis.Reader(notEnoughData=NOT_ENOUGH)
        self.gets = self.reader.gets
        self.invalidated = invalidated
        self.refused = refused
        self.tally = tally
        tally.fill(&self.seconds, slot, bounds)

    def __len__(self):
        return len(self.queue)

    @property
    def oldest(self):
        """When the oldest command without a reply was queued, in loop time; None when there is none."""
        return (<Command>self.queue[0]).sent_at if self.queue else None

    def put(self, Command command not None):
        """The command that was sent last."""
        self.queue.append(command)

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
                command = <Command>self.queue.popleft()
                self.tally.observe(&self.seconds, now - command.sent_at)
                self.answer(command, reply)
        except hiredis.ProtocolError as error:
            raise Surprise(str(error)) from error
        if self.reader.len() > MAX_REPLY:
            raise Surprise("a reply without an end")

    cdef int answer(self, Command command, reply) except -1:
        if isinstance(reply, REPLY_ERROR):
            self.refused(str(reply))
            command.fail("store_error")
            return 0
        try:
            command.take(reply)
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
        """Fail those whose deadline has come; they stay queued, so that replies keep their places.

        Returns the next deadline, or None.
        """
        cdef Command command
        following = None
        for command in list(self.queue):
            if command.deadline <= now:
                command.fail("lookup_timeout")
            elif following is None or command.deadline < following:
                following = command.deadline
        return following

    def close(self, str cause not None):
        """Fail everybody who waits; no reply is handed out any more."""
        cdef Command command
        self.closed = True
        while self.queue:
            command = <Command>self.queue.popleft()
            command.fail(cause)
