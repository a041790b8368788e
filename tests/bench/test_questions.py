"""Requests of the benchmark are what they claim to be."""

import base64
import random
import time
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from bench.serve.generator import Request
from bench.serve.questions import HEADER_SETS, Questions
from signer.demo.authority import create_authority

SERIALS = [random.Random(7).getrandbits(125) | 1 << 125 | number for number in range(64)]


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Questions:
    directory = tmp_path_factory.mktemp("ca")
    create_authority(directory, 2, int(time.time()), "http://o/", lambda serial: "http://c/", seed=1)
    return Questions(certificate(directory))


def certificate(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())


def question_in(request: Request) -> ocsp.OCSPRequest:
    method, target, _ = request.octets.split(b" ", 2)
    if method == b"GET":
        return ocsp.load_der_ocsp_request(base64.b64decode(unquote_to_bytes(target[1:])))
    head, _, body = request.octets.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    return ocsp.load_der_ocsp_request(body)


@pytest.mark.parametrize("way", ["gets", "old_gets", "posts"])
def test_every_serial_is_asked_about_once(questions: Questions, way: str) -> None:
    load = getattr(questions, way)(SERIALS, 8, turn=3)
    assert len(load.connections) == 8
    assert sorted(question_in(request).serial_number for request in load.flat()) == sorted(SERIALS)
    assert all(question_in(request).serial_number == request.serial for request in load.flat())


def test_a_turn_moves_each_serial_to_another_connection(questions: Questions) -> None:
    """No answer can then be found by the octets of its request."""
    seen: dict[int | None, set[bytes]] = {}
    for turn in range(4):
        for request in questions.gets(SERIALS, 8, turn=turn).flat():
            seen.setdefault(request.serial, set()).add(request.octets)
    assert all(len(spellings) == 4 for spellings in seen.values())


def test_connections_differ_in_header_fields_and_spelling(questions: Questions) -> None:
    load = questions.gets(SERIALS, 16)
    heads = {requests[0].octets.partition(b"\r\n")[2] for requests in load.connections}
    assert len(heads) == 16
    assert any(b"%" in request.octets for request in load.connections[1])
    assert not any(b"%" in request.octets for request in load.connections[0])
    assert all(text.endswith("\r\n") and "{n}" in text for text in HEADER_SETS)


def test_a_post_has_its_body_in_the_second_segment(questions: Questions) -> None:
    request = questions.posts(SERIALS[:1], 1).connections[0][0]
    assert request.octets[: request.first].endswith(b"\r\n\r\n")
    assert ocsp.load_der_ocsp_request(request.octets[request.first :]).serial_number == SERIALS[0]


def test_one_in_nine_of_the_hostile_mix_is_honest(questions: Questions) -> None:
    requests = questions.hostile(SERIALS[:63], 1).flat()
    honest = [request for request in requests if request.serial is not None]
    assert len(honest) == 7
    assert all(question_in(request).serial_number == request.serial for request in honest)


def test_the_stranger_of_the_hostile_mix_differs_in_the_key_hash_alone(questions: Questions) -> None:
    stranger = questions.hostile(SERIALS[:9], 1).connections[0][4]
    ours, theirs = ocsp.load_der_ocsp_request(questions.der(SERIALS[4])), question_in(stranger)
    assert theirs.issuer_key_hash != ours.issuer_key_hash
    assert (theirs.issuer_name_hash, theirs.serial_number) == (ours.issuer_name_hash, ours.serial_number)


def test_unissued_serials_are_distinct_and_as_long_as_issued_ones(questions: Questions) -> None:
    serials = questions.unissued(1000, random.Random(1))
    assert len(set(serials)) == 1000
    assert {len(questions.der(serial)) for serial in serials} == {len(questions.der(SERIALS[0]))}
