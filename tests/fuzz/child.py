"""`python -m tests.fuzz.child TARGET [ARGUMENTS OF LIBFUZZER]`: one target, as long as libFuzzer is told to.

For a build that counts coverage, with the runtime of the sanitizers loaded: `tests.fuzz` sees to both.
"""

import hashlib
import sys
import warnings
from pathlib import Path

import atheris

from tests.fuzz.connection import CONNECTION, connection_target
from tests.fuzz.targets import TARGETS, Target


def _sow(target: Target, corpus: Path) -> None:
    for seed in target.seeds():
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


def main() -> None:
    warnings.simplefilter("ignore")  # cryptography's, of what it reads all the same
    name = sys.argv.pop(1)
    target = connection_target() if name == CONNECTION else TARGETS[name]
    corpus = next((Path(one) for one in sys.argv[1:] if Path(one).is_dir()), None)
    if corpus is not None:
        _sow(target, corpus)
    atheris.Setup(sys.argv, target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
