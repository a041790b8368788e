"""`python -m tests.fuzz.child TARGET[+TARGET...] [ARGUMENTS OF LIBFUZZER]`: one target, as long as libFuzzer is told to.

Several are one whose first octet says which is meant. For a build that counts coverage, with the runtime of the
sanitizers loaded: `tests.fuzz` sees to both.
"""

import hashlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import atheris

PACKAGES = ("responder", "signer", "store")
# Compiled readers count for themselves. To have all of these packages count takes longer than to fuzz them in CI.
READERS = frozenset(
    """
    responder.answers responder.crl_trust responder.floor_crls responder.floor_file responder.ranges
    responder.shadow.answers responder.shadow.recorded
    signer.admin.bodies signer.admin.tokens signer.crl.fetch signer.crl.read signer.crl.verify_crl
    signer.crl.verify_http signer.crl.verify_set signer.crl.verify_source signer.intake.calls
    signer.intake.certificate signer.intake.fields signer.intake.ndjson signer.intake.pem signer.intake.revocations
    signer.intake.rows signer.journal_file signer.keys.file signer.keys.pkcs12 signer.keys.responder_certificate
    signer.run_state store.asking store.config store.imported store.model store.objects store.primary store.schema
    store.trust
    """.split()
)


def _others() -> Iterator[str]:
    for package in PACKAGES:
        for path in Path(package).rglob("*.py"):
            name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
            if name not in READERS:
                yield name


with atheris.instrument_imports(include=list(PACKAGES), exclude=list(_others())):
    from tests.fuzz.connection import CONNECTION, connection_target
    from tests.fuzz.target import Target, by_first_octet
    from tests.fuzz.targets import TARGETS


def _target(name: str) -> Target:
    if "+" not in name:
        return connection_target() if name == CONNECTION else TARGETS[name]
    parts = [_target(part) for part in name.split("+")]
    return Target(
        lambda: [bytes([at]) + seed for at, part in enumerate(parts) for seed in part.seeds()],
        by_first_octet(*(part.check for part in parts)),
    )


def _sow(target: Target, corpus: Path) -> None:
    for seed in target.seeds():
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


def main() -> None:
    warnings.simplefilter("ignore")  # cryptography's, of what it reads all the same
    target = _target(sys.argv.pop(1))
    corpus = next((Path(one) for one in sys.argv[1:] if Path(one).is_dir()), None)
    if corpus is not None:
        _sow(target, corpus)
    atheris.Setup(sys.argv, target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
