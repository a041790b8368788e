"""What signer and responder say when something outside them is wrong: each error says what to do next."""

from typing import Any

__all__ = ["ConfigError", "OcspeedError", "StoreError", "StoreFormatError", "StoreUnavailable", "UsageError"]


class OcspeedError(Exception):
    """Root of the errors a command prints without a traceback and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross from signing processes; by default a class would be called with its message alone."""
        return _rebuilt, (type(self), self.message, self.remedy)


def _rebuilt(kind: type[OcspeedError], message: str, remedy: str | None) -> OcspeedError:
    error = kind.__new__(kind)
    OcspeedError.__init__(error, message, remedy=remedy)
    return error


class UsageError(OcspeedError):
    """The command line or a value on it cannot be what was meant."""

    exit_code = 2


class ConfigError(OcspeedError):
    """ocsp.toml or the environment: names file, line and field."""

    exit_code = 2


class StoreError(OcspeedError):
    """Root of the store's faults."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or refused the connection or the right."""


class StoreFormatError(StoreError):
    """The store holds something that this release does not understand."""
