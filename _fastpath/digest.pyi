from collections.abc import Iterable

def sha256_each(data: Iterable[bytes]) -> list[bytes]:
    """The digests of `data`, in their order."""
