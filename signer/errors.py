"""What can go wrong while signing, as errors that stop one issuer and nothing else."""

from datetime import UTC, datetime
from pathlib import Path

from store.errors import OcspeedError

__all__ = [
    "ClockStopped",
    "NoRoom",
    "ResponderChanged",
    "SignerAtWork",
    "SignerExpiring",
    "SigningError",
    "SigningFault",
    "TokenUnavailable",
    "WorkersLost",
]


class SigningError(OcspeedError):
    """Root: an issuer's responses could not be signed."""


class SignerAtWork(SigningError):
    """One process signs for a ledger, and another one does already."""

    def __init__(self, lock: Path, process: str) -> None:
        super().__init__(
            f"{lock}: another `ocsp-signer run` is at work (process {process})",
            remedy="stop that one first; one signer a ledger is enough",
        )


class NoRoom(SigningError):
    """The store has no room for a second layout of an issuer's pages."""

    def __init__(self, issuer: str, used: int, wanted: int, limit: int) -> None:
        super().__init__(
            f"issuer {issuer}: the store uses {used:,} octets and may use {limit:,}: "
            f"no room for {wanted:,} more while its pages are there twice",
            remedy="raise `maxmemory` of the store",
        )


class SigningFault(SigningError):
    """A signature did not verify after it was made: nothing more is signed with that key (A-05)."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message, remedy="stop using this key or token until the cause is known; nothing was stored"
        )


class SignerExpiring(SigningError):
    """The signer's certificate ends too soon for what it would sign (R-17, B5)."""

    def __init__(self, not_after: int, this_update: int) -> None:
        end = datetime.fromtimestamp(not_after, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        hours = (not_after - this_update) / 3600
        super().__init__(
            f"the signing certificate ends at {end}, {hours:.1f} h away; 16 h are needed",
            remedy="install a new responder certificate and name it in `signer.certificate`",
        )


class ClockStopped(SigningError):
    """The wall clock jumped, or is far from what was signed: nothing is signed (B6)."""

    def __init__(self, why: str, *, confirm: bool) -> None:
        """`confirm`: whether it goes on only once somebody has confirmed the time."""
        super().__init__(
            f"the wall clock is in doubt: {why}",
            remedy="correct this machine's clock; if it is right, run `ocsp-signer resume --accept-clock`"
            if confirm
            else "see that this machine's clock is right; signing goes on when it has been so for a minute",
        )


class ResponderChanged(SigningError):
    """A process of the pool would sign under another template, or into other pages, than it was asked to.

    No responder was told of them.
    """

    def __init__(self, issuer: str) -> None:
        super().__init__(
            f"issuer {issuer}: a signing process found another responder certificate or validity than this one",
            remedy="none needed for a new certificate; after a change of ocsp.toml start `ocsp-signer` again",
        )


class TokenUnavailable(SigningError):
    """A PKCS #11 token is away, or does not do what it is asked (G4)."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(
            f"{place}: {why}",
            remedy="see that its PKCS #11 library finds the token; `ocsp-signer run` tries again every few seconds",
        )


class WorkersLost(SigningError):
    """A process of the pool ended before its work did: killed, or out of memory."""

    def __init__(self) -> None:
        super().__init__(
            "a signing process ended unexpectedly",
            remedy="look for the reason in the system's log (out of memory?); what it had in hand is signed again",
        )
