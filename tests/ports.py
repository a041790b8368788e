"""Ports for what tests start, that nobody takes in the moment before it listens."""

import itertools
import os
import socket

__all__ = ["free_port"]

# Below those that the kernel gives to outgoing connections (32768 on): of these every request of a test takes one.
FIRST, COUNT = 10_000, 20_000

# Test processes beside this one begin elsewhere.
_next = itertools.count(os.getpid() * 61)


def free_port() -> int:
    """A loopback port that this process was not given before."""
    for number in _next:
        port = FIRST + number % COUNT
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("itertools.count ends")
