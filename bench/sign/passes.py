"""`python -m bench.sign.passes OCSP.TOML WORKERS`: signs all pages of the issuer that a line of input names, and says what came of it.

The whole pass as `ocsp-signer sign --all` makes it: the ledger is read, every response signed, every page put into
the store under its guard.
"""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from signer.context import Context
from signer.ocsp.batch import Pool
from signer.ocsp.service import IssuerService, open_service

__all__ = ["main"]


def main(config: Path, workers: int) -> None:
    """Answers line by line; what is opened stays open."""
    answers = sys.stdout
    services: dict[str, IssuerService] = {}
    with redirect_stdout(sys.stderr), Context.open(config) as context, Pool(config, workers) as pool:
        for line in sys.stdin:
            name = line.strip()
            if name not in services:
                services[name] = open_service(context, name, pool)
            tally = services[name].sign_all(lambda pages: None)
            messages = [fault.message for fault in tally.faults]
            answer = {"responses": tally.responses, "current": tally.current, "messages": messages}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
