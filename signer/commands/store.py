"""`ocsp-signer store`: what an administrator does to the store."""

import typer

from signer.console import Options, say

__all__ = ["store_init_command"]


def store_init_command(context: typer.Context) -> None:
    """Load this release's function library into the store; also after its server restarted empty.

    Needs the administrative user of deploy/acl:
    `OCSP__STORE__USERNAME=ocsp-admin OCSP__STORE__PASSWORD_FILE=FILE ocsp-signer store init`
    """
    from store.connection import check_server
    from store.writer import install_functions

    with Options.of(context).open_context() as opened:
        opened.ensure_store()
        with opened.endpoint.client() as client:
            check_server(client, opened.endpoint.url)
            loaded = install_functions(client, opened.endpoint.url)
    say(f"{opened.endpoint.url}: function library {'loaded' if loaded else 'was there already'}")
