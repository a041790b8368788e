"""Reading ocsp.toml: one file and the environment, into typed sections that name file, line and field when wrong.

Each process reads the sections it owns and passes over the other's. Order: flag > environment > file > default.
`OCSP__SECTION__KEY` overrides a key of a top-level section.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from store.errors import ConfigError

__all__ = [
    "DEFAULT_FILE",
    "Document",
    "Duration",
    "IssuerSection",
    "ObjectTarget",
    "ObjectsSection",
    "Section",
    "Size",
    "StateSection",
    "StoreSection",
    "TargetSection",
    "check_unique_names",
    "convert",
    "load_document",
    "parse_duration",
]

DEFAULT_FILE = Path("ocsp.toml")
ENVIRONMENT_PREFIX = "OCSP__"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SIZE_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

T = TypeVar("T")
Steps: TypeAlias = list[str | int]  # names of tables and keys, and indexes into arrays of tables


class Duration(int):
    """Seconds, written `"90s"`, `"15m"`, `"4h"`, `"7d"` or as a plain number of seconds."""


class Size(int):
    """Octets, written `"64MiB"` or as a plain number."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of ocsp.toml. Unknown keys are errors."""


class StoreSection(Section, frozen=True):
    """Where signed responses live: the embedded server, or any Redis >= 7 or Valkey."""

    url: str = "embedded:"
    username: str | None = None
    password_file: Path | None = None


class StateSection(Section, frozen=True):
    """Where both processes keep what is theirs on this host: the embedded store, sockets, locks."""

    directory: Path = Path(".ocspeed")  # relative to the file

    def resolve(self, document: "Document") -> Path:
        """The directory, absolute."""
        return document.directory / self.directory


@dataclass(frozen=True, slots=True)
class ObjectTarget:
    """One place for CRLs, with what it takes to open it. Credentials stay in their files until then."""

    location: str  # an absolute directory, or an obstore URL such as s3://bucket/prefix
    endpoint: str | None = None
    region: str | None = None
    access_key_file: Path | None = None
    secret_key_file: Path | None = None
    allow_http: bool = False


class TargetSection(Section, frozen=True):
    """A place where CRLs are published: a directory or an obstore URL such as s3://bucket/prefix."""

    target: str
    endpoint: str | None = None  # of an S3 store that is not AWS's
    region: str | None = None
    access_key_file: Path | None = (
        None  # absent: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's role
    )
    secret_key_file: Path | None = None
    allow_http: bool = False

    def __post_init__(self) -> None:
        if "://" in self.target and "@" in self.target:
            raise ValueError("`target` must not hold credentials: name files that do, or use AWS_* variables")
        for name in ("endpoint", "region", "access_key_file", "secret_key_file"):
            if getattr(self, name) is not None and not self.target.startswith("s3://"):
                raise ValueError(f"`{name}` goes with a `target` that begins with s3:// only")
        if (self.access_key_file is None) != (self.secret_key_file is None):
            raise ValueError("`access_key_file` and `secret_key_file` go together")
        if self.endpoint is not None:
            self._check_endpoint(self.endpoint)

    def _check_endpoint(self, endpoint: str) -> None:
        if not re.fullmatch(r"https?://[^@/?#\s]+/?", endpoint):
            raise ValueError("`endpoint` must be https://HOST or https://HOST:PORT, without credentials")
        if endpoint.startswith("http://") and not self.allow_http:
            raise ValueError(
                "`endpoint` is plain HTTP: anyone on the way can read it; https://, or `allow_http`"
            )

    def resolve(self, document: "Document") -> str:
        """A URL as it is, a directory absolute."""
        return self.target if "://" in self.target else str(document.directory / self.target)

    def place(self, document: "Document") -> ObjectTarget:
        """As it is opened."""
        return ObjectTarget(
            self.resolve(document),
            self.endpoint,
            self.region,
            self.access_key_file,
            self.secret_key_file,
            self.allow_http,
        )


class ObjectsSection(TargetSection, frozen=True):
    """Where CRLs are published to and served from, and further places that get them `also`."""

    target: str = "objects"
    also: tuple[TargetSection, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        places = [(one.target, one.endpoint) for one in (self, *self.also)]
        if len(set(places)) < len(places):
            raise ValueError("`also`: two targets are the same place")

    def targets(self, document: "Document") -> tuple[ObjectTarget, ...]:
        """All of them; the first is the one that is served from."""
        return tuple(one.place(document) for one in (self, *self.also))


class IssuerSection(Section, frozen=True):
    """What both processes know of an issuer: its short name and its CA certificate."""

    name: str
    certificate: Path

    def __post_init__(self) -> None:
        if not re.match(NAME_PATTERN, self.name):
            raise ValueError(
                f"`name` {self.name!r} must be lower-case letters, digits, `.`, `_`, `-`, at most 63"
            )


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file with the environment laid over it."""

    path: Path
    text: str
    data: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)  # "section.key" -> variable that set it

    @property
    def directory(self) -> Path:
        """What relative paths in the file are relative to."""
        return self.path.parent

    def place(self, steps: Steps) -> str:
        """Where a value is set, or lacks: file and line, or the variable, and its dotted name."""
        name = _dotted(steps)
        where = self.environment.get(name) or f"{self.path}:{_line_of(self.text, steps)}"
        return f"{where}: {name or 'file'}"

    @contextmanager
    def naming(self, steps: Steps) -> Iterator[None]:
        """A ConfigError about the file that a value names tells the value's place too."""
        try:
            yield
        except ConfigError as error:
            raise ConfigError(f"{self.place(steps)}: {error.message}", remedy=error.remedy) from None


def parse_duration(text: str) -> int:
    """Seconds of `"4h"`. Raises ValueError."""
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise ValueError(f'{text!r} is not a duration such as "90s", "15m", "4h" or "7d"')
    return int(match[1]) * DURATION_UNITS[match[2]]


def _parse_size(text: str) -> int:
    match = re.fullmatch(r"(\d+)(|KiB|MiB|GiB)", text)
    if match is None:
        raise ValueError(f'{text!r} is not a size such as "512KiB", "64MiB" or "1GiB"')
    return int(match[1]) * SIZE_UNITS[match[2]]


def load_document(path: Path, environ: Mapping[str, str] = os.environ) -> Document:
    """Read and parse a file. Raises ConfigError for a missing file, bad TOML or a stray environment variable."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file", remedy="write one with `ocsp-signer init`, or name it with --config FILE"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read: {error}", remedy="check the path and its permissions"
        ) from None
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise _bad_toml(path, text, "nested too deep") from None
    except ValueError as error:  # TOMLDecodeError, and what Python says of a number with thousands of digits
        raise _bad_toml(path, text, str(error)) from None
    document = Document(path.absolute(), text, data)
    for variable, value in sorted(environ.items()):
        if variable.startswith(ENVIRONMENT_PREFIX):
            _overlay(document, variable, value)
    return document


def _bad_toml(path: Path, text: str, message: str) -> ConfigError:
    """`message` says a line, or that the end came too early."""
    line = re.search(r"\(at line (\d+), ", message)
    number = int(line[1]) if line else len(text.splitlines()) or 1
    return ConfigError(f"{path}:{number}: not valid TOML: {message}", remedy="mend that line")


def _overlay(document: Document, variable: str, value: str) -> None:
    parts = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
    if len(parts) != 2 or not isinstance(document.data.setdefault(parts[0], {}), dict):
        raise ConfigError(
            f"{variable}: not of the form OCSP__SECTION__KEY", remedy=f"unset {variable} or rename it"
        )
    if not value.isprintable():
        raise ConfigError(f"{variable}: holds what is no text", remedy=f"unset {variable} or correct it")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value
    document.data[parts[0]][parts[1]] = parsed
    document.environment[f"{parts[0]}.{parts[1]}"] = variable


def convert(document: Document, type: type[T]) -> T:
    """The document as a typed struct. Raises ConfigError naming file, line and field."""

    def decode_hook(target: Any, value: Any) -> Any:
        if target is Path and isinstance(value, str):
            return document.directory / value
        if (
            target in (Duration, Size)
            and isinstance(value, int)
            and not isinstance(value, bool)
            and value >= 0
        ):
            return target(value)
        if target is Duration and isinstance(value, str):
            return Duration(parse_duration(value))
        if target is Size and isinstance(value, str):
            return Size(_parse_size(value))
        raise ValueError(f"{value!r} is not a {target.__name__.lower()}")

    try:
        return msgspec.convert(document.data, type, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        raise _explain(document, str(error)) from None


def _explain(document: Document, message: str) -> ConfigError:
    """Turn msgspec's `text - at `$.path`` into file, line and field; a section's own text begins with its `field`."""
    text, _, path = message.partition(" - at `$")
    missing, unknown = (
        re.search(f"{kind} field `([^`]+)`", text) for kind in ("missing required", "unknown")
    )
    own = re.match("`([^`]+)`", text)
    steps = _steps(path) + ([unknown[1]] if unknown else _steps(own[1]) if own else [])
    if missing:
        remedy = f"add `{missing[1]}` there; `ocsp-signer init` writes a commented example"
    elif unknown:
        remedy = "remove the key, or see the commented example that `ocsp-signer init` writes"
    else:
        remedy = f"correct `{_dotted(steps)}`" if steps else "correct the sections named"
    return ConfigError(f"{document.place(steps)}: {text}", remedy=remedy)


def _steps(path: str) -> Steps:
    """`table[0].key` as names and indexes."""
    return [name or int(index) for name, index in re.findall(r"([A-Za-z0-9_-]+)|\[(\d+)\]", path)]


def _dotted(steps: Steps) -> str:
    return ".".join(f"[{step}]" if isinstance(step, int) else step for step in steps).replace(".[", "[")


def _line_of(text: str, steps: Steps) -> int:
    """Best line for a path: its key's, else its table's, else the first."""
    best = 1
    depth = 0
    table: Steps = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]", line)
        key = re.match(r"\s*([A-Za-z0-9_.-]+)\s*=", line)
        if header:
            names = header[2].split(".")
            if header[1] == "[[":
                seen[header[2]] = seen.get(header[2], -1) + 1
            table = []
            for size, name in enumerate(names, start=1):
                array = ".".join(names[:size])
                table += [name, seen[array]] if array in seen else [name]
            here = table
        elif key:
            here = [*table, *key[1].split(".")]
        else:
            continue
        if here == steps[: len(here)] and len(here) > depth:
            best, depth = number, len(here)
    return best


def check_unique_names(issuers: Sequence[IssuerSection]) -> None:
    """Raises ValueError when two issuers share a name; for the `__post_init__` of a process's root section."""
    seen: set[str] = set()
    for index, issuer in enumerate(issuers):
        if issuer.name in seen:
            raise ValueError(
                f"`issuer[{index}].name`: two issuers are named {issuer.name!r}; give each [[issuer]] its own name"
            )
        seen.add(issuer.name)
