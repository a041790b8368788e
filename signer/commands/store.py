"""`store init`: what only the store's administrator may do."""

from pathlib import Path

from signer.commands.output import print_text
from signer.context import Context
from store.connection import check_server
from store.writer import install_functions

__all__ = ["init"]


def init(file: Path) -> None:
    """Load this release's function library, unless it is there; an embedded server is started for it."""
    with Context.open(file) as context:
        context.ensure_store()
        url = context.endpoint.url
        with context.endpoint.client() as client:
            server = check_server(client, url)
            loaded = install_functions(client, url)
    print_text(f"{url}: {server}, function library {'loaded' if loaded else 'was there already'}")
