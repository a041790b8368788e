"""E1 through every proxy: request targets arrive as they were sent and get the answer that they get directly."""

import base64
import random
import socket
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from _fastpath.ocsp import MALFORMED_REQUEST
from tests.clients.hop import Hop, recording_hop
from tests.conformance.http import Client, Response
from tests.proxies.fronts import Front, Kind
from tests.proxies.origin import Origin, fresh, ocsp_request, serial_of

pytestmark = pytest.mark.slow  # nginx, HAProxy and Varnish are installed by tests/tools.sh

Spell = Callable[[str], str]
CONTENT = ("content-type", "content-length", "last-modified", "etag", "expires", "cache-control")


def awkward(origin: Origin) -> str:
    """The base64 of a request that is answered, with `//`, `+` and two `=`."""
    chooser = random.Random(13)
    shelf = origin.shelf()
    while True:
        serial = chooser.getrandbits(8 * chooser.randrange(9, 17) - 1)
        text = base64.b64encode(ocsp_request(shelf.ca, serial)).decode()
        if "//" in text and "+" in text and text.endswith("=="):
            shelf.put(fresh(serial))
            return text


@pytest.fixture(scope="module")
def asked(responder: Origin) -> str:
    return awkward(responder)


@pytest.fixture(scope="module")
def seen(responder: Origin) -> Iterator[Hop]:
    """What proxies send to the responder."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        recording_hop(listener, responder.port) as hop,
    ):
        yield hop


@pytest.fixture(scope="module")
def watched(
    responder: Origin, seen: Hop, kind: Kind, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A proxy before it that is listened to; its cache is another one than `front` has."""
    with kind.before(responder, tmp_path_factory.mktemp("w"), by=seen.port) as front:
        yield front.web


def lower_escapes(text: str) -> str:
    return quote(text, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")


PATHS: dict[str, Spell] = {
    "raw": lambda text: f"/{text}",
    "escaped": lambda text: f"/{quote(text, safe='')}",
    "escaped in lower case": lambda text: f"/{lower_escapes(text)}",
    "slashes alone escaped": lambda text: "/" + text.replace("/", "%2F"),
    "plus alone escaped": lambda text: "/" + text.replace("+", "%2B"),
    "equals signs alone escaped": lambda text: "/" + text.replace("=", "%3D"),
    "one equals sign escaped": lambda text: f"/{text[:-1]}%3d",
    "no padding": lambda text: "/" + text.rstrip("="),
    "half of the padding": lambda text: f"/{text[:-1]}",
    "one of two slashes escaped": lambda text: "/" + text.replace("//", "/%2f"),
    "two slashes before it": lambda text: f"//{text}",
    "escaped slash before it": lambda text: f"/%2F{text}",
    "every octet escaped": lambda text: "/" + "".join(f"%{ord(letter):02x}" for letter in text),
    "escaped twice": lambda text: "/" + quote(quote(text, safe=""), safe=""),
    "line breaks": lambda text: f"/{text[:64]}%0D%0A{text[64:]}%0a",
    "spaces for plus": lambda text: "/" + text.replace("+", "%20"),
    "base64url": lambda text: "/" + text.replace("+", "-").replace("/", "_"),
}
NOT_REQUESTS: dict[str, Spell] = {
    "merged slashes": lambda text: "/" + text.replace("//", "/"),
    "parent": lambda text: f"/x/../{text}",
    "dot": lambda text: f"/./{text}",
    "escaped dots": lambda text: f"/x/%2e%2e/{text}",
    "dot after it": lambda text: f"/{text}/.",
    "backslash": lambda text: f"/%5c{text}",
    "escaped question mark": lambda text: f"/{text}%3F",
    "semicolon": lambda text: f"/{text};a=b",
    "not in the alphabet": lambda text: f"/{text}~",
}


def targets(hop: Hop) -> list[str]:
    """Targets of the GET requests that went through since the last call."""
    lines = b"".join(bytes(sent) for sent in hop.connections).split(b"\r\n")
    for sent in hop.connections:
        sent.clear()
    return [line.split()[1].decode() for line in lines if line.startswith(b"GET ")]


def same(one: Response, other: Response) -> bool:
    """Whether code, content and what describes it are the same."""
    return (one.code, one.body) == (other.code, other.body) and all(
        one.headers.get(name) == other.headers.get(name) for name in CONTENT
    )


@pytest.mark.invariant("E1")
@pytest.mark.conformance("H-14", "H-15", "H-19", "K-12")
@pytest.mark.parametrize("name", [*PATHS, *NOT_REQUESTS])
def test_a_path_arrives_as_it_was_sent(
    responder: Origin, watched: Client, seen: Hop, asked: str, name: str
) -> None:
    target = {**PATHS, **NOT_REQUESTS}[name](asked)
    direct = responder.web.request("GET", target)
    targets(seen)
    answer = watched.request("GET", target)
    assert same(answer, direct), (answer, direct)
    if name in NOT_REQUESTS:
        assert answer.body == MALFORMED_REQUEST
    else:
        assert answer.body == responder.web.request("GET", f"/{asked}").body
    # A cache may have it under another spelling (H-19); what it sends is what it was sent.
    assert targets(seen) in ([target], []) if name in PATHS else targets(seen) == [target]


@pytest.mark.invariant("E1", "E2")
@pytest.mark.conformance("H-14")
def test_a_cold_cache_sends_every_spelling_on(responder: Origin, watched: Client, seen: Hop) -> None:
    """Each spelling of a request of its own, so that no entry hides what is sent."""
    shelf = responder.shelf()
    chooser = random.Random(7)
    serials = [chooser.getrandbits(127) for _ in PATHS]
    shelf.put(*(fresh(serial) for serial in serials))
    for serial, spell in zip(serials, PATHS.values(), strict=True):
        target = spell(base64.b64encode(ocsp_request(shelf.ca, serial)).decode())
        targets(seen)
        answer = watched.request("GET", target)
        assert serial_of(answer.body) == serial
        assert targets(seen) == [target]


@pytest.mark.invariant("E5")
@pytest.mark.conformance("H-14")
@pytest.mark.parametrize("host", ["http://ocsp.test/", "http://ocsp.test:80/", "http://ocsp.test//"])
def test_absolute_form(front: Front, responder: Origin, asked: str, host: str) -> None:
    answer = front.web.request("GET", host + quote(asked, safe=""))
    assert same(answer, responder.web.request("GET", f"/{asked}"))


@pytest.mark.invariant("E2")
@pytest.mark.conformance("H-19")
def test_no_query_changes_the_answer(front: Front, responder: Origin, asked: str) -> None:
    direct = responder.web.request("GET", f"/{asked}")
    for query in ("", "a=b", asked, "/../x", "%2F%00", "?"):
        answer = front.web.request("GET", f"/{asked}?{query}")
        assert (answer.code, answer.body) == (200, direct.body), query
    other = base64.b64encode(ocsp_request(responder.shelf().ca, 0xABCDEF)).decode()
    assert front.web.request("GET", f"/{other}?{asked}").body != direct.body
