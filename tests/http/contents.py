"""Contents: forms of a length, transfer codings, chunks, their extensions, trailers."""

from tests.http.parts import Case, chunk

__all__ = ["CASES"]

BOTH = (200, 200)


def _length(value: bytes, codes: tuple[int, ...] = (400,), differs: str = "") -> Case:
    """`%d` in the value is the length of the body."""
    name = f"Content-Length: {value!r}"
    return Case(name, lambda p: p.lengths(b"Content-Length:" + value + b"\r\n"), codes, True, differs)


def _lengths(name: str, lines: bytes, codes: tuple[int, ...] = (400,), differs: str = "") -> Case:
    return Case(f"length {name}", lambda p: p.lengths(lines), codes, True, differs)


def _coding(value: bytes, codes: tuple[int, ...] = (400,), differs: str = "") -> Case:
    """A POST in one chunk under this Transfer-Encoding."""
    name = f"Transfer-Encoding: {value!r}"
    return Case(
        name,
        lambda p: p.post(b"Transfer-Encoding:" + value + b"\r\n", p.chunked + p.hidden),
        codes,
        True,
        differs,
    )


def _codings(name: str, lines: bytes, codes: tuple[int, ...] = (400,), differs: str = "") -> Case:
    return Case(f"coding {name}", lambda p: p.post(lines, p.chunked + p.hidden), codes, True, differs)


def _size(form: bytes, codes: tuple[int, ...] = (400,), differs: str = "") -> Case:
    """The line before the one chunk; `%x` in it is its size."""
    name = f"chunk line {form!r}"
    return Case(
        name,
        lambda p: p.chunks(
            form.replace(b"%x", b"%x" % len(p.body)) + b"\r\n" + p.body + b"\r\n0\r\n\r\n" + p.hidden
        ),
        codes,
        True,
        differs,
    )


def _end(form: bytes, codes: tuple[int, ...] = (400,), differs: str = "") -> Case:
    """What follows the octets of the one chunk."""
    name = f"chunk end {form!r}"
    return Case(
        name, lambda p: p.chunks(b"%x\r\n" % len(p.body) + p.body + form + p.hidden), codes, True, differs
    )


LARGE = "beyond what is taken at all"
NAMELESS = "an extension may lack its name or its value"
UNKNOWN_CODING = "a coding that is not known is left on; the chunks around it are as they are"
CASES = (
    # Lengths
    _length(b"%d", BOTH),
    _length(b" %d", BOTH),
    _length(b"  %d", BOTH),
    _length(b" %d  ", BOTH),
    _length(b" 000%d", BOTH),
    _length(b"\t%d", BOTH),
    _length(b" %d\t", BOTH),
    _length(b"\t%d\t  ", BOTH),
    _length(b" 00000000000000000000%d", (413,), LARGE),
    _length(b""),
    _length(b" "),
    _length(b" +%d"),
    _length(b" -%d"),
    _length(b" -0"),
    _length(b" 0x10"),
    _length(b" %da"),
    _length(b" a%d"),
    _length(b" %d.0"),
    _length(b" %de0"),
    _length(b" %d_0"),
    _length(b" 4 2"),
    _length(b" 13 37"),
    _length(b" %d %d"),
    _length(b" %d,"),
    _length(b" ,%d"),
    _length(b" %d,%d"),
    _length(b" %d, 0"),
    _length(b" %d;a"),
    _length(b' "%d"'),
    _length(b" %d\0"),
    _length(b" \0%d"),
    _length(b" \x0b%d"),
    _length(b" \x0c%d"),
    _length(b" \xa0%d"),
    _length(b" \x85%d"),
    _length(b" \xd9\xa1"),
    _length(b" 1000000000000000000000", (400,), LARGE),
    _length(b" 18446744073709551616", (400,), LARGE),
    _length(b" 9223372036854775808", (413,), LARGE),
    _length(b" 9999999999", (413,), LARGE),
    _lengths("twice", b"Content-Length: %d\r\nContent-Length: %d\r\n"),
    _lengths("twice, with another field between", b"Content-Length: %d\r\nX: y\r\nContent-Length: %d\r\n"),
    _lengths("twice, the second empty", b"Content-Length: %d\r\nContent-Length:\r\n"),
    _lengths("and a field behind it", b"Content-Length: %d\r\nX: y\r\n", BOTH),
    _lengths("in odd letters", b"conTENT-LeNGtH: %d\r\n", BOTH),
    _lengths("with a space before the colon", b"Content-Length : %d\r\n"),
    _lengths("with a tab before the colon", b"Content-Length\t: %d\r\n"),
    _lengths("behind a space", b" Content-Length: %d\r\n"),
    _lengths("behind a tab", b"\tContent-Length: %d\r\n"),
    _lengths("behind LF", b"X: y\nContent-Length: %d\r\n"),
    _lengths("behind CR", b"X: y\rContent-Length: %d\r\n"),
    _lengths("folded", b"Content-Length:\r\n %d\r\n"),
    Case("length 0 of a POST", lambda p: p.post(b"Content-Length: 0\r\n", b"") + p.hidden, BOTH, True),
    Case("length 0 of a GET", lambda p: p.get(b"Content-Length: 0\r\n", p.hidden), BOTH, True),
    Case("length of a HEAD", lambda p: p.get(b"Content-Length: 3\r\n", b"abc" + p.hidden).replace(b"GET", b"HEAD", 1), BOTH, True),
    Case("length of a DELETE", lambda p: p.get(b"Content-Length: 3\r\n", b"abc" + p.hidden).replace(b"GET", b"DELETE", 1), (405, 200), True),
    Case("length longer than all", lambda p: p.post(b"Content-Length: 9999\r\n", p.body + p.hidden), ()),
    Case("length one too short", lambda p: p.post(b"Content-Length: %d\r\n" % (len(p.body) - 1)) + p.hidden, (200, 400), True),
    Case("length two too long", lambda p: p.post(b"Content-Length: %d\r\n" % (len(p.body) + 2)) + b"\r\n" + p.hidden, BOTH, True),
    Case("length and no empty line", lambda p: b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r" % len(p.body) + p.body + p.hidden, (400,), True),
    # Transfer codings
    _coding(b" chunked", BOTH),
    _coding(b"chunked", BOTH),
    _coding(b" Chunked", BOTH),
    _coding(b" CHUNKED", BOTH),
    _coding(b" chunked ", BOTH),
    _coding(b"\tchunked", BOTH),
    _coding(b" chunked\t", (400,), "a tab behind a coding is none of it"),
    _coding(b""),
    _coding(b" identity"),
    _coding(b" pigeons"),
    _coding(b" xchunked"),
    _coding(b" chunkedx"),
    _coding(b" chunkedchunked"),
    _coding(b" chunked;a=b"),
    _coding(b' "chunked"'),
    _coding(b" chunked, chunked"),
    _coding(b" chunked, identity"),
    _coding(b" chunked, gzip"),
    _coding(b" gzip, chunked", BOTH, UNKNOWN_CODING),
    _coding(b" identity, chunked", BOTH, UNKNOWN_CODING),
    _coding(b" gzip"),
    _coding(b" chunk"),
    _coding(b" chun ked"),
    _coding(b" chunked\0"),
    _coding(b" \x0bchunked"),
    _coding(b" \xa0chunked"),
    _coding(b" \x85chunked"),
    _coding(b" chunked\x0b"),
    _coding(b"\r\n chunked"),
    _coding(b" chunked\r\n x"),
    _coding(b" chunked\r\n  x"),
    _coding(b" \nchunked"),
    _coding(b" \rchunked"),
    _codings("twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    _codings("and another behind it", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"),
    _codings("and another before it", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", BOTH, UNKNOWN_CODING),
    _codings("and an empty one", b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", (400,), "an empty member is not passed over"),
    _codings("and a length", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    _codings("and a length of 0", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
    _codings("and a length before it", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    _codings("empty and a length", b"Content-Length: 5\r\nTransfer-Encoding:\r\n"),
    _codings("identity and a length", b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n"),
    _codings("with a space before the colon", b"Transfer-Encoding : chunked\r\n"),
    _codings("behind LF", b"X: y\nTransfer-Encoding: chunked\r\n"),
    _codings("behind an empty field and LF", b"X:\nTransfer-Encoding: chunked\r\n"),
    _codings("behind an empty field and CR", b"X:\rTransfer-Encoding: chunked\r\n"),
    _codings("in odd letters", b"tRANSFER-eNCODING: chunked\r\n", BOTH),
    _codings("TE alone", b"TE: chunked\r\nContent-Length: 0\r\n", (200, 400)),
    Case("coding of a GET", lambda p: p.get(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n" + p.hidden), BOTH, True),
    Case("coding of a PUT", lambda p: p.chunks(p.chunked + p.hidden).replace(b"POST", b"PUT", 1), (405, 200), True),
    Case("coding of HTTP/1.0", lambda p: p.post(b"Transfer-Encoding: chunked\r\n", p.chunked + p.hidden, b"1.0"), (200,), True),
    # Chunks
    _size(b"%x", BOTH),
    _size(b"000%x", BOTH),
    _size(b"0000000000000000000000%x", BOTH),
    _size(b"%x;", (400,)),
    _size(b"%x;a", BOTH),
    _size(b"%x;a=b", BOTH),
    _size(b"%x;a=b;c=d;e", BOTH),
    _size(b'%x;a="b c"', BOTH),
    _size(b'%x;a="b\\"c";d', BOTH),
    _size(b'%x;a=";b"', BOTH),
    _size(b'%x;a="b', (400,)),
    _size(b'%x;a="b"c', (400,)),
    _size(b"%x;a=", BOTH, NAMELESS),
    _size(b"%x;=b", BOTH, NAMELESS),
    _size(b"%x;;a", BOTH, NAMELESS),
    _size(b"%x;a=b,c", (400,)),
    _size(b"%x; a=b", (400,), "no white space in extensions"),
    _size(b"%x ;a=b", (400,), "no white space in extensions"),
    _size(b"%x;a =b", (400,), "no white space in extensions"),
    _size(b"%x;a= b", (400,), "no white space in extensions"),
    _size(b"%x a", (400,)),
    _size(b"%x ", (400,)),
    _size(b"%x\t", (400,)),
    _size(b" %x", (400,)),
    _size(b"\t%x", (400,)),
    _size(b"%x\0", (400,)),
    _size(b"%x;a\0", (400,)),
    _size(b"%x;\x01", (400,)),
    _size(b"%x;a\n", (400,)),
    _size(b"%x;a\r", (400,)),
    _size(b"%x\r", (400,)),
    _size(b"%x\r\r;ABCD", (400,)),
    _size(b"%x \n  ", (400,)),
    _size(b"+%x", (400,)),
    _size(b"-%x", (400,)),
    _size(b"0x%x", (400,)),
    _size(b"0X%x", (400,)),
    _size(b"%xh", (400,)),
    _size(b"%x_0", (400,)),
    _size(b"0_%x", (400,)),
    _size(b"%x.0", (400,)),
    _size(b"%x,%x", (400,)),
    _size(b'"%x"', (400,)),
    _size(b"", (400,)),
    _size(b"x", (400,)),
    _size(b"\xff", (400,)),
    _size(b"10000000000000000", (400,), LARGE),
    _size(b"ffffffffffffffff1", (400,), LARGE),
    Case("chunks with capitals", lambda p: p.chunks(b"%X\r\n" % len(p.body) + p.body + b"\r\n0\r\n\r\n" + p.hidden), BOTH, True),
    Case("chunks of one octet", lambda p: p.chunks(b"".join(chunk(bytes([octet])) for octet in p.body) + b"0\r\n\r\n" + p.hidden), BOTH, True),
    Case("chunks, two", lambda p: p.chunks(chunk(p.body[:9]) + chunk(p.body[9:]) + b"000\r\n\r\n" + p.hidden), BOTH, True),
    Case("chunks with LF behind the size", lambda p: p.chunks(b"%x\n" % len(p.body) + p.body + b"\r\n0\r\n\r\n" + p.hidden), (400,), True),
    Case("chunks with CR behind the size", lambda p: p.chunks(b"%x\r" % len(p.body) + p.body + b"\r\n0\r\n\r\n" + p.hidden), (400,), True),
    Case("chunks of nothing but an end", lambda p: p.chunks(b"0\r\n\r\n" + p.hidden), BOTH, True),
    Case("chunks without an end", lambda p: p.chunks(chunk(p.body)), ()),
    Case("chunks without an end and a request", lambda p: p.chunks(chunk(p.body) + p.hidden), (400,), True),
    Case("chunk of more than the rest", lambda p: p.chunks(b"ffff\r\n" + p.body + b"\r\n0\r\n\r\n"), ()),
    Case("chunk one too short", lambda p: p.chunks(b"%x\r\n" % (len(p.body) - 1) + p.body + b"\r\n0\r\n\r\n" + p.hidden), (400,), True),
    Case("chunk one too long", lambda p: p.chunks(b"%x\r\n" % (len(p.body) + 1) + p.body + b"\r\n0\r\n\r\n" + p.hidden), (400,), True),
    _end(b"\r\n0\r\n\r\n", BOTH),
    _end(b"0\r\n\r\n"),
    _end(b"\n0\r\n\r\n"),
    _end(b"\r0\r\n\r\n"),
    _end(b"\n\r0\r\n\r\n"),
    _end(b"xx0\r\n\r\n"),
    _end(b"\r\n\r\n0\r\n\r\n"),
    _end(b"\r\n 0\r\n\r\n"),
    _end(b"\r\n0 \r\n\r\n"),
    _end(b"\r\n0;a=b\r\n\r\n", BOTH),
    _end(b"\r\n00000\r\n\r\n", BOTH),
    _end(b"\r\n-0\r\n\r\n"),
    _end(b"\r\n0x0\r\n\r\n"),
    _end(b"\r\n0\n\r\n"),
    _end(b"\r\n0\r\n\n"),
    _end(b"\r\n0\n\n"),
    _end(b"\r\n0\r\r\n\r\n"),
    _end(b"\r\n0\r\n\r\r\n"),
    _end(b"\r\n0\r\n\rX"),
    _end(b"\r\n0\r\nXX"),
    # Trailers
    _end(b"\r\n0\r\nX: y\r\n\r\n", BOTH),
    _end(b"\r\n0\r\nX: y\r\nZ:\r\n\r\n", BOTH),
    _end(b"\r\n0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n", BOTH),
    _end(b"\r\n0\r\nX : y\r\n\r\n"),
    _end(b"\r\n0\r\n X: y\r\n\r\n"),
    _end(b"\r\n0\r\nX: y\r\n z\r\n\r\n"),
    _end(b"\r\n0\r\nX: y\n\r\n"),
    _end(b"\r\n0\r\nX: y\rZ: a\r\n\r\n"),
    _end(b"\r\n0\r\nX: \0\r\n\r\n"),
    _end(b"\r\n0\r\nX\r\n\r\n"),
    _end(b"\r\n0\r\n: y\r\n\r\n"),
    _end(b"\r\n0\r\nContent-Length: 5\r\n\r\n", (400,), "no framing in a trailer"),
    _end(b"\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", (400,), "no framing in a trailer"),
    _end(b"\r\n0\r\nConnection: close\r\n\r\n", (200,), "a trailer, too, can say that the connection ends"),
    _end(b"\r\n0\r\nHost: other.test\r\n\r\n", BOTH),
)  # fmt: skip
