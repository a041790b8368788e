def parse_head(data: bytes) -> tuple[str, bytes, bool, int, int, bytes | None] | None:
    """The head of a request that is plain enough for the fast path, or None for what an HTTP library must read.

    Method (GET or POST), target, whether the connection ends with the answer, octets of the head, Content-Length
    (0 for a GET), and the value of If-None-Match. Never lenient: see the module's text.
    """
