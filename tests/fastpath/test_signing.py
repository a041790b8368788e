"""Records of many certificates before and after they are signed, against the functions that make one of them."""

from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.x509 import ocsp as x509_ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.certid import SHA1, SHA256
from _fastpath.ocsp import SingleResponse, encode_response, encode_tbs_response_data, signature_to_raw
from _fastpath.page import decode_record, encode_record
from _fastpath.signing import UnsignedRecords
from tests.fastpath.authority import Authority, make_authority, make_template

NOW = 1_795_255_200
EARLIEST, LATEST = NOW + 28_800, NOW + 345_599
KINDS = ("secp256r1", "secp384r1", "secp521r1", "rsa-sha256")
P256 = make_authority()
SLOT = 3

fast = settings(max_examples=100, deadline=None)

Row = tuple[int, bytes, int, int | None, int]


@st.composite
def certificates(draw: st.DrawFn) -> list[Row]:
    """Rows with few shapes of serial and of end, so that neighbours are alike or differ in one thing."""
    first = st.sampled_from([b"\x01", b"\x7f", b"\x80", b"\xff"])
    rest = st.sampled_from([0, 1, 14, 15, 16, 19]).flatmap(
        lambda size: st.binary(min_size=size, max_size=size)
    )
    serials = draw(st.lists(st.builds(bytes.__add__, first, rest), max_size=12, unique=True))
    ends = st.sampled_from([NOW, EARLIEST - 1, EARLIEST, EARLIEST + 1, LATEST - 1, LATEST, LATEST + 1, 2**40])
    statuses = st.one_of(
        st.just((None, 0)), st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 3, 4, 5, 9]))
    )
    return [(0, serial, draw(ends), *draw(statuses)) for serial in serials]


def unsigned(rows: list[Any], authority: Authority = P256, **changes: Any) -> UnsignedRecords:
    fields = {"this_update": NOW, "produced_at": NOW + 2, "earliest": EARLIEST, "latest": LATEST}
    algorithms = changes.pop("algorithms", (SHA1, SHA256))
    slot = changes.pop("slot", SLOT)
    return UnsignedRecords(authority.issuer, authority.template, slot, algorithms, rows, **fields | changes)


def response(row: Row) -> SingleResponse:
    _, serial, not_after, revocation_time, reason = row
    return SingleResponse(
        serial,
        this_update=NOW,
        produced_at=NOW + 2,
        next_update=sorted([EARLIEST, not_after, LATEST])[1],
        revocation_time=revocation_time,
        reason=reason,
    )


@pytest.mark.parametrize("algorithms", [(SHA1,), (SHA256,), (SHA1, SHA256), (SHA256, SHA1)])
@fast
@given(rows=certificates())
def test_what_is_signed_is_what_one_response_says(rows: list[Row], algorithms: tuple[int, ...]) -> None:
    expected = [
        encode_tbs_response_data(P256.template, P256.issuer, algorithm, response(row))
        for row in rows
        for algorithm in sorted(algorithms)
    ]
    lot = unsigned(rows, algorithms=algorithms)
    assert lot.response_data() == expected
    assert len(lot) == len(rows)
    serials = [lot.serial_of(index) for index in range(len(expected))]
    assert serials == [row[1] for row in rows for _ in algorithms]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithms", [(SHA1,), (SHA256,), (SHA1, SHA256)])
def test_records_are_those_of_one_certificate(kind: str, algorithms: tuple[int, ...]) -> None:
    """And what they stand for is what `cryptography` reads and the key signed."""
    authority = make_authority(kind)
    rows: list[Row] = [
        (0, b"\1", LATEST, None, 0),
        (0, b"\2", LATEST + 1, None, 0),
        (0, b"\x80" * 20, LATEST, NOW - 5, 1),
        (0, b"\3", EARLIEST + 7, NOW - 5, 0),
        (0, b"\4", 0, None, 0),
    ]
    lot = unsigned(rows, authority, algorithms=algorithms)
    data = lot.response_data()
    signatures = [authority.sign(octets) for octets in data]
    records = lot.records(signatures)
    assert list(records) == [row[1] for row in rows]
    for index, row in enumerate(rows):
        own = iter(signatures[len(algorithms) * index :])
        raw = {
            algorithm: signature_to_raw(authority.template, next(own)) if algorithm in algorithms else None
            for algorithm in (SHA1, SHA256)
        }
        expected = encode_record(
            authority.issuer, authority.template, SLOT, response(row), raw[SHA1], raw[SHA256]
        )
        assert records[row[1]] == expected
        said = decode_record(authority.issuer, authority.template, row[1], expected).response
        for at, algorithm in enumerate(algorithms):
            signature = raw[algorithm]
            assert signature is not None
            body = encode_response(authority.template, authority.issuer, algorithm, said, signature)
            theirs = x509_ocsp.load_der_ocsp_response(body)
            assert theirs.tbs_response_bytes == data[len(algorithms) * index + at]
            assert theirs.serial_number == int.from_bytes(row[1])


@dataclass(frozen=True)
class Refused:
    row: tuple[object, ...] = (0, b"\1", LATEST, None, 0)
    changes: tuple[tuple[str, Any], ...] = ()
    error: type[Exception] = ValueError
    match: str | None = None


@pytest.mark.parametrize(
    "refused",
    [
        Refused((0, b"", LATEST, None, 0), match="serial"),
        Refused((0, b"\0\1", LATEST, None, 0), match="serial"),
        Refused((0, b"\1" * 21, LATEST, None, 0), match="serial"),
        Refused((0, None, LATEST, None, 0), match="serial"),
        Refused((0, "1", LATEST, None, 0), error=TypeError, match="bytes"),
        Refused((0, b"\1", LATEST, 2**32, 1), match="2106"),
        Refused((0, b"\1", LATEST, -1, 1), match="revocation time"),
        Refused((0, b"\1", LATEST, NOW, 7), match="CRLReason"),
        Refused((0, b"\1", LATEST, None, 1), match="no revocation reason"),
        Refused((0, b"\1", 2**64, None, 0), error=OverflowError),
        Refused((0, b"\1", LATEST, None), error=TypeError, match="tuple of"),
        Refused((), error=TypeError, match="tuple of"),
        Refused(changes=(("produced_at", NOW + 256),), match="255 s"),
        Refused(changes=(("produced_at", NOW - 1),), match="thisUpdate <= producedAt"),
        Refused(changes=(("latest", NOW), ("earliest", NOW)), match="thisUpdate <= producedAt"),
        Refused(changes=(("latest", 2**32),), row=(0, b"\1", 2**32, None, 0), match="2106"),
        Refused(changes=(("slot", 256),), match="slot"),
        Refused(changes=(("algorithms", (3,)),), match="algorithm 3"),
        Refused(changes=(("algorithms", ()),), match="at least one"),
    ],
    ids=lambda refused: f"{refused.row} {refused.changes}",
)
def test_what_no_record_holds_is_refused_before_it_is_signed(refused: Refused) -> None:
    """Whatever certificates are beside it."""
    other = (0, b"\2", LATEST, None, 0)
    with pytest.raises(refused.error, match=refused.match):
        unsigned([other, refused.row, other], P256, **dict(refused.changes))


def test_rows_are_tuples_in_a_list() -> None:
    with pytest.raises(TypeError):
        unsigned([[0, b"\1", LATEST, None, 0]])
    with pytest.raises(TypeError):
        unsigned(((0, b"\1", LATEST, None, 0),))  # type: ignore[arg-type]


class Growing:
    """A number that adds a row whenever somebody looks at it."""

    def __init__(self, rows: list[object]) -> None:
        self.rows = rows

    def __int__(self) -> int:
        self.rows.append((0, bytes([2 + len(self.rows)]), LATEST, None, 0))
        return LATEST


def test_rows_that_come_later_are_not_taken() -> None:
    rows: list[object] = []
    rows.append((0, b"\1", Growing(rows), None, 0))
    assert len(unsigned(rows)) == 1


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_is_a_signature_for_every_response(count: int) -> None:
    lot = unsigned([(0, b"\1", LATEST, None, 0)])
    signature = P256.sign(b"anything")
    with pytest.raises(ValueError, match=f"{count} signatures for 1 records"):
        lot.records([signature] * count)
    assert len(lot.records([signature] * 2)) == 1


@pytest.mark.parametrize(
    "signature",
    [b"", b"\x30\x00", bytes(64), P256.sign(b"") + b"\0"],
    ids=["none", "empty", "raw", "and an octet more"],
)
def test_a_signature_of_another_form(signature: bytes) -> None:
    lot = unsigned([(0, b"\1", LATEST, None, 0)])
    with pytest.raises(ValueError, match="Ecdsa-Sig-Value"):
        lot.records([P256.sign(b""), signature])


@pytest.mark.parametrize("signature", [None, "text", bytearray(P256.sign(b""))])
def test_a_signature_is_bytes(signature: Any) -> None:
    lot = unsigned([(0, b"\1", LATEST, None, 0)])
    with pytest.raises(TypeError, match="bytes"):
        lot.records([P256.sign(b""), signature])


@pytest.mark.parametrize("size", [0, 255, 257])
def test_an_rsa_signature_of_another_size(size: int) -> None:
    template = make_template(
        signature_algorithm=bytes.fromhex("300d06092a864886f70d01010b0500"), signature_size=256
    )
    rows: list[Row] = [(0, b"\1", LATEST, None, 0)]
    lot = UnsignedRecords(
        P256.issuer, template, 0, (SHA1,), rows, this_update=NOW, produced_at=NOW, earliest=NOW, latest=LATEST
    )
    with pytest.raises(ValueError, match="256 octets"):
        lot.records([bytes(size)])
    assert len(lot.records([bytes(256)])[b"\1"]) == 11 + 256


def test_an_index_beyond_the_last_signature() -> None:
    with pytest.raises(IndexError):
        unsigned([(0, b"\1", LATEST, None, 0)]).serial_of(2)
