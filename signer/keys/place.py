"""Where a key in a PKCS #11 token is."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["KeyPlace"]


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """In the words of ocsp.toml; printed without anything secret."""

    module: Path
    token: str
    pin_file: Path
    label: str | None
    id: bytes | None

    def __str__(self) -> str:
        names = [repr(self.label)] if self.label else []
        names += [f"with id {self.id.hex()}"] if self.id else []
        return f"token {self.token!r}, key {' '.join(names)}"
