"""Lookups under way: who is told what, what is kept of it, and for how long it may be used without the store."""

from collections.abc import Callable

import pytest

from _fastpath.answer import Entry
from _fastpath.certid import SHA256, serial_from_int
from _fastpath.page import PageHeader, page_number
from _fastpath.replies import Surprise
from tests.fastpath.authority import THIS_UPDATE, good
from tests.fastpath.records import NOW, PAGE_BITS, Source, bulk, invalidation

ONE, TWO, THREE = (serial_from_int(0x5A17_0000_0000_0001 + number) for number in range(3))


@pytest.mark.invariant("C6")
def test_equal_lookups_are_one_command() -> None:
    source = Source()
    told = [source.ask(ONE) for _ in range(50)]
    other = source.ask(TWO)
    assert [(command[0], command[2]) for command in source.requests()] == [(b"HGET", ONE), (b"HGET", TWO)]
    source.reply(source.record(good(ONE)))
    assert {len(one) for one in told} == {1} and len({id(one[0]) for one in told}) == 1
    assert isinstance(told[0][0], Entry)
    assert other == []
    assert source.has(ONE) and not source.has(TWO)


def test_every_lookup_has_its_own_reply() -> None:
    """C1."""
    source = Source()
    told = {serial: source.ask(serial) for serial in (THREE, ONE, TWO)}
    source.reply(*(source.record(good(serial)) for serial in told))
    for serial, outcome in told.items():
        expected = Source().fetch(serial)
        assert outcome[0].body == expected.body


def test_who_waits_may_ask_again_when_told() -> None:
    """A pipelined request begins within the end of the one before it."""
    source = Source()
    again: list[object] = []

    def ask_again(outcome: object) -> None:
        assert source.compiled.look_up(source.view, source.cert_id(ONE), again.append) is None

    assert source.compiled.look_up(source.view, source.cert_id(ONE), ask_again) is None
    source.reply(None, None)  # neither record nor header
    source.channel.feed(b":0\r\n", source.monotonic)
    source.requests()
    source.reply(None)
    assert again == [] and len(source.requests()) == 1
    source.reply(source.record(good(ONE)))
    assert isinstance(again[0], Entry)


HEADER = PageHeader(1 << 48, THIS_UPDATE, 3, 0).encode()


@pytest.mark.invariant("C4")
@pytest.mark.parametrize(
    ("header", "length", "outcome"),
    [
        (HEADER, 4, "no_record"),
        (HEADER, 3, "page_incomplete"),
        (HEADER, 5, "page_incomplete"),
        (None, 0, "page_incomplete"),
        (None, 1, "page_incomplete"),
        (HEADER[:-1], 4, "page_incomplete"),
        (b"\x02" + HEADER[1:], 4, "page_incomplete"),
    ],
)
def test_a_missing_record_is_a_fact_only_in_a_whole_page(
    header: bytes | None, length: int, outcome: str
) -> None:
    """C4: and then it is known until the page changes."""
    source = Source()
    told = source.ask(ONE)
    source.requests()
    source.reply(None)
    key = source.page_key(ONE)
    assert source.requests() == [[b"HGET", key, b""], [b"HLEN", key], [b"HGET", key, ONE]]
    shared = source.ask(ONE)
    source.reply(header)
    source.channel.feed(b":%d\r\n" % length, source.monotonic)
    assert told == [] and source.requests() == []
    source.reply(None)
    if outcome == "no_record":
        assert told == [] and source.requests() == [[b"HGET", key, ONE]]
        source.reply(None)
    assert told == shared == [outcome]


@pytest.mark.invariant("C4")
def test_what_is_known_of_a_page_is_confirmed_by_one_more_reply() -> None:
    """C4: the server tells of the change by which a record went after the reply that does not have it."""
    source = Source()
    source.ask(ONE)
    source.reply_absent(HEADER, 4)
    key = source.page_key(ONE)
    for late in (b"", invalidation(key)):
        told = source.ask(ONE)
        assert source.requests() == [[b"HGET", key, ONE]]
        source.channel.feed(bulk(None) + late, source.monotonic)
        assert told == [] and source.requests() == [[b"HGET", key, ONE]]
        source.reply(None)
        assert told == (["page_changed"] if late else ["no_record"])


def test_a_record_that_is_there_when_it_is_confirmed_is_answered() -> None:
    source = Source()
    source.ask(ONE)
    source.reply_absent(HEADER, 4)
    told = source.ask(ONE)
    source.reply(None, source.record(good(ONE)))
    assert isinstance(told[0], Entry)


def test_a_page_that_changes_while_it_is_looked_at_is_looked_at_again() -> None:
    """C4: header and length may be of two pages."""
    source = Source()
    told = source.ask(ONE)
    source.reply(None, HEADER)
    source.channel.feed(b":4\r\n" + invalidation(source.page_key(ONE)), source.monotonic)
    source.reply(None)
    assert told == ["page_changed"]


def test_a_record_that_comes_while_its_page_is_looked_at_is_answered() -> None:
    source = Source()
    told = source.ask(ONE)
    source.reply(None, HEADER)
    source.channel.feed(b":4\r\n", source.monotonic)
    source.reply(source.record(good(ONE)))
    assert isinstance(told[0], Entry)


def test_a_length_that_is_no_number_is_a_surprise() -> None:
    source = Source()
    told = source.ask(ONE)
    source.reply(None, HEADER)
    with pytest.raises(Surprise):
        source.reply(b"4")
    assert told == ["store_protocol"]


def test_a_full_cache_keeps_what_was_found_out_of_a_page() -> None:
    """A cache whose pages are all in use would drop the newest one first."""
    serials = [serial_from_int(1 << 40 | number) for number in range(64)]
    source = Source(6_000)
    for serial in serials:
        source.fetch(serial)
        source.has(serial)
    told = source.ask(b"\x7f")
    source.reply_absent(HEADER, 4)
    assert told == ["no_record"]


@pytest.mark.invariant("F5")
def test_the_waiting_room_is_bounded() -> None:
    """F5: who finds it full is told at once; who shares a lookup takes no room."""
    source = Source(room=2)
    first, second = source.ask(ONE), source.ask(TWO)
    assert source.ask(THREE) == ["waiting_room"]
    assert source.ask(TWO) == []
    assert len(source.requests()) == 2
    source.reply(source.record(good(ONE)))
    assert isinstance(first[0], Entry) and second == []
    third = source.ask(THREE)
    source.reply(source.record(good(TWO)), source.record(good(THREE)))
    assert isinstance(second[0], Entry) and isinstance(third[0], Entry)


@pytest.mark.conformance("H-18")
@pytest.mark.invariant("C1", "C6", "E6")
def test_overdue_lookups_are_given_up_and_their_replies_keep_their_places() -> None:
    source = Source()
    late = source.ask(ONE)
    source.monotonic += 0.03
    young = source.ask(TWO)
    source.channel.overdue(source.monotonic + 0.005)
    assert late == [] and young == []
    source.channel.overdue(source.monotonic + 0.01)
    assert late == ["lookup_timeout"] and young == []
    again = source.ask(ONE)  # its command is another one
    assert again == []
    source.reply(source.record(good(ONE)))
    assert source.has(ONE)  # what comes late is kept, and told to nobody
    assert late == ["lookup_timeout"] and young == [] and again == []
    source.reply(source.record(good(TWO)), source.record(good(ONE)))
    assert young[0].body == Source().fetch(TWO).body
    assert again[0].body == Source().fetch(ONE).body


@pytest.mark.invariant("C4")
def test_nothing_is_kept_that_was_read_under_another_view() -> None:
    """C4: another page epoch, or other templates in the slots."""
    source = Source()
    before = source.ask(ONE)
    source.view = source.new_view(epoch=2)
    source.compiled.set_view(source.issuer, source.view)
    after = source.ask(ONE)
    pages = [command[1] for command in source.requests()]
    assert pages == [b"ocsp:page:demo:%d:%d" % (epoch, page_number(ONE, PAGE_BITS)) for epoch in (1, 2)]
    source.reply(source.record(good(ONE)))
    assert before == ["page_changed"] and after == [] and not source.has(ONE)
    source.reply(source.record(good(ONE)))
    assert isinstance(after[0], Entry) and source.has(ONE)


@pytest.mark.parametrize("change", ["epoch", "templates", "none"])
def test_a_new_view_forgets_what_the_old_one_had(change: str) -> None:
    source = Source()
    source.fetch(ONE)
    source.compiled.set_view(source.issuer, source.view)
    assert source.has(ONE)
    view = None if change == "none" else source.new_view(epoch=2 if change == "epoch" else 1)
    source.compiled.set_view(source.issuer, view)
    assert not source.has(ONE)


def test_without_a_connection_nothing_can_be_asked() -> None:
    source = Source()
    waiting = source.ask(ONE)
    source.compiled.cut_off()
    source.channel.close("store_down")
    assert waiting == ["store_down"]
    assert source.ask(TWO) == ["store_down"]
    source.connect()
    assert source.ask(TWO) == []


def test_a_closed_connection_takes_no_lookup() -> None:
    """Between its end and that of who keeps it up."""
    source = Source()
    source.channel.close("store_protocol")
    assert source.ask(ONE) == ["store_down"]


@pytest.mark.invariant("A1")
def test_what_was_read_over_another_connection_is_not_used() -> None:
    """What changed meanwhile was told to nobody."""
    source = Source()
    source.fetch(ONE)
    source.connect()
    assert not source.has(ONE)


SURPRISES: dict[str, Callable[[], bytes]] = {
    "integer": lambda: b":7\r\n",
    "array": lambda: b"*1\r\n$1\r\nx\r\n",
    "push": lambda: b">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n",
    "noise": lambda: b"?\r\n",
    "array as key": lambda: b"%1\r\n*0\r\n+a\r\n",
}


@pytest.mark.invariant("C1", "E6")
@pytest.mark.parametrize("name", SURPRISES)
def test_what_nobody_asked_for_is_told_to_nobody(name: str) -> None:
    """C1, E6: the connection is of no use after it."""
    source = Source()
    first, second = source.ask(ONE), source.ask(TWO)
    with pytest.raises(Surprise):
        source.channel.feed(SURPRISES[name](), 0)
    source.channel.close("store_protocol")
    assert first == second == ["store_protocol"]
    source.reply(source.record(good(ONE)))
    assert first == ["store_protocol"] and not source.has(ONE)


@pytest.mark.conformance("R-11")
def test_what_may_not_be_sent_is_not_kept() -> None:
    """Whoever asks for it again and again would drop the page around it each time, and what is known of the page."""
    source = Source()
    source.fetch(ONE)
    source.cache.mark_whole(source.page_key(ONE))
    before = source.cache.invalidated
    for _ in range(3):
        told = source.ask(TWO)
        source.reply(source.record(good(TWO, this_update=NOW + 60)))
        assert isinstance(told[0], Entry) and told[0].fault(NOW) == "not_yet_valid"
        assert not source.has(TWO) and source.has(ONE)
    assert source.cache.invalidated == before


@pytest.mark.invariant("C1", "E6")
def test_one_reply_too_many_is_a_surprise() -> None:
    source = Source()
    source.fetch(ONE)
    with pytest.raises(Surprise, match="without a command"):
        source.reply(source.record(good(ONE)))


def test_an_error_of_the_server_is_one_lookups() -> None:
    source = Source()
    first, second = source.ask(ONE), source.ask(TWO)
    source.channel.feed(b"-WRONGTYPE\r\n", 0)
    source.reply(source.record(good(TWO)))
    assert first == ["store_error"] and isinstance(second[0], Entry)


RECORDS: dict[str, Callable[[Source], tuple[bytes, str]]] = {
    "of another serial": lambda source: (source.record(good(TWO)), "record_damaged"),
    "cut off": lambda source: (source.record(good(ONE))[:-1], "record_damaged"),
    "nothing": lambda source: (b"", "record_damaged"),
    "of another format": lambda source: (
        bytes([source.record(good(ONE))[0] | 0x20]) + source.record(good(ONE))[1:],
        "unknown_format",
    ),
}


@pytest.mark.invariant("C1", "C2")
@pytest.mark.parametrize("name", RECORDS)
def test_other_records_are_told_of_and_not_kept(name: str) -> None:
    """C1, C2."""
    source = Source()
    told = source.ask(ONE)
    record, cause = RECORDS[name](source)
    source.reply(record)
    assert told == [cause] and not source.has(ONE)
    assert [(issuer, serial) for issuer, serial, _ in source.damaged] == [("demo", ONE)]


def test_what_no_slot_explains_is_no_damage() -> None:
    """D-01: the connection is not at fault."""
    source = Source()
    source.view = source.new_view(refused={4: "template_untrusted"})
    source.compiled.set_view(source.issuer, source.view)
    told = [source.ask(ONE), source.ask(TWO), source.ask(THREE, SHA256)]
    source.reply(
        source.record(good(ONE), slot=4), source.record(good(TWO), slot=5), source.record(good(THREE))
    )
    assert told[:2] == [["template_untrusted"], ["unknown_slot"]]
    assert isinstance(told[2][0], Entry)
    assert source.damaged == []


def test_a_record_without_the_signature_that_is_asked_for() -> None:
    source = Source()
    told = source.ask(ONE)
    source.reply(source.record(good(ONE), sha1=None))
    assert told == ["no_signature"] and not source.has(ONE)


@pytest.mark.invariant("C2")
def test_a_sample_is_verified_and_all_after_a_failure() -> None:
    """C2: the first of each interval of time; what fails is not kept."""
    source = Source(interval=3.0)
    verdicts: list[bool] = []
    answers = iter((True, False, False, True, True, True))

    def verify(body: bytes) -> bool:
        verdicts.append(next(answers))
        return verdicts[-1]

    source.verifies = verify
    serials = [serial_from_int(number) for number in range(1, 10)]
    outcomes = []
    for serial in serials:
        outcomes.append(source.fetch(serial))
        source.monotonic += 1.0
    #        verified: 1st, 4th (fails), 5th (fails), 6th (holds), then 9th
    assert verdicts == [True, False, False, True, True]
    assert [isinstance(outcome, Entry) for outcome in outcomes] == [True] * 3 + [False] * 2 + [True] * 4
    assert outcomes[3] == outcomes[4] == "bad_signature"
    assert [source.has(serial) for serial in serials] == [isinstance(outcome, Entry) for outcome in outcomes]


@pytest.mark.conformance("H-04")
@pytest.mark.invariant("A1", "C6")
@pytest.mark.parametrize("limit", [0.0, 2.0, 300.0, 100_000.0])
def test_what_is_cached_goes_on_for_max_unverified(limit: float) -> None:
    """A1, C6: from the last answered heartbeat, and nobody may keep an answer beyond that."""
    source = Source(max_unverified=limit)
    assert source.compiled.max_age_limit() == 3600
    source.compiled.cut_off()
    for passed in (0.5, 1.0, 2.0, 3.0, 250.5, 299.5, 300.0, 301.0, 99_999.5, 100_001.0):
        source.monotonic, source.now = 1000.0 + passed, NOW + int(passed)
        left = limit - passed
        expected = None if left <= 0 else min(3600, int(left))
        assert source.compiled.max_age_limit() == expected, passed


@pytest.mark.invariant("A1")
def test_one_heartbeat_vouches_for_three_seconds_of_wall_time() -> None:
    """A process that was stopped learns from the wall clock that it was, before it reads what happened."""
    source = Source(max_unverified=10.0)
    for passed in (0, 1, 2, 3):
        source.now = NOW + passed
        assert source.compiled.max_age_limit() == 3600
    source.now = NOW + 4
    assert source.compiled.max_age_limit() == 10
    source.monotonic += 9.5
    assert source.compiled.max_age_limit() == 0
    source.monotonic += 1.0
    assert source.compiled.max_age_limit() is None


@pytest.mark.invariant("A1")
@pytest.mark.parametrize(("age", "vouches"), [(0.0, 3), (0.9, 2), (1.9, 1), (2.9, 0), (3.1, -1), (500.0, -1)])
def test_a_heartbeat_vouches_from_when_it_was_sent(age: float, vouches: int) -> None:
    """Its answer may have lain here while the process was stopped, with changes behind it."""
    source = Source(max_unverified=300.0)
    source.compiled.cut_off()
    source.now += 1_000
    source.monotonic += 1_000.0
    source.compiled.verified(source.monotonic - age)
    moments = []
    for passed in range(5):
        if source.compiled.max_age_limit() == 3600:
            moments.append(passed)
        source.now += 1
    assert moments == list(range(vouches + 1))
    left = 300.0 - age
    assert source.compiled.max_age_limit() == (int(left) if left > 0 else None)
