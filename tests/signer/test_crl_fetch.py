"""Fetching with bounds: what comes whole comes, and everything else is named."""

import socket
import threading

import pytest

from signer.crl.fetch import Fetcher, FetchFault, Limits, split_url
from tests.signer.crl_server import Said, http_message, saying
from tests.signer.works import FakeClock

BODY = bytes(range(256)) * 1000


def fetch(
    said: Said,
    *,
    path: str = "/a.crl",
    method: str = "get",
    timeout: float = 10.0,
    max_size: int = 1_000_000,
    follow_redirects: bool = False,
) -> bytes:
    limits = Limits(timeout=timeout, max_size=max_size, follow_redirects=follow_redirects)
    fetcher = Fetcher(limits, FakeClock())
    with saying(said) as base:
        response = fetcher.get(base + path) if method == "get" else fetcher.head(base + path)
        assert response.at == FakeClock().now()
        return response.body


def fault(said: Said, **named: object) -> tuple[str, str]:
    with pytest.raises(FetchFault) as raised:
        fetch(said, **named)  # type: ignore[arg-type]  # passed on as they are
    return raised.value.check, str(raised.value)


def test_whole_bodies() -> None:
    assert fetch(lambda method, target: http_message(200, BODY)) == BODY
    assert fetch(lambda method, target: http_message(200, BODY, Content_Length="")) == BODY  # to the end
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert fetch(lambda method, target: chunked) == b"abc"
    assert (
        fetch(lambda method, target: [http_message(200, BODY)[:500], http_message(200, BODY)[500:]]) == BODY
    )


def test_the_target_goes_out_as_it_is_written() -> None:
    seen: list[tuple[str, str]] = []

    def said(method: str, target: str) -> bytes:
        seen.append((method, target))
        return http_message(200)

    for path in ("/A//b/%2e/../c.crl?d=e&f", "", "/x#fragment"):
        fetch(said, path=path)
    fetch(said, path="/h", method="head")
    assert seen == [("GET", "/A//b/%2e/../c.crl?d=e&f"), ("GET", "/"), ("GET", "/x"), ("HEAD", "/h")]


@pytest.mark.conformance("U-06")
def test_torn_bodies() -> None:
    """D9."""
    torn = http_message(200, BODY)[:-1]
    assert fault(lambda method, target: torn) == (
        "length", "the body ends after 255999 octets, Content-Length says 256000",
    )  # fmt: skip
    check, said = fault(
        lambda method, target: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"
    )
    assert check == "fetch" and "IncompleteRead" in said
    assert fault(lambda method, target: b"")[0] == "fetch"
    assert fault(lambda method, target: b"not HTTP\r\n\r\n")[0] == "fetch"


@pytest.mark.conformance("P-03")
def test_size() -> None:
    assert fetch(lambda method, target: http_message(200, BODY), max_size=len(BODY)) == BODY
    found = fault(lambda method, target: http_message(200, BODY), max_size=len(BODY) - 1)
    assert found == ("size", "more than 255999 octets")


@pytest.mark.parametrize("code", [204, 206, 304, 404, 500, 503])
def test_other_codes(code: int) -> None:
    assert fault(lambda method, target: http_message(code)) == ("status", f"status {code}, not 200")


def test_redirects() -> None:
    def said(method: str, target: str) -> bytes:
        if target == "/a.crl":
            return http_message(301, Location="b.crl")
        return http_message(200, BODY) if target == "/b.crl" else http_message(302, Location=target)

    check, message = fault(said)
    assert check == "redirect" and message.startswith("status 301 to http://127.0.0.1:")
    assert message.endswith("/b.crl, which is not followed")
    assert fetch(said, follow_redirects=True) == BODY
    assert fault(said, path="/loop", follow_redirects=True)[1].startswith(
        "more than 5 redirects, the last to"
    )


def test_time() -> None:
    """Each octet in time is not enough."""
    slow = [http_message(200, b"x" * 50)[:60], *[b"x"] * 50]
    assert fault(lambda method, target: slow, timeout=0.5) == ("fetch", "no whole answer within 0.5 s")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fetcher = Fetcher(Limits(timeout=0.2), FakeClock())
        with pytest.raises(FetchFault, match=r"no whole answer within 0\.2 s"):
            fetcher.get(f"http://127.0.0.1:{silent.getsockname()[1]}/")


def test_nobody_there() -> None:
    with pytest.raises(FetchFault, match="refused") as raised:
        Fetcher(Limits(), FakeClock()).get("http://127.0.0.1:1/x")
    assert raised.value.check == "fetch"


def test_https_where_plain_http_is_spoken() -> None:
    """It is the address that is wrong, which OpenSSL does not say."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(
            FetchFault, match=r"^no TLS with this server: does it speak plain http://\?"
        ) as raised:
            Fetcher(Limits(), FakeClock()).get(f"https://127.0.0.1:{server.getsockname()[1]}/0-0.crl")
        thread.join()
    assert raised.value.check == "fetch" and "_ssl.c" not in str(raised.value)


def test_another_server_is_asked() -> None:
    with saying(lambda method, target: http_message(200, target.encode())) as base:
        port = int(base.rpartition(":")[2])
        fetcher = Fetcher(Limits(connect_to=("127.0.0.1", port)), FakeClock())
        response = fetcher.get("http://crl.nowhere.invalid/x.crl")
    assert (response.url, response.body) == ("http://crl.nowhere.invalid/x.crl", b"/x.crl")


@pytest.mark.conformance("U-01")
@pytest.mark.parametrize(
    "url",
    [
        "",
        "c.crl",
        "ftp://c.example/",
        "ldap:///cn=x",
        "http:///x",
        "http://h:0/",
        "http://h:x/",
        "http://[h/",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(FetchFault, match="not a URL") as raised:
        split_url(url)
    assert raised.value.check == "url"


@pytest.mark.parametrize("url", ["http://h/a b", "http://h/ä", "http://h/\n", "http://h/\x7f"])
def test_urls_are_printable(url: str) -> None:
    with pytest.raises(FetchFault, match="URL|printable"):
        split_url(url)


@pytest.mark.parametrize("location", ["http://[::1", "http://\x1b]0;x/"])
def test_a_redirect_to_what_is_no_url(location: str) -> None:
    for follow_redirects in (False, True):
        check, message = fault(
            lambda method, target: http_message(302, Location=location), follow_redirects=follow_redirects
        )
        assert check == "redirect" and "which is not a URL" in message and message.isprintable()


def test_a_body_without_a_length_that_is_cut_is_not_whole() -> None:
    """It would be read as a shorter list."""
    slow = [http_message(200, Content_Length=""), *[b"x"] * 50]
    assert fault(lambda method, target: slow, timeout=0.5) == ("fetch", "no whole answer within 0.5 s")


@pytest.mark.invariant("F1")
def test_a_chunk_of_negative_size_is_no_way_around_the_bound() -> None:
    """F1: else all that comes would be kept until time is over."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"
    check, said = fault(lambda method, target: [head + BODY, *[b"x"] * 600], timeout=20)
    assert check == "fetch" and "IncompleteRead" in said
