"""How each client puts an OCSP request on the wire: told once, compared with captures and replayed."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from asn1crypto import core, ocsp

from _fastpath import der

__all__ = ["CAPTURED", "FROM_SOURCE", "Sent", "Shape", "sent"]

OID_OCSP = "1.3.6.1.5.5.7.48.1."
SEQUENCE = 0x30
LOCATOR_OID = core.ObjectIdentifier(OID_OCSP + "7").dump()
NONCE_OID = core.ObjectIdentifier(OID_OCSP + "2").dump()
# AcceptableResponses with id-pkix-ocsp-basic alone, which every NSS sends.
ACCEPTABLE = bytes.fromhex("301a06092b0601050507300104040d300b06092b0601050507300101")
DIGESTS = {"sha1": "SHA-1", "sha256": "SHA-256"}
ADDRESS = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Sent:
    """One HTTP request as it was captured."""

    raw: bytes
    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def der(self) -> bytes:
        """The OCSPRequest."""
        if self.method == "POST":
            return self.body
        return base64.b64decode(unquote(self.target).lstrip("/"))

    @property
    def cert_id(self) -> bytes:
        """DER of the first CertID."""
        return bytes(self._first["req_cert"].dump())

    @property
    def digest(self) -> str:
        """The CertID's hash algorithm."""
        return str(self._first["req_cert"]["hash_algorithm"]["algorithm"].native)

    @property
    def nonce(self) -> bytes:
        """The nonce, or nothing."""
        value = self._request.nonce_value
        return b"" if value is None else bytes(value.native)

    @property
    def locator(self) -> bytes:
        """DER of the service locator's value, or nothing."""
        single = self._first["single_request_extensions"]
        found = [it["extn_value"] for it in single or () if it["extn_id"].dotted == OID_OCSP + "7"]
        return bytes(found[0].contents) if found else b""

    @property
    def _request(self) -> ocsp.OCSPRequest:
        return ocsp.OCSPRequest.load(self.der, strict=True)

    @property
    def _first(self) -> ocsp.Request:
        return self._request["tbs_request"]["request_list"][0]


def sent(connection: bytes) -> Iterator[Sent]:
    """The requests that one connection carried, in order."""
    while connection:
        head, _, rest = connection.partition(b"\r\n\r\n")
        line, *fields = head.decode("ascii").split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, value in (text.split(": ", 1) for text in fields)}
        length = int(headers.get("content-length", 0))
        whole = len(head) + 4 + length
        yield Sent(connection[:whole], method, target, headers, rest[:length])
        connection = connection[whole:]


@dataclass(frozen=True, slots=True)
class Shape:
    """One way of one client to ask.

    `headers` are the header lines in their order, with `{port}`, `{length}` and `{agent}` left open. `plain` are
    the base64 characters that a GET leaves unescaped.
    """

    rows: tuple[str, ...]
    client: str
    method: str
    version: str
    headers: tuple[str, ...]
    digest: str = "sha1"
    nonce: int = 0  # octets
    acceptable: bool = False
    locator: bool = False
    plain: str = ""
    path: str = "/"

    def der(self, cert_id: bytes, nonce: bytes = b"", locator: bytes = b"") -> bytes:
        """An OCSPRequest for one CertID with this client's extensions."""
        request = cert_id
        if self.locator:
            request += _extensions(0xA0, _extension(LOCATOR_OID, locator))
        extensions = _extension(NONCE_OID, der.encode(0x04, nonce)) if self.nonce else b""
        extensions += ACCEPTABLE if self.acceptable else b""
        tbs = der.encode(SEQUENCE, der.encode(SEQUENCE, request))
        return der.encode(SEQUENCE, der.encode(SEQUENCE, tbs + _extensions(0xA2, extensions)))

    def http(self, request: bytes, port: int, agent: str = "x") -> bytes:
        """The octets of the HTTP request that carries this OCSPRequest."""
        target, body = self.path, request
        if self.method == "GET":
            target, body = self.path + quote(base64.b64encode(request).decode(), safe=self.plain), b""
        lines = [f"{self.method} {target} HTTP/{self.version}", *self.headers]
        text = "\r\n".join(
            [lines[0], *(line.format(port=port, length=len(body), agent=agent) for line in lines[1:])]
        )
        return text.encode() + b"\r\n\r\n" + body

    def sends(self, captured: Sent, port: int) -> bool:
        """Whether a captured request is of this shape, octet for octet but for nonce, locator and user agent."""
        told = (captured.method, captured.digest, len(captured.nonce))
        if told != (self.method, self.digest, self.nonce):
            return False
        request = self.der(captured.cert_id, captured.nonce, captured.locator)
        return self.http(request, port, captured.headers.get("user-agent", "")) == captured.raw

    @property
    def extensions(self) -> str:
        """The extensions in words."""
        words = [f"nonce of {self.nonce} octets"] if self.nonce else []
        words += ["acceptable responses"] if self.acceptable else []
        words += ["service locator"] if self.locator else []
        return ", ".join(words) or "none"

    @property
    def summary(self) -> str:
        """Method, protocol, hash and extensions in a few words."""
        extensions = "" if self.extensions == "none" else f", {self.extensions}"
        return f"{self.method}, HTTP/{self.version}, {DIGESTS[self.digest]}{extensions}"

    @property
    def closes(self) -> bool:
        """Whether the client expects the end of the connection after the answer."""
        return self.version == "1.0" or "Connection: close" in self.headers


def _extension(oid: bytes, value: bytes) -> bytes:
    return der.encode(SEQUENCE, oid + der.encode(0x04, value))


def _extensions(tag: int, extensions: bytes) -> bytes:
    return der.encode(tag, der.encode(SEQUENCE, extensions)) if extensions else b""


BARE_HOST, HOST = f"Host: {ADDRESS}", f"Host: {ADDRESS}:{{port}}"
TYPE, LENGTH = "Content-Type: application/ocsp-request", "Content-Length: {length}"
AGENT = "User-Agent: {agent}"
JAVA = (AGENT, HOST, "Accept: text/html, image/gif, image/jpeg, */*; q=0.2", "Connection: keep-alive")
LONG_PATH = "/" + "long-path-" * 20
GNUTLS = (BARE_HOST, "Accept: */*", TYPE, LENGTH, "Connection: close")
APACHE = (HOST, TYPE, "Connection: close", LENGTH)
GO = (HOST, AGENT, LENGTH, TYPE, "Accept-Encoding: gzip")
GO_GET = (HOST, AGENT, "Accept-Encoding: gzip")
URLLIB = ("Accept-Encoding: identity", LENGTH, HOST, AGENT, TYPE, "Connection: close")
URLLIB_GET = ("Accept-Encoding: identity", HOST, AGENT, "Connection: close")

# Held to the octets that these clients send, in test_asking and test_stapling.
CAPTURED = {
    "openssl": Shape(("K-01",), "OpenSSL", "POST", "1.0", (BARE_HOST, TYPE, LENGTH), nonce=16),
    "openssl bare": Shape(("K-01",), "OpenSSL", "POST", "1.0", (BARE_HOST, TYPE, LENGTH)),
    "openssl sha256": Shape(
        ("K-01",), "OpenSSL", "POST", "1.0", (BARE_HOST, TYPE, LENGTH), digest="sha256", nonce=16
    ),
    "java": Shape(("K-02",), "Java", "GET", "1.1", JAVA),
    "java nonce": Shape(("K-02",), "Java", "GET", "1.1", JAVA, nonce=16),
    "java post": Shape(
        ("K-02",),
        "Java",
        "POST",
        "1.1",
        ("Content-type: application/ocsp-request", *JAVA, LENGTH),
        path=LONG_PATH,
    ),
    "gnutls": Shape(("K-03",), "GnuTLS", "POST", "1.0", GNUTLS),
    "gnutls nonce": Shape(("K-03",), "GnuTLS", "POST", "1.0", GNUTLS, nonce=23),
    "nss": Shape(("K-04",), "NSS", "GET", "1.0", (HOST,), acceptable=True),
    "nss post": Shape(("K-04",), "NSS", "POST", "1.0", (HOST, TYPE, LENGTH), acceptable=True),
    "nss locator": Shape(
        ("K-04",), "NSS", "POST", "1.0", (HOST, TYPE, LENGTH), acceptable=True, locator=True
    ),
    "nginx": Shape(("K-05",), "nginx", "GET", "1.0", (BARE_HOST,)),
    "apache": Shape(("K-06",), "Apache", "POST", "1.0", APACHE),
    "apache nonce": Shape(("K-06",), "Apache", "POST", "1.0", APACHE, nonce=16),
    "go get": Shape((), "Go", "GET", "1.1", GO_GET, plain="+="),
    "go post": Shape((), "Go", "POST", "1.1", GO),
    "go get sha256": Shape((), "Go", "GET", "1.1", GO_GET, digest="sha256", plain="+="),
    "go post sha256": Shape((), "Go", "POST", "1.1", GO, digest="sha256"),
    "python get": Shape((), "Python urllib", "GET", "1.1", URLLIB_GET),
    "python post": Shape((), "Python urllib", "POST", "1.1", URLLIB),
    "python get sha256": Shape((), "Python urllib", "GET", "1.1", URLLIB_GET, digest="sha256"),
    "python post sha256": Shape((), "Python urllib", "POST", "1.1", URLLIB, digest="sha256"),
}
# Clients that are not run here: method, version and encoding as their sources and documentation have them.
FROM_SOURCE = {
    "firefox": Shape(
        ("K-04",),
        "Firefox",
        "POST",
        "1.1",
        (HOST, AGENT, "Accept: */*", TYPE, LENGTH, "Connection: keep-alive"),
    ),
    "haproxy": Shape(("K-07",), "HAProxy ocsp-update", "GET", "1.1", (HOST, "user-agent: HAProxy")),
    "haproxy post": Shape(
        ("K-07",), "HAProxy ocsp-update", "POST", "1.1", (HOST, TYPE, "user-agent: HAProxy", LENGTH)
    ),
    "caddy": Shape(("K-08",), "Caddy", "POST", "1.1", GO),
    "trustd": Shape(
        ("K-09",), "Apple trustd", "GET", "1.1", (HOST, "Accept: */*", AGENT, "Connection: keep-alive")
    ),
    "trustd untyped": Shape(("K-09",), "Apple trustd", "POST", "1.1", (HOST, "Accept: */*", AGENT, LENGTH)),
    "trustd form": Shape(
        ("K-09",),
        "Apple trustd",
        "POST",
        "1.1",
        (HOST, "Content-Type: application/x-www-form-urlencoded", "Accept: */*", AGENT, LENGTH),
    ),  # fmt: skip
    "windows": Shape(
        ("K-10",), "Windows CryptoAPI", "GET", "1.1", ("Connection: Keep-Alive", "Accept: */*", AGENT, HOST)
    ),
    "probe": Shape(("K-12",), "Probe", "GET", "1.1", (HOST,), plain="/+=", path="////"),
}
