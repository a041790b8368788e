"""Certificates in PEM files: any number of them, with text around, line ends of either kind (RFC 7468)."""

import binascii
from collections.abc import Iterator
from typing import IO

from signer.intake.lines import bounded_lines
from signer.intake.rows import RowError

__all__ = ["MAX_CERTIFICATE", "der_file", "pem_file"]

MAX_CERTIFICATE = 262_144  # octets of DER
LABELS = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE"})
OTHER_LABELS = frozenset({b"TRUSTED CERTIFICATE"})  # of OpenSSL: more than the certificate follows
PREFIX, SUFFIX = b"-----BEGIN ", b"-----"

Found = Iterator[tuple[int | None, bytes | RowError]]


class _Block:
    """The base64 of one certificate while its lines come in."""

    def __init__(self, line: int, label: bytes) -> None:
        self.line = line
        self.end = b"-----END " + label + SUFFIX
        self._text: list[bytes] = []
        self._size = 0

    def add(self, text: bytes) -> None:
        self._size += len(text)
        if self._size <= 2 * MAX_CERTIFICATE:
            self._text.append(text)

    def decode(self) -> bytes | RowError:
        if self._size > 2 * MAX_CERTIFICATE:
            return RowError("PEM", f"a certificate of more than {MAX_CERTIFICATE} octets")
        try:
            return binascii.a2b_base64(b"".join(self._text), strict_mode=True)
        except ValueError as error:
            return RowError("PEM", f"not base64: {error}")


def pem_file(file: IO[bytes]) -> Found:
    """DER of each certificate by the line where it begins; other things in PEM are passed over."""
    block: _Block | None = None
    for number, line in enumerate(bounded_lines(file), start=1):
        if isinstance(line, RowError):
            yield number, line
            continue
        text = line.strip()
        begins = text.startswith(PREFIX) and text.endswith(SUFFIX)
        label = text[len(PREFIX) : -len(SUFFIX)] if begins else b""
        if label:
            if block is not None:
                yield block.line, RowError("PEM", "another one begins before its END")
            block = _Block(number, label) if label in LABELS else None
            if label in OTHER_LABELS:
                yield number, RowError("PEM", "a TRUSTED CERTIFICATE: write it anew with `openssl x509`")
        elif block is not None and text == block.end:
            yield block.line, block.decode()
            block = None
        elif block is not None:
            block.add(text)
        elif text.startswith(b"-----END ") and text[9 : -len(SUFFIX)] in LABELS:
            yield number, RowError("PEM", "END without BEGIN")
    if block is not None:
        yield block.line, RowError("PEM", "no END before the end of the file")


def der_file(file: IO[bytes]) -> Found:
    """The one certificate of a file."""
    data = file.read(MAX_CERTIFICATE + 1)
    if len(data) > MAX_CERTIFICATE:
        yield None, RowError("DER", f"more than {MAX_CERTIFICATE} octets")
    elif data:
        yield None, data
