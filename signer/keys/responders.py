"""The responder certificates of an issuer that has them in a directory, so that a new one follows without a restart."""

from pathlib import Path
from typing import Any

import msgspec

from signer.config import SignerTable
from store.errors import ConfigError
from store.model import load_certificate

__all__ = ["responder_tables"]


def responder_tables(table: SignerTable) -> tuple[list[SignerTable], list[ConfigError]]:
    """The table as it is; or one for each certificate in its directory, that which ends last coming first.

    And what is wrong with files there that cannot be read. Raises ConfigError for a directory without any.
    """
    if table.directory is None:
        return [table], []
    found, unread = [], []
    for path in _listed(table.directory):
        try:
            found.append((load_certificate(path).not_valid_after_utc, path))
        except ConfigError as error:
            unread.append(error)
    if not found:
        raise (
            unread[0]
            if unread
            else ConfigError(
                f"{table.directory}: there is no NAME.pem in it",
                remedy="put a responder certificate there; docs/operations.md, responder certificates",
            )
        )
    return [_table_of(table, path) for _, path in sorted(found, reverse=True)], unread


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".pem")
    except OSError as error:
        raise ConfigError(
            f"{directory}: cannot be read: {error.strerror}", remedy="correct `signer.directory`"
        ) from None


def _table_of(table: SignerTable, path: Path) -> SignerTable:
    """NAME.key beside the certificate, or the key NAME in the token."""
    own: dict[str, Any] = {"key": path.with_suffix(".key")} if table.kind == "file" else {"label": path.stem}
    return msgspec.structs.replace(table, directory=None, renew_command=None, certificate=path, **own)
