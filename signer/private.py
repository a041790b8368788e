"""Files with secrets: nobody but their owner's group may read them, and nobody but the owner change them."""

import os
import stat
from pathlib import Path

from store.errors import ConfigError

__all__ = ["check_private"]

OTHERS = stat.S_IWGRP | stat.S_IRWXO


def check_private(path: Path, found: os.stat_result) -> None:
    """`found` is of the opened file. Raises ConfigError."""
    if found.st_mode & OTHERS or found.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{path}: others may read or change it",
            remedy=f"chmod 0600 {path}, and chown it to the user that runs ocsp-signer",
        )
