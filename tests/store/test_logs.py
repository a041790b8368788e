"""Logs: one JSON object a line, and no flood of them, whatever the flood of requests."""

import json

import pytest
import structlog

from store import logs


@pytest.fixture(autouse=True)
def restored() -> object:
    yield
    structlog.reset_defaults()


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.invariant("F2")
def test_lines_are_json_and_repeated_warnings_are_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure(0, throttled=True)
    log = structlog.get_logger()
    for number in range(1000):
        log.error("record refused", issuer="demo", serial=f"{number:x}")
        log.info("told every time")
    log.debug("not told")
    output = lines(capsys.readouterr().err)
    refused = [line for line in output if line["event"] == "record refused"]
    assert len(refused) == 1
    assert refused[0]["issuer"] == "demo" and refused[0]["level"] == "error" and "ts" in refused[0]
    assert len(output) == 1001
    monkeypatch.setattr(logs, "REPEAT_INTERVAL", 0.0)
    log.error("record refused")
    assert lines(capsys.readouterr().err)[0]["repeated"] == 999


@pytest.mark.parametrize(("verbosity", "events"), [(-3, ["w"]), (0, ["i", "w"]), (5, ["d", "i", "w"])])
def test_verbosity(capsys: pytest.CaptureFixture[str], verbosity: int, events: list[str]) -> None:
    logs.configure(verbosity)
    log = structlog.get_logger()
    log.debug("d")
    log.info("i")
    log.warning("w")
    assert [line["event"] for line in lines(capsys.readouterr().err)] == events
