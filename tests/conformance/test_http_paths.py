"""Group H: the spellings of one GET, which are all one request, and those that are none."""

import base64
import random
from collections.abc import Callable
from urllib.parse import quote

import pytest

from _fastpath.certid import SHA1, serial_from_int
from _fastpath.der import encode
from _fastpath.ocsp import MALFORMED_REQUEST
from tests.conformance.conftest import Serve, World
from tests.conformance.http import Client, Response
from tests.responder.ca import CA, Shelf, good

Spell = Callable[[str], str]


def request_of(ca: CA, serial: int) -> bytes:
    content = ca.issuer.id.encode_cert_id(SHA1, serial_from_int(serial))
    for _ in range(4):
        content = encode(0x30, content)
    return content


def awkward(ca: CA) -> tuple[int, str]:
    """A serial whose request has `//`, `+` and `=` in its base64, and that base64."""
    chooser = random.Random(14)
    while True:
        serial = chooser.getrandbits(8 * chooser.randrange(9, 17) - 1)
        text = base64.b64encode(request_of(ca, serial)).decode()
        if "//" in text and "+" in text and "=" in text:
            return serial, text


@pytest.fixture(scope="module")
def asked(shared: World) -> str:
    """The base64 of a request that is answered."""
    serial, text = awkward(shared.ca)
    shared.shelf.put(good(serial))
    return text


def get(world: World, target: str) -> Response:
    return world.web.request("GET", target)


def lower_escapes(text: str) -> str:
    return quote(text, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")


@pytest.mark.conformance("H-14", "H-19")
@pytest.mark.invariant("E1")
@pytest.mark.parametrize(
    "spell",
    [
        lambda text: f"/{quote(text, safe='')}",
        lambda text: f"/{lower_escapes(text)}",
        lambda text: f"//{text}",
        lambda text: f"////{quote(text, safe='')}",
        lambda text: f"/%2F%2f{text}",
        lambda text: "/" + text.replace("//", "/%2F"),
        lambda text: "/" + "".join(f"%{ord(letter):02X}" for letter in text),
        lambda text: f"http://ocsp.test/{text}",
        lambda text: f"http://ocsp.test:80//{quote(text, safe='')}",
        lambda text: f"/{text}?",
        lambda text: f"/{text}?a=b&c=%2F/../",
    ],
    ids=[
        "escaped",
        "escaped in lower case",
        "two slashes",
        "four slashes",
        "escaped slashes before it",
        "an inner slash escaped",
        "every octet escaped",
        "absolute form",
        "absolute form with port",
        "empty query",
        "query",
    ],
)
def test_every_spelling_is_the_same_request(world: World, asked: str, spell: Spell) -> None:
    plain = get(world, f"/{asked}")
    assert len(plain.body) > 100
    answer = get(world, spell(asked))
    assert (answer.code, answer.body, answer.headers) == (200, plain.body, plain.headers)


@pytest.mark.conformance("H-14")
@pytest.mark.invariant("E1")
@pytest.mark.parametrize(
    "spell",
    [
        lambda text: "/" + text.replace("//", "/"),
        lambda text: f"/x/../{text}",
        lambda text: f"/./{text}",
        lambda text: f"/{text}/.",
        lambda text: f"/{text}%3F",
        lambda text: f"/{text}%00",
    ],
    ids=["merged slashes", "parent", "dot", "dot after it", "escaped question mark", "null"],
)
def test_nothing_is_merged_resolved_or_redirected(world: World, asked: str, spell: Spell) -> None:
    answer = get(world, spell(asked))
    assert (answer.code, answer.body) == (200, MALFORMED_REQUEST)


TOLERATED: dict[str, Spell] = {
    "space": lambda text: "/" + text.replace("+", "%20"),
    "line_break": lambda text: f"/{text[:64]}%0D%0A{text[64:]}",
    "padding": lambda text: "/" + text.rstrip("="),
    "url_alphabet": lambda text: "/" + text.replace("+", "-").replace("/", "_"),
    "double_encoding": lambda text: "/" + quote(text, safe="").replace("%", "%25"),
}


@pytest.mark.conformance("H-15")
@pytest.mark.parametrize("kind", TOLERATED)
def test_what_old_clients_send_is_tolerated_and_counted(world: World, asked: str, kind: str) -> None:
    plain = get(world, f"/{asked}")
    before = {name: world.counters.value("ocsp_tolerated_total", name) for name in TOLERATED}
    answer = get(world, TOLERATED[kind](asked))
    assert (answer.code, answer.body, answer.headers) == (200, plain.body, plain.headers)
    after = {name: world.counters.value("ocsp_tolerated_total", name) for name in TOLERATED}
    assert {name for name in TOLERATED if after[name] > before[name]} == {kind}


@pytest.mark.conformance("H-15")
def test_strict_mode_tolerates_nothing(serve: Serve, ca: CA, shelf: Shelf) -> None:
    serial, text = awkward(ca)
    shelf.put(good(serial))
    with serve("strict_base64 = true\nlookup_timeout_ms = 5000") as port:
        web = Client(port)
        assert len(web.request("GET", f"/{text}").body) > 100
        for kind, spell in TOLERATED.items():
            assert web.request("GET", spell(text)).body == MALFORMED_REQUEST, kind


@pytest.mark.conformance("H-19")
def test_no_query_changes_the_answer(world: World, asked: str) -> None:
    plain = get(world, f"/{asked}")
    chooser = random.Random(19)
    letters = "abcMA0189-._~!$&'()*+,;=:@/?%25%2F"
    for _ in range(50):
        query = "".join(chooser.choices(letters, k=chooser.randrange(40)))
        answer = get(world, f"/{asked}?{query}")
        assert (answer.body, answer.headers) == (plain.body, plain.headers), query
    assert get(world, f"/?{asked}").body == MALFORMED_REQUEST
    assert world.web.request("POST", f"/?{asked}", b"0").body == MALFORMED_REQUEST
