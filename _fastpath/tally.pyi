from typing import final

@final
class Tally:
    """A row of counters for compiled code: a writable buffer of unsigned 64-bit integers."""

    def __init__(self, cells: memoryview) -> None: ...
