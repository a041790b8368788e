"""Request lines: methods, targets, versions, and what stands between them."""

from tests.http.parts import Case, Parts

__all__ = ["CASES", "UNKNOWN"]

# Registered or seen in the wild; all are refused, none ends the connection.
OTHER_METHODS = (
    b"ACL BIND CHECKOUT COPY DELETE LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH "
    b"PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
).split()  # fmt: skip
# Tokens, but methods of nobody or of other protocols.
UNKNOWN_METHODS = (
    b"get", b"Get", b"gET", b"post", b"GETS", b"GE", b"G", b"POSTS", b"POS", b"MKCOLA", b"BREW", b"HEADER", b"GET1", b"GET_", b"G-ET",
    b"DESCRIBE", b"PLAY", b"PAUSE", b"SETUP", b"TEARDOWN", b"RECORD", b"ANNOUNCE", b"FLUSH", b"PRI",
)  # fmt: skip
NO_TOKENS = (b"GET,", b"GET/", b'"GET"', b"G=ET", b"G(T", b"G:ET", b"\xc7ET", b"GET\xa0", b"G\x01T")
VERSIONS = (
    b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/1.10", b"HTTP/1.01", b"HTTP/1.11", b"HTTP/01.1", b"HTTP/2", b"HTTP/2.0", b"HTTP/3.0",
    b"HTTP/5.6", b"HTTP/9.9", b"HTTP/11", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1,1", b"HTTP/1.1.1", b"HTTP/1.x", b"HTTP/x.1",
    b"HTTP/-1.1", b"HTTP/+1.1", b"HTTP/ 1.1", b"HTTP/1. 1", b"HTTP /1.1", b"HTTP\\1.1", b"HTTP-1.1", b"HTTP1.1", b"http/1.1", b"Http/1.1",
    b"HTTPS/1.1", b"XHTTP/1.1", b"IHTTP/1.0", b"ICE/1.0", b"RTSP/2.1", b"SIP/2.0", b"H", b"1.1", b"HTTP/1.1;", b"HTTP/1.1\0",
)  # fmt: skip

UNKNOWN = "a method that nobody knows ends the connection"
NO_PATH = "an absolute form has to have a path"
SPACES = "RFC 9112 section 3 lets words be read between any white space"


def _method(method: bytes, codes: tuple[int, ...], differs: str = "") -> Case:
    return Case(
        f"method {method!r}",
        lambda p: b"%s / HTTP/1.1\r\nHost: ocsp.test\r\n\r\n" % method + p.hidden,
        codes,
        True,
        differs,
    )


def _version(version: bytes) -> Case:
    return Case(
        f"version {version!r}", lambda p: p.get(b"", p.hidden).replace(b"HTTP/1.1", version, 1), (400,), True
    )


def _target(name: str, before: bytes, after: bytes, codes: tuple[int, ...], differs: str = "") -> Case:
    """With these octets around the path."""

    def message(p: Parts) -> bytes:
        return p.get(b"", p.hidden).replace(p.target, before + p.target + after, 1)

    return Case(f"target {name}", message, codes, True, differs)


def _line(name: str, line: bytes, codes: tuple[int, ...], differs: str = "") -> Case:
    """`@` is the target."""

    def message(p: Parts) -> bytes:
        return line.replace(b"@", p.target) + b"\r\nHost: ocsp.test\r\n\r\n" + p.hidden

    return Case(f"line {name}", message, codes, True, differs)


CASES = (
    *(_method(method, (405, 200)) for method in OTHER_METHODS),
    *(_method(method, (400,), UNKNOWN) for method in UNKNOWN_METHODS),
    *(_method(method, (400,)) for method in NO_TOKENS),
    Case("method HEAD", lambda p: b"HEAD %s HTTP/1.1\r\n\r\n" % p.target + p.hidden, (200, 200), True),
    Case("method POST without a length", lambda p: b"POST / HTTP/1.1\r\n\r\n" + p.hidden, (200, 200), True),
    _method(b"CONNECT", (405,), "nothing is read behind CONNECT"),
    *map(_version, VERSIONS),
    Case("version of RTSP", lambda p: p.get(b"", p.hidden).replace(b"HTTP/1.1", b"RTSP/1.0", 1), (200,), True, "as HTTP/1.0, behind which nothing is read"),
    _target("in absolute form", b"http://ocsp.test", b"", (200, 200)),
    _target("in absolute form with a port", b"http://ocsp.test:80", b"", (200, 200)),
    _target("in absolute form of an IPv6 address", b"http://[::1]:80", b"", (200, 200)),
    _target("in absolute form with a user", b"http://a%12:b!&*$@ocsp.test", b"", (200, 200)),
    _target("in absolute form with capitals", b"HTTP://OCSP.TEST", b"", (200, 200)),
    _target("in absolute form of another scheme", b"gopher://ocsp.test", b"", (200, 200)),
    _target("with a query", b"", b"?a=b", (200, 200)),
    _target("with two question marks", b"", b"?a?b", (200, 200)),
    _target("with an empty query", b"", b"?", (200, 200)),
    _target("with a bar in the query", b"", b"?a|b", (200, 200)),
    _target("with quotes in the query", b"", b'?a="b"', (200, 200)),
    _target("with braces in the query", b"", b"?{a}^`b`", (200, 200)),
    _target("with a backslash in the query", b"", b"?a\\b", (200, 200)),
    _target("with a fragment", b"", b"#a", (200, 200)),
    _target("with a query and a fragment", b"", b"?a=b#c", (200, 200)),
    _target("behind slashes", b"///", b"", (200, 200)),
    _target("behind dots", b"/a/..", b"", (200, 200)),
    _target("behind a dot", b"/.", b"", (200, 200)),
    _target("with letters behind it", b"", b"/a", (200, 200)),
    _target("with a semicolon", b"", b";a=b", (200, 200)),
    _target("with half an escape", b"", b"%4", (200, 200)),
    _target("with an escape of NUL", b"", b"%00", (200, 200)),
    _target("with an escape of a line end", b"", b"%0d%0aX:%20y", (200, 200)),
    _target("in UTF-8", b"/\xce\xb4\xc2\xb6", b"", (400,)),
    _target("with a high octet behind it", b"", b"\xff", (400,)),
    _target("with DEL behind it", b"", b"\x7f", (400,)),
    _target("with ESC behind it", b"", b"\x1b", (400,)),
    _target("with NUL behind it", b"", b"\0", (400,)),
    _target("with a space in it", b"/a ", b"", (400,)),
    _target("with a tab in it", b"/a\t", b"", (400,)),
    _target("without a slash", b"a", b"", (400,), "a path has to begin with a slash"),
    _target("of a host alone", b"ocsp.test:80", b"", (400,), "only CONNECT has the authority alone"),
    _line("of an asterisk", b"OPTIONS * HTTP/1.1", (405, 200)),
    _line("of an asterisk with GET", b"GET * HTTP/1.1", (200, 200)),
    _line("of a host with a query", b"GET http://ocsp.test?a=b HTTP/1.1", (400,), NO_PATH),
    _line("of a host with a port and no path", b"GET http://ocsp.test:80 HTTP/1.1", (400,), NO_PATH),
    _line("of a host with a port and a query", b"GET http://ocsp.test:80?a=b HTTP/1.1", (400,), NO_PATH),
    _line("of a host with an underscore", b"GET http://a_0.ocsp.test/ HTTP/1.1", (400,), "names of hosts have no underscore"),
    _line("without a target", b"GET HTTP/1.1", (400,)),
    _line("with an empty target", b"GET  HTTP/1.1", (400,)),
    _line("without a version", b"GET @", (400,)),
    _line("without a version but its space", b"GET @ ", (400,)),
    _line("of a method alone", b"GET", (400,)),
    _line("of a method and a space", b"GET ", (400,)),
    _line("with a space before it", b" GET @ HTTP/1.1", (400,)),
    _line("with a tab before it", b"\tGET @ HTTP/1.1", (400,)),
    _line("with a NUL before it", b"\0GET @ HTTP/1.1", (400,)),
    _line("with a mark of the octets' order before it", b"\xef\xbb\xbfGET @ HTTP/1.1", (400,)),
    _line("with two spaces before the target", b"GET  @ HTTP/1.1", (200, 200), SPACES),
    _line("with two spaces behind the target", b"GET @  HTTP/1.1", (200, 200), SPACES),
    _line("with a tab before the target", b"GET\t@ HTTP/1.1", (400,)),
    _line("with a tab behind the target", b"GET @\tHTTP/1.1", (400,)),
    _line("with a form feed behind the target", b"GET @\fHTTP/1.1", (400,)),
    _line("with a space behind it", b"GET @ HTTP/1.1 ", (400,)),
    _line("with a tab behind it", b"GET @ HTTP/1.1\t", (400,)),
    _line("with a word behind it", b"GET @ HTTP/1.1 x", (400,)),
    _line("with another version behind it", b"GET @ HTTP/1.1 HTTP/1.0", (400,)),
    _line("with a CR behind it", b"GET @ HTTP/1.1\r", (400,)),
    _line("with a CR and a field behind it", b"GET @ HTTP/1.1\rX: y", (400,)),
    _line("that is one of an answer", b"HTTP/1.1 200 OK", (400,)),
    _line("that is one of a chunk", b"0", (400,)),
    _line("that is a field", b"Host: ocsp.test", (400,)),
)  # fmt: skip
