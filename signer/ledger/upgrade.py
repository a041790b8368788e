"""Bringing a ledger's schema up to date, by Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

__all__ = ["is_known", "newest", "upgrade"]


def newest() -> str | None:
    """What the migrations lead to."""
    return ScriptDirectory.from_config(_migrations()).get_current_head()


def is_known(revision: str) -> bool:
    return revision in {one.revision for one in ScriptDirectory.from_config(_migrations()).walk_revisions()}


def upgrade(connection: Connection) -> None:
    """To the newest, from whatever it is or from nothing, in the transaction of `connection`."""
    config = _migrations()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
