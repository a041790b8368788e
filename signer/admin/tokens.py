"""Who may call the intake API: bearers of the tokens of a file, and holders of certificates of one CA."""

import hmac
import os
import re
from hashlib import sha256
from pathlib import Path

from signer.private import check_private
from store.errors import ConfigError

__all__ = ["Tokens"]

LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})[ \t]+([A-Za-z0-9._~+/=-]+)")
MIN_TOKEN = 32  # characters: 128 bits at least, however they are spelled
MAX_FILE = 1 << 20  # octets
MAKE_ONE = "make a line with: echo NAME $(openssl rand -hex 32)"


class Tokens:
    """The lines `NAME TOKEN` of a file. It is read again when it was changed: a token taken out of it is void at once."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError."""
        self._path = path
        self._read_at: tuple[int, int, int] | None = None
        self._digests: dict[str, bytes] = {}
        self.refresh()

    def refresh(self) -> None:
        """Raises ConfigError for a file that cannot be trusted; then nobody may call until it can."""
        try:
            with open(self._path, "rb") as file:
                found = os.fstat(file.fileno())
                seen = (found.st_mtime_ns, found.st_size, found.st_ino)
                if seen == self._read_at:
                    return
                self._read_at, self._digests = None, {}
                check_private(self._path, found)
                text = file.read(MAX_FILE + 1)
        except OSError as error:
            self._read_at, self._digests = None, {}
            raise ConfigError(
                f"{self._path}: cannot be read: {error.strerror}",
                remedy="check `intake.tokens` and the file's permissions",
            ) from None
        self._digests = self._parse(text)
        self._read_at = seen

    def name(self, token: str) -> str | None:
        """Whose it is; every token is compared, in time that says nothing about them."""
        digest = sha256(token.encode(errors="surrogateescape")).digest()
        found = None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def _parse(self, text: bytes) -> dict[str, bytes]:
        """Never says what a line holds."""
        if len(text) > MAX_FILE:
            raise ConfigError(f"{self._path}: more than {MAX_FILE} octets", remedy=MAKE_ONE)
        digests: dict[str, bytes] = {}
        for number, raw in enumerate(text.decode("utf-8", "replace").splitlines(), start=1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            match = LINE.fullmatch(line)
            if match is None or len(match[2]) < MIN_TOKEN:
                raise ConfigError(
                    f"{self._path}:{number}: not NAME TOKEN with a token of at least {MIN_TOKEN} characters",
                    remedy=MAKE_ONE,
                )
            if match[1] in digests:
                raise ConfigError(
                    f"{self._path}:{number}: {match[1]} is there twice",
                    remedy="give each token a name of its own",
                )
            digests[match[1]] = sha256(match[2].encode()).digest()
        if not digests:
            raise ConfigError(f"{self._path}: there is no token in it", remedy=MAKE_ONE)
        return digests
