"""PKCS #11 libraries in this process: loaded once, one call at a time, logged in once, initialised anew after a fault."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import pkcs11
from pkcs11._pkcs11 import lib
from pkcs11.types import SignMixin, Token

from signer.errors import TokenUnavailable
from signer.keys.place import KeyPlace
from signer.private import check_private
from store.errors import ConfigError

__all__ = ["Library", "find_key", "library_at"]

MODULE = "the PKCS #11 library that came with the token, such as /usr/lib/softhsm/libsofthsm2.so"
HOLD_OFF = 5.0  # seconds in which a token that failed is not asked again
LISTED = 8  # keys or tokens that an error names


class Library:
    """One library, for all threads of this process; `lock` is to be held around every call into it.

    It is initialised without CKF_OS_LOCKING_OK, so two threads must not be in it at once. A login is of the process and
    a token, not of a session: it has a session of its own, which stays open.
    """

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self.initialised = 0  # how often: sessions are void once it has been done again
        # False after any fault: the next session is opened from nothing, as before that tokens which came back are not
        # seen, and lost sessions not freed.
        self.sound = False
        self._path = path
        self._library: lib | None = None
        self._logins: dict[str, pkcs11.Session] = {}
        self._refused: dict[str, str] = {}
        self._held: dict[str, tuple[float, str]] = {}

    def open(self, place: KeyPlace) -> pkcs11.Session:
        """A new session, logged in. Raises ConfigError, PKCS11Error."""
        if not self.sound:
            self._initialise()
        token = self._token(place.token)
        if place.token not in self._logins:
            self._logins[place.token] = self._log_in(token, place)
        return token.open()

    def check_held(self, place: KeyPlace, now: float) -> None:
        """Raises TokenUnavailable for a token that has just failed; `now` is monotonic."""
        until, why = self._held.get(place.token, (now, ""))
        if now < until:
            raise TokenUnavailable(str(place), why)

    def hold(self, place: KeyPlace, error: pkcs11.PKCS11Error, now: float) -> TokenUnavailable:
        """The error to raise for one of python-pkcs11."""
        why = f"{type(error).__name__}{f': {error}' if str(error) else ''}"
        self._held[place.token] = now + HOLD_OFF, why
        self.sound = False
        return TokenUnavailable(str(place), why)

    def _initialise(self) -> None:
        self._logins.clear()
        self.initialised += 1
        if self._library is not None:
            with suppress(pkcs11.PKCS11Error):
                self._library.finalize()
        elif not self._path.is_file():
            raise ConfigError(f"{self._path}: no such file", remedy=f"correct `module`: {MODULE}")
        try:
            self._library = pkcs11.lib(str(self._path))
        except pkcs11.PKCS11Error as error:
            if type(error) is pkcs11.PKCS11Error and self._library is None:  # it was not even loaded
                raise ConfigError(f"{self._path}: {error}", remedy=f"correct `module`: {MODULE}") from None
            raise
        self.sound = True

    def _token(self, label: str) -> Token:
        assert self._library is not None
        tokens = []
        for slot in self._library.get_slots(token_present=True):
            with suppress(pkcs11.PKCS11Error):  # another one may be broken
                tokens.append(slot.get_token())
        found = [token for token in tokens if token.label == label]
        if len(found) == 1:
            return found[0]
        there = _listed([repr(token.label) for token in tokens if token.label])
        raise pkcs11.NoSuchToken(f"{len(found)} tokens have that label; those there are {there}")

    def _log_in(self, token: Token, place: KeyPlace) -> pkcs11.Session:
        """A PIN that was refused is not tried again: a token locks itself after a few."""
        pin = _read_pin(place.pin_file)
        if self._refused.get(place.token) != pin:
            try:
                return token.open(user_pin=pin)
            except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
                self._refused[place.token] = pin
            except (pkcs11.PinLocked, pkcs11.PinExpired) as error:
                raise ConfigError(
                    f"token {place.token!r}: {type(error).__name__}: its PIN cannot be used any more",
                    remedy="set a new one with the token's own tools, and write it to `pin_file`",
                ) from None
        raise ConfigError(
            f"token {place.token!r}: the PIN in {place.pin_file} is refused",
            remedy="correct it; it is not tried again before it was, as the token would lock itself",
        )


_libraries: dict[Path, Library] = {}


def library_at(path: Path) -> Library:
    """The one of this process, not yet loaded if it is new."""
    real = path.resolve()
    return _libraries.setdefault(real, Library(real))


def find_key(session: pkcs11.Session, place: KeyPlace) -> SignMixin:
    """The private key, which may sign. Raises ConfigError unless there is exactly one."""
    wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}
    names = {pkcs11.Attribute.LABEL: place.label, pkcs11.Attribute.ID: place.id}
    found = list(session.get_objects(wanted | {name: value for name, value in names.items() if value}))
    if len(found) > 1:
        there = ", ".join(sorted(key[pkcs11.Attribute.ID].hex() for key in found))
        raise ConfigError(
            f"{place}: there are {len(found)} of them, with the ids {there}", remedy="name the `id` as well"
        )
    if not found:
        others = sorted(repr(key[pkcs11.Attribute.LABEL]) for key in session.get_objects(wanted))
        raise ConfigError(
            f"{place}: not there; there is {_listed(others)}", remedy="correct `label` or `id`, or `token`"
        )
    if not isinstance(found[0], SignMixin):
        raise ConfigError(
            f"{place}: may not sign: CKA_SIGN is false", remedy="use a key that was made for it"
        )
    return found[0]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "") or "none"


def _read_pin(path: Path) -> str:
    """Raises ConfigError, which never shows what is in the file."""
    try:
        with path.open("rb") as file:
            check_private(path, os.fstat(file.fileno()))
            pin = file.read(1024).rstrip(b"\r\n").decode()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", remedy="check `pin_file` and the file's permissions"
        ) from None
    except UnicodeDecodeError:
        pin = ""
    if not pin:
        raise ConfigError(f"{path}: no PIN in it", remedy="write the PIN, in UTF-8, as its only line")
    return pin
