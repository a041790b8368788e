"""Connections of the admin listener: bounded in number, and in the time that the header of a request may take."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from store.text import printable

__all__ = ["AdminProtocol"]

MAX_CONNECTIONS = 512
HEADER_TIMEOUT = 10.0  # seconds from the first octet, or from the connection's start


class AdminProtocol(H11Protocol):
    """Gives requests the name in the client's certificate as `state.peer`; None without one."""

    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": _name(transport.get_extra_info("peercert"))}
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._await_header()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_header(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(HEADER_TIMEOUT, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


def _name(certificate: dict[str, Any] | None) -> str | None:
    """The common name that the CA gave, or else the serial number, of a certificate that TLS verified."""
    if not certificate:
        return None
    names = [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    return printable(names[0][:64]) if names else f"serial {certificate['serialNumber'].lower()}"
