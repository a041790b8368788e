"""`ocsp-responder shadow`: whether two responders say the same to recorded requests (G7)."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import msgspec

from responder.shadow.recorded import Corpus
from responder.shadow.replay import Plan, replay
from responder.shadow.report import described, print_report
from store.clock import SystemClock
from store.errors import UsageError
from store.model import Issuer, load_issuer
from store.progress import bar
from store.text import printable

__all__ = ["Output", "issuers_of", "shadow"]


@dataclass(frozen=True, slots=True)
class Output:
    """What is told, and where."""

    keep: Path | None
    as_json: bool
    quiet: bool


def issuers_of(paths: Sequence[Path]) -> list[Issuer]:
    """The CAs against which signatures are verified. Raises ConfigError naming the file."""
    return [load_issuer(path.stem, path) for path in paths]


def shadow(corpus: Corpus, plan: Plan, output: Output) -> int:
    """Returns the exit code: 1 if the two disagree, 3 if not but something in the input was not understood."""
    corpus.check()
    size = corpus.size()
    total = size if size is None or plan.limit is None else min(size, plan.limit)
    with _kept(output.keep) as keep, bar("shadow", total, quiet=output.quiet) as advance:
        tally = replay(corpus, replace(plan, keep=keep), SystemClock(), advance)
    if not tally.compared:
        raise UsageError(
            f"{', '.join(map(str, corpus.sources))}: no OCSPRequest in it",
            remedy="a line is base64 of one, a path such as /MFEw..., or a line of an access log; see --help",
        )
    for one in corpus.first_rejected:
        sys.stderr.write(printable(one) + "\n")
    if output.as_json:
        sys.stdout.write(msgspec.json.encode(described(corpus, plan, tally)).decode() + "\n")
    else:
        print_report(corpus, plan, tally)
    if tally.differ:
        return 1
    return 3 if corpus.rejected else 0


@contextmanager
def _kept(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w")
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}", remedy="choose another --keep"
        ) from None
    with file:
        yield file
