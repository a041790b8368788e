"""Pages of made-up certificates for the store's tests: records without worth, but of the right form."""

from _fastpath.certid import IssuerID
from _fastpath.ocsp import SingleResponse
from _fastpath.page import encode_record
from _fastpath.template import Template
from store.schema import page_key
from store.writer import PagePut

NOW = 1_795_255_200  # 2026-11-21T10:00:00Z
KEY = page_key("demo", 1, 0)
ISSUER = IssuerID(bytes.fromhex("300d310b3009060355040613025553"), b"\x04" + bytes(64))
TEMPLATE = Template(
    signature_algorithm=bytes.fromhex("300a06082a8648ce3d040302"),
    signature_size=64,
    responder_key_hash=bytes(20),
    certificates=b"",
    validity=345_599,
)


def record(serial: bytes, *, revoked: bool = False, this_update: int = NOW) -> bytes:
    response = SingleResponse(
        serial,
        this_update=this_update,
        produced_at=this_update,
        next_update=this_update + TEMPLATE.validity,
        revocation_time=this_update if revoked else None,
    )
    return encode_record(ISSUER, TEMPLATE, 0, response, bytes(range(64)), bytes(range(64, 128)))


def page(
    statuses: dict[bytes, bool],
    as_of: int,
    this_update: int = NOW,
    *,
    removed: tuple[bytes, ...] = (),
    key: bytes = KEY,
) -> PagePut:
    """`statuses` says of each serial whether it is revoked."""
    records = {
        serial: record(serial, revoked=revoked, this_update=this_update)
        for serial, revoked in statuses.items()
    }
    return PagePut(key, as_of, this_update, records, removed)
