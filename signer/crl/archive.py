"""Every CRL that was signed to be published, kept under its number for ever: what was said when can be shown later."""

from signer.crl.publish import CRL_TYPE, replace_object
from store.errors import OcspeedError
from store.objects import ObjectStore, archive_path

__all__ = ["ArchiveConflict", "archive"]


class ArchiveConflict(OcspeedError):
    """Another CRL is archived under this number: two were signed with one number, which must never be (C-08)."""


def archive(store: ObjectStore, path: str, crl_number: int, data: bytes) -> None:
    """Keep the CRL `data` of that number, meant for `path`. Raises ArchiveConflict rather than replace another one."""
    where = archive_path(path, crl_number)

    def check(found: bytes | None) -> None:
        if found is not None:
            raise ArchiveConflict(
                f"{where}: another CRL with this number is archived",
                remedy="nothing was published; find out who signed it: the next build takes a higher number",
            )

    replace_object(store, where, data, CRL_TYPE, check)
