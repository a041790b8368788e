"""A reader that fetches one CRL over and over while it is published."""

import threading
import time

from cryptography import x509

from store.objects import ObjectStore, read_object

__all__ = ["Reader"]


class Reader(threading.Thread):
    """Fetches the CRL over and over: each must be whole; keeps what it saw."""

    def __init__(self, store: ObjectStore, path: str, ca: x509.Certificate) -> None:
        super().__init__()
        self._store, self._path = store, path
        self._key = ca.public_key()
        self._over = threading.Event()
        self.numbers: list[int] = []
        self.torn: list[str] = []
        self.reads = 0

    def run(self) -> None:
        last = b""
        while not self._over.is_set():
            found = read_object(self._store, self._path)
            self.reads += 1
            if found is None or found.data == last:
                time.sleep(0.001)
                continue
            last = found.data
            self._look(last)

    def _look(self, data: bytes) -> None:
        try:
            crl = x509.load_der_x509_crl(data)
            whole = crl.is_signature_valid(self._key)  # type: ignore[arg-type]
            self.numbers.append(crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        except ValueError as error:
            whole, self.torn = False, [*self.torn, str(error)]
        if not whole:
            self.torn.append(f"after {self.numbers[-1:]}")

    @property
    def newest(self) -> int:
        return self.numbers[-1] if self.numbers else 0

    def stop(self) -> None:
        self._over.set()
        self.join()
