"""The load generator: what it counts, keeps and times, against a server whose octets are known."""

import pytest

from bench.serve.generator import Load, Mode, Request, Schedule, run

from .conftest import ScriptedServer

TRY_LATER = b"\x30\x03\x0a\x01\x03"


def answer(body: bytes, status: bytes = b"200 OK", fields: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, fields, len(body), body)


def get(name: str) -> Request:
    return Request(f"GET /{name} HTTP/1.1\r\n\r\n".encode(), None)


def load(connections: int, requests: int) -> Load:
    return Load([[get(f"{number}/{place}") for place in range(requests)] for number in range(connections)])


def name_in(octets: bytes) -> bytes:
    return octets.split(b" ")[1]


def test_each_request_is_sent_once_and_its_answer_kept_with_it(server: ScriptedServer) -> None:
    server.script = lambda octets: [answer(b"about " + name_in(octets))]
    outcome = run(load(3, 4), server.port, Schedule(keep_every=1))
    assert (outcome.answers, outcome.failures, outcome.not_200, outcome.reconnects) == (12, 0, 0, 0)
    assert len({request.octets for request, _ in outcome.kept}) == 12
    for request, octets in outcome.kept:
        assert octets == answer(b"about " + name_in(request.octets))
    assert outcome.octets == sum(len(octets) for _, octets in outcome.kept)


def test_one_answer_in_so_many_is_kept(server: ScriptedServer) -> None:
    server.script = lambda octets: [answer(b"x")]
    assert len(run(load(1, 10), server.port, Schedule(keep_every=4)).kept) == 3


def test_an_answer_in_pieces_is_one_answer(server: ScriptedServer) -> None:
    whole = answer(b"0123456789")
    server.script = lambda octets: [whole[:5], whole[5:-4], whole[-4:]]
    outcome = run(load(2, 3), server.port, Schedule(keep_every=1))
    assert (outcome.answers, outcome.failures) == (6, 0)
    assert {octets for _, octets in outcome.kept} == {whole}


def test_http_and_ocsp_statuses_are_counted(server: ScriptedServer) -> None:
    answers = {
        b"/0/0": answer(TRY_LATER),
        b"/0/1": answer(TRY_LATER, status=b"503 Busy"),
        b"/0/2": answer(b"a response that ends as one that is an error does" + TRY_LATER),
    }
    server.script = lambda octets: [answers[name_in(octets)]]
    outcome = run(load(1, 3), server.port, Schedule())
    assert (outcome.answers, outcome.not_200) == (3, 1)
    assert outcome.statuses == {0: 1, 3: 1}


def test_the_second_segment_of_a_post_follows_its_head(server: ScriptedServer) -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n"
    server.script = lambda octets: [answer(octets[-4:])]
    outcome = run(
        Load([[Request(head + b"body", None, first=len(head))]]), server.port, Schedule(keep_every=1)
    )
    assert outcome.kept[0][1] == answer(b"body")
    assert b"".join(server.segments) == head + b"body"


def test_a_connection_for_each_request(server: ScriptedServer) -> None:
    """An answer without a length ends with its connection."""
    server.script = lambda octets: [b"HTTP/1.0 200 OK\r\n\r\nall there is", None]
    outcome = run(load(2, 3), server.port, Schedule(mode=Mode.CLOSE, keep_every=1))
    assert (outcome.answers, outcome.failures, server.connections) == (6, 0, 6)
    assert outcome.kept[0][1].endswith(b"all there is")


def test_after_connection_close_the_next_request_has_a_new_one(server: ScriptedServer) -> None:
    server.script = lambda octets: [answer(b"x", fields=b"Connection: close\r\n"), None]
    outcome = run(load(1, 3), server.port, Schedule())
    assert (outcome.answers, outcome.failures, outcome.reconnects) == (3, 0, 3)


def test_a_cut_answer_is_a_failure(server: ScriptedServer) -> None:
    server.script = lambda octets: [answer(b"0123456789")[:-1], None]
    outcome = run(load(1, 2), server.port, Schedule())
    assert (outcome.answers, outcome.failures) == (0, 2)


def test_a_timed_run_repeats_its_requests(server: ScriptedServer) -> None:
    server.script = lambda octets: [answer(b"x")]
    outcome = run(load(2, 1), server.port, Schedule(seconds=0.1))
    assert outcome.answers > 2
    assert outcome.wall >= 0.1
    assert 0 <= outcome.busy < 1


def test_latency_counts_from_the_time_at_which_a_request_was_due(server: ScriptedServer) -> None:
    """All are due at once on one connection: each waits for those before it."""
    server.script = lambda octets: [answer(b"x")]
    outcome = run(load(1, 1), server.port, Schedule(1.0, due=[0] * 5))
    assert (outcome.answers, outcome.failures) == (5, 0)
    assert sorted(outcome.latencies) == list(outcome.latencies)
    assert outcome.latencies[0] > 0
    assert outcome.latencies[4] > outcome.latencies[0] + 3 * 2_000_000  # the server rests 2 ms after each


def test_nobody_listens(server: ScriptedServer) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1:1: "):
        run(load(1, 1), 1, Schedule())
