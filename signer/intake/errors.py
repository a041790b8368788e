"""What is said of a file that cannot be imported at all."""

from store.errors import OcspeedError

__all__ = ["UnreadableFile"]


class UnreadableFile(OcspeedError):
    """A file whose rows mean nothing, because what says how to read them is wrong."""
