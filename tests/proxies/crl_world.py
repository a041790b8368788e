"""A CRL set of 128 shards as an operator has it: imported, built, published, served; and a man in the middle who spoils it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from signer.crl.build import CrlSigner
from signer.demo.authority import create_authority
from signer.keys.file import load_key
from store.embedded import EmbeddedStore
from store.model import load_certificate
from store.objects import Manifest, decode_manifest, manifest_path
from tests.integration.service import Service
from tests.ports import free_port
from tests.proxies.origin import Origin
from tests.signer.crl_server import saying

__all__ = ["SHARDS", "World", "crl_world", "in_the_middle"]

SHARDS = 128
CERTIFICATES = 10_000  # every hundredth is revoked
URL = "http://crl.test/crl/{issuer}/{series}-{index}.crl"
CONFIG = """\
lookup_timeout_ms = 2000
[store]
url = "{store}"
[[issuer]]
name = "demo"
certificate = "ca.pem"
signer = {{ key = "responder.key", certificate = "responder.pem" }}
crl = {{ key = "ca.key", shards = {shards}, url = "{url}" }}
"""
Said = Callable[[str], bytes | None]  # octets instead of the answer to a target; None: the answer


@dataclass(frozen=True, slots=True)
class World:
    """What is published and served."""

    origin: Origin
    objects: Path

    @property
    def manifest_file(self) -> Path:
        return self.objects / manifest_path("demo")

    @property
    def manifest(self) -> Manifest:
        return decode_manifest(self.manifest_file.read_bytes())

    @property
    def ca(self) -> CrlSigner:
        directory = self.origin.service.directory
        return CrlSigner(load_certificate(directory / "ca.pem"), load_key(directory / "ca.key"))

    def crl(self, index: int) -> bytes:
        """The published CRL of a shard."""
        return (self.objects / self.manifest.shards[index].path).read_bytes()


@contextlib.contextmanager
def crl_world(directory: Path) -> Iterator[World]:
    """Made and served with the two commands."""
    service = Service(directory, free_port())
    create_authority(
        directory, CERTIFICATES, int(time.time()), "http://o.test", "http://c.test/{}".format, seed=5
    )
    with EmbeddedStore(directory / "s") as store:
        service.write_config(CONFIG.format(store=store.url, shards=SHARDS, url=URL))
        service.signer("import", "--issuer", "demo", str(directory / "index.txt"))
        service.signer("sign", "--quiet")  # the responder is ready when its issuers are
        service.signer("crl", "build", "--quiet")
        with service.serving():
            yield World(Origin(service, store), directory / "objects")


@contextlib.contextmanager
def in_the_middle(world: World, said: Said) -> Iterator[int]:
    """Passes everything on to the responder and back, octet for octet, but for what `said` has; gives its port."""

    def answer(method: str, target: str) -> bytes:
        whole = said(target)
        if whole is None:
            return _passed_on(world, method, target)
        return whole if method == "GET" else whole[: whole.index(b"\r\n\r\n") + 4]

    with saying(answer) as url:
        yield int(url.rpartition(":")[2])


def _passed_on(world: World, method: str, target: str) -> bytes:
    answer = world.origin.web.request(method, target, headers={"Connection": "close"})
    lines = [
        f"HTTP/1.1 {answer.code} passed on",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body
