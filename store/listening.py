"""Addresses that the processes listen on, from configuration to socket."""

import re
import socket
from dataclasses import dataclass

from store.errors import OcspeedError

__all__ = ["BACKLOG", "Address", "AddressUnavailable", "bind", "check_address"]

MAX_PORT = 65535
BACKLOG = 2048


class AddressUnavailable(OcspeedError):
    """A listener could not be bound."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener is bound."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`host:port` or `[v6 address]:port`. Raises ValueError."""
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*)):(\d{1,5})", text)
        if match is None or int(match[3]) > MAX_PORT:
            raise ValueError(f'{text!r} is not an address such as "127.0.0.1:2560" or "[::]:2560"')
        return cls(match[1] or match[2], int(match[3]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_address(field: str, text: str) -> None:
    """For the `__post_init__` of a section. Raises ValueError that begins with the field."""
    try:
        Address.parse(text)
    except ValueError as error:
        raise ValueError(f"`{field}`: {error}") from None


def bind(field: str, address: Address) -> socket.socket:
    """A listening socket; `::` listens for both families. Raises AddressUnavailable naming the field."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address.host != "::")
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise AddressUnavailable(
            f"{field} = {str(address)!r}: {error.strerror or error}",
            remedy=f"stop what uses port {address.port}, or set `{field}` to a free address of this host",
        ) from None
    return listener
