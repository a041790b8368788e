"""Messages that two readers may take apart differently, each with another request hidden in what one takes for content."""

from tests.http.parts import Case, Parts, chunk

__all__ = ["CASES"]


def _all(p: Parts) -> int:
    return len(p.body + p.hidden)


CASES = (
    # Two lengths
    Case("CL and TE, CL has all", lambda p: p.both(b"Transfer-Encoding: chunked"), (400,), True),
    Case("TE before CL", lambda p: p.post(b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % len(p.chunked + p.hidden), p.chunked + p.hidden), (400,), True),
    Case("CL and TE, CL ends early", lambda p: p.post(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunk(p.hidden) + b"0\r\n\r\n"), (400,)),
    Case("two CLs, the second longer", lambda p: p.lengths(b"Content-Length: %%d\r\nContent-Length: %d\r\n" % _all(p)), (400,)),
    Case("two CLs, the first longer", lambda p: p.lengths(b"Content-Length: %d\r\nContent-Length: %%d\r\n" % _all(p)), (400,)),
    Case("two equal CLs", lambda p: p.lengths(b"Content-Length: %d\r\nContent-Length: %d\r\n"), (400,), True),
    Case("CL as a list", lambda p: p.lengths(b"Content-Length: %d, %d\r\n"), (400,), True),
    Case("CL as a list of two lengths", lambda p: p.lengths(b"Content-Length: %%d, %d\r\n" % _all(p)), (400,)),
    # Lengths that are none
    Case("CL with a plus", lambda p: p.lengths(b"Content-Length: +%d\r\n"), (400,)),
    Case("CL with a minus", lambda p: p.lengths(b"Content-Length: -%d\r\n"), (400,)),
    Case("CL in hexadecimal", lambda p: p.lengths(b"Content-Length: 0x%x\r\n" % len(p.body)), (400,)),
    Case("CL and a word", lambda p: p.lengths(b"Content-Length: %d abc\r\n"), (400,)),
    Case("CL after a vertical tab", lambda p: p.lengths(b"Content-Length: \x0b%d\r\n"), (400,)),
    Case("CL before a NUL", lambda p: p.lengths(b"Content-Length: %d\0\r\n"), (400,)),
    Case("empty CL", lambda p: p.lengths(b"Content-Length: \r\n"), (400,)),
    Case("CL above 2^64", lambda p: p.lengths(b"Content-Length: %d\r\n" % (2**64 + len(p.body))), (400,)),
    Case("CL with zeros before it", lambda p: p.lengths(b"Content-Length: 0000%d\r\n"), (200, 200), True),
    Case("CL named by Connection", lambda p: p.lengths(b"Connection: keep-alive, Content-Length\r\nContent-Length: %d\r\n"), (200, 200), True),
    # Transfer codings beside a length
    Case("TE with a word before", lambda p: p.both(b"Transfer-Encoding: xchunked"), (400,), True),
    Case("TE with chunked not last", lambda p: p.both(b"Transfer-Encoding: chunked, identity"), (400,), True),
    Case("TE with identity before", lambda p: p.both(b"Transfer-Encoding: identity, chunked"), (400,), True),
    Case("two TEs", lambda p: p.both(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x"), (400,), True),
    Case("TE in quotes", lambda p: p.both(b'Transfer-Encoding: "chunked"'), (400,), True),
    Case("TE after a vertical tab", lambda p: p.both(b"Transfer-Encoding: \x0bchunked"), (400,), True),
    Case("TE after a tab", lambda p: p.both(b"Transfer-Encoding:\tchunked"), (400,), True),
    Case("TE and a space before the colon", lambda p: p.both(b"Transfer-Encoding : chunked"), (400,), True),
    Case("TE with an underscore", lambda p: p.both(b"Transfer_Encoding: chunked"), (200,)),
    Case("TE with a NUL in the name", lambda p: p.both(b"Transfer-Encoding\0: chunked"), (400,), True),
    Case("TE after a bare LF", lambda p: p.both(b"X: y\nTransfer-Encoding: chunked"), (400,), True),
    Case("TE after a bare CR", lambda p: p.both(b"X: y\rTransfer-Encoding: chunked"), (400,), True),
    Case("TE folded", lambda p: p.both(b"Transfer-Encoding:\r\n chunked"), (400,), True),
    Case("TE as a folded part of another field", lambda p: p.both(b"X: y\r\n Transfer-Encoding: chunked"), (400,), True),
    Case("TE before the first field, folded", lambda p: p.both(b"").replace(b"Host:", b" Transfer-Encoding: chunked\r\nHost:", 1), (400,), True),
    Case("TE in HTTP/1.0", lambda p: p.post(b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", p.chunked + p.hidden, b"1.0"), (200,), True),
    Case("TE named by Connection", lambda p: p.post(b"Connection: keep-alive, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", p.chunked + p.hidden), (200, 200), True),
    # Chunks
    Case("chunk extension", lambda p: p.chunks(chunk(p.body, b";a=b") + b"0\r\n\r\n" + p.hidden), (200, 200), True),
    Case("bare LF in a chunk extension", lambda p: p.chunks(chunk(p.body, b";\n") + b"0\r\n\r\n" + p.hidden), (400,), True),
    Case("chunks with bare LF", lambda p: p.chunks(chunk(p.body, end=b"\n") + b"0\n\n" + p.hidden), (400,), True),
    Case("chunk size with 0x", lambda p: p.chunks(b"0x" + p.chunked + p.hidden), (400,), True),
    Case("negative chunk size", lambda p: p.chunks(b"-" + p.chunked + p.hidden), (400,), True),
    Case("chunk size above 2^64", lambda p: p.chunks(b"1" + b"0" * 16 + p.chunked + p.hidden), (400,), True),
    Case("spaces after the chunk size", lambda p: p.chunks(chunk(p.body, b"   ") + b"0\r\n\r\n" + p.hidden), (400,), True),
    Case("more data than the chunk size", lambda p: p.chunks(b"%x\r\n" % (len(p.body) - 2) + p.body + b"\r\n0\r\n\r\n" + p.hidden), (400,), True),
    Case("a length in the trailer", lambda p: p.chunks(p.chunked[:-2] + b"Content-Length: %d\r\n\r\n" % len(p.hidden) + p.hidden), (400,), True),
    # Content where none is looked for
    Case("GET with content", lambda p: p.get(b"Content-Length: %d\r\n" % len(p.hidden), p.hidden), (200,)),
    Case("GET with a chunk", lambda p: p.get(b"Transfer-Encoding: chunked\r\n", chunk(p.hidden) + b"0\r\n\r\n"), (200,)),
    Case("GET with both", lambda p: p.get(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + p.hidden), (400,), True),
    Case("content that is expected", lambda p: p.lengths(b"Expect: 100-continue\r\nContent-Length: %d\r\n"), (200, 200), True),
    Case("content and an upgrade", lambda p: p.lengths(b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n"), (400,), True),
    # Heads
    Case("every line ends with LF", lambda p: p.lengths(b"Content-Length: %d\r\n").replace(b"\r\n", b"\n"), (400,), True),
    Case("NUL in a field", lambda p: p.get(b"X: a\0b\r\n", p.hidden), (400,), True),
    Case("NUL in the target", lambda p: p.get(b"", p.hidden).replace(b" HTTP", b"\0 HTTP", 1), (400,), True),
    Case("two versions", lambda p: p.get(b"", p.hidden).replace(b"HTTP/1.1", b"HTTP/1.1 HTTP/1.1", 1), (400,), True),
    Case("version 1.2", lambda p: p.get(b"", p.hidden).replace(b"HTTP/1.1", b"HTTP/1.2", 1), (400,), True),
    Case("HTTP/0.9", lambda p: b"GET " + p.target + b"\r\n" + p.hidden, (400,), True),
    Case("preface of HTTP/2", lambda p: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + p.hidden, (400,), True),
    Case("empty lines before", lambda p: b"\r\n\r\n" + p.get(b"", p.hidden), (200, 200), True),
    Case("absolute form and another host", lambda p: p.get(b"", p.hidden).replace(b"GET ", b"GET http://other.test", 1), (200, 200), True),
    Case("two hosts", lambda p: p.get(b"Host: other.test\r\n", p.hidden), (200, 200), True),
    Case("CONNECT", lambda p: b"CONNECT ocsp.test:80 HTTP/1.1\r\nHost: ocsp.test\r\n\r\n" + p.hidden, (400,), True),
    Case("another method with content", lambda p: p.lengths(b"Content-Length: %d\r\n").replace(b"POST", b"PUT", 1), (405, 200), True),
    Case("an unknown method with content", lambda p: p.lengths(b"Content-Length: %d\r\n").replace(b"POST", b"BREW", 1), (400,), True),
    Case("a field of 64 KiB", lambda p: p.get(b"X: " + bytes(1 << 16).replace(b"\0", b"a") + b"\r\n", p.hidden), (431,)),
    Case("a target of 64 KiB", lambda p: p.get(b"", p.hidden).replace(b" HTTP", b"?" + b"a" * (1 << 16) + b" HTTP", 1), (414,)),
    Case("ten thousand fields", lambda p: p.get(b"a: b\r\n" * 10_000, p.hidden), (431,)),
)  # fmt: skip
