"""The picture of a result."""

from pathlib import Path

import pytest


def test_rows_of_ours_are_drawn_and_the_same_result_gives_the_same_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="make bench-serve installs it")
    from bench.serve.plots import plot

    values = {"connections": 32, "ratio": 0.7, "minimum": 0.6, "maximum": 0.9}
    rows = [{"key": key, **values} for key in ("cached_vs_nginx", "unknown_vs_miss", "hostile_vs_get")]
    result = {"rows": rows, "machine": "m", "commit": "c", "date": "2026-01-01T00:00:00Z"}
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    plot(result, first)
    plot(result, second)
    assert first.read_bytes() == second.read_bytes()
    text = first.read_text()
    assert "<!-- cached_vs_nginx, 32 connections -->" in text
    assert "<!-- goal -->" in text
    assert "hostile" not in text
