"""`python -m bench.sign.bare OCSP.TOML ISSUER KEY PART PARTS`: signs what an issuer's responses in the store say, and nothing else.

Two lines of input: `load` reads every PARTS-th page, from page PART on, and makes the octets again that were signed
there; `sign` signs them by the calls that the signer uses (signer.keys.file), with digests by hashlib, and throws the
signatures away.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from _fastpath.ocsp import encode_response, encode_tbs_response_data, split_response
from _fastpath.page import Record, decode_record
from _fastpath.template import Template
from signer.context import Context
from signer.keys.file import load_key
from store.reader import StoreReader

__all__ = ["main", "sign"]

VERIFY_EVERY = 500  # of the signatures in the store


def sign(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, octets: Sequence[bytes]) -> None:
    """The bare loop."""
    if isinstance(key, rsa.RSAPrivateKey):
        for data in octets:
            key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return
    digest, algorithm = hashlib.sha256, ec.ECDSA(Prehashed(hashes.SHA256()))
    for data in octets:
        key.sign(digest(data).digest(), algorithm)


class _Stored:
    """What is in the store of one issuer."""

    def __init__(self, context: Context, name: str, key: Path) -> None:
        self._issuer = context.issuer(name).id
        self._name = name
        self._reader = StoreReader(context.client, context.endpoint.url)
        self._verify = load_key(key).verify
        self._seen = 0

    def octets(self, part: int, parts: int) -> Iterator[bytes]:
        """What was signed. Raises RuntimeError for a signature that is not one of it."""
        record = self._reader.issuer(self._name)
        assert record is not None
        templates = {slot: self._reader.template(number) for slot, number in record.templates.items()}
        for page in range(part, 1 << record.page_bits, parts):
            found = self._reader.page(self._name, record.page_epoch, page)
            if found is None:
                raise RuntimeError(f"page {page} is not whole")
            for serial, value in found[1].items():
                template = templates[value[1]]
                assert template is not None
                yield from self._signed(template, decode_record(self._issuer, template, serial, value))

    def _signed(self, template: Template, record: Record) -> Iterator[bytes]:
        for algorithm, signature in enumerate((record.sha1_signature, record.sha256_signature), 1):
            assert signature is not None
            data = encode_tbs_response_data(template, self._issuer, algorithm, record.response)
            if self._seen % VERIFY_EVERY == 0:
                body = encode_response(template, self._issuer, algorithm, record.response, signature)
                signed, _, value = split_response(body)
                if signed != data or not self._verify(data, value):
                    raise RuntimeError(f"the signature of {record.response.serial_number.hex()} is wrong")
            self._seen += 1
            yield data


def main(config: Path, name: str, path: Path, part: int, parts: int) -> None:
    """Answers each line with the number of signatures."""
    answers = sys.stdout
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    octets: list[bytes] = []
    with redirect_stdout(sys.stderr), Context.open(config) as context:
        stored = _Stored(context, name, path)
        for line in sys.stdin:
            if line == "load\n":
                octets = list(stored.octets(part, parts))
            else:
                sign(key, octets)
            answers.write(json.dumps({"responses": len(octets)}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
