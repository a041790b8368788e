"""`resume --accept-clock`: somebody says what time it is, and `run` believes it."""

from contextlib import closing
from pathlib import Path

from signer.commands.output import print_json, print_text, remark
from signer.config import load_settings
from signer.journal import user
from signer.ledger.ledger import Ledger
from signer.witness import witness
from store.clock import Clock, SystemClock
from store.errors import UsageError
from store.text import rfc3339

__all__ = ["resume"]


def resume(file: Path, *, accept_clock: bool, as_json: bool, clock: Clock | None = None) -> None:
    """Journal that the present time was confirmed; a `run` that waits for it goes on. Raises UsageError."""
    now = (clock or SystemClock()).now()
    if not accept_clock:
        raise UsageError(
            f"by this machine it is {rfc3339(now)}",
            remedy="if that is right, say so: `ocsp-signer resume --accept-clock`; if not, set its clock",
        )
    settings = load_settings(file)
    with closing(Ledger.open(settings.ledger_url)) as ledger:
        newest = witness(ledger, settings.root.issuer).signed
        ledger.confirm_clock(now, user())
    if newest is not None and newest > now:
        remark(
            f"something was signed at {rfc3339(newest)}, which is later: until then neither CRLs nor pages of that "
            "time are replaced; revocations are signed at once, with the times of their pages"
        )
    if as_json:
        print_json({"accepted": rfc3339(now), "newest_signed": rfc3339(newest)})
    else:
        print_text(f"{rfc3339(now)} accepted; `ocsp-signer run` goes on within seconds")
