"""The file of tokens: who it lets in, when it is read again, and what is never said of it."""

import os
from pathlib import Path

import pytest

from signer.admin.tokens import Tokens
from store.errors import ConfigError

FIRST = "a" * 32
SECOND = "b" * 31 + "="


def write(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_each_token_has_its_name(tmp_path: Path) -> None:
    tokens = Tokens(write(tmp_path, f"# of the CA\n\nra {FIRST}\n  revoker\t{SECOND}  \n"))
    assert tokens.name(FIRST) == "ra"
    assert tokens.name(SECOND) == "revoker"
    for wrong in ("", "ra", FIRST[:-1], FIRST + "a", FIRST.upper(), f"ra {FIRST}", "\udcff" * 32):
        assert tokens.name(wrong) is None


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (f"ra {FIRST[:31]}\n", ":1", "at least 32 characters"),
        (f"ra {FIRST}\n{SECOND}\n", ":2", "not NAME TOKEN"),
        (f"ra {FIRST} issue\n", ":1", "not NAME TOKEN"),
        (f"ra {FIRST}\nra {SECOND}\n", ":2", "ra is there twice"),
        (f"-x {FIRST}\n", ":1", "not NAME TOKEN"),
        ("# nobody\n", "", "no token in it"),
        (f"ra {FIRST}\n" + "#" * (1 << 20), "", "more than"),
    ],
)
def test_files_that_mean_nothing_certain(tmp_path: Path, text: str, line: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        Tokens(path)
    assert f"{path}{line}: " in str(caught.value)
    assert says in str(caught.value)
    assert FIRST[:31] not in str(caught.value) and SECOND not in str(caught.value)


@pytest.mark.invariant("G5")
@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o644, 0o660])
def test_a_file_that_others_may_read_or_change(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="others may read or change it") as caught:
        Tokens(write(tmp_path, f"ra {FIRST}\n", mode))
    assert caught.value.remedy is not None and "chmod 0600" in caught.value.remedy


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_file_of_ours(tmp_path: Path, mode: int) -> None:
    assert Tokens(write(tmp_path, f"ra {FIRST}\n", mode)).name(FIRST) == "ra"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_strangers_file(tmp_path: Path) -> None:
    path = write(tmp_path, f"ra {FIRST}\n")
    os.chown(path, 65_534, 0)
    with pytest.raises(ConfigError, match="others may read or change it"):
        Tokens(path)


@pytest.mark.invariant("G5")
def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Replaced, altered, damaged, gone: what it says now counts, and nothing of what it said."""
    path = write(tmp_path, f"ra {FIRST}\n")
    tokens = Tokens(path)
    other = tmp_path / "new"
    other.write_text(f"ra {SECOND}\n")
    other.chmod(0o600)
    other.rename(path)
    tokens.refresh()
    assert (tokens.name(FIRST), tokens.name(SECOND)) == (None, "ra")
    for spoil in (lambda: path.chmod(0o666), lambda: path.write_text("ra short\n"), path.unlink):
        spoil()
        os.utime(path, ns=(1, 1)) if path.exists() else None
        for _ in range(2):  # it stays so
            with pytest.raises(ConfigError):
                tokens.refresh()
            assert tokens.name(SECOND) is None
        write(tmp_path, f"ra {SECOND}\n")
        tokens.refresh()
        assert tokens.name(SECOND) == "ra"
