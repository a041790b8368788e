"""What a replay found, as JSON and as tables."""

from collections.abc import Iterator
from typing import Any

from responder.shadow.fields import FIELDS, Choice, Value
from responder.shadow.recorded import Corpus
from responder.shadow.replay import Plan
from responder.shadow.tally import Case, Latencies, Tally
from store.text import printable, rfc3339

__all__ = ["described", "print_report"]

MOMENTS = frozenset({"revocation_time", "this_update", "next_update", "produced_at"})


def described(corpus: Corpus, plan: Plan, tally: Tally) -> dict[str, Any]:
    """Field names are part of the interface."""
    return {
        "compared": tally.compared,
        "agree": tally.compared - tally.differ,
        "differ": tally.differ,
        "passed_over": corpus.passed_over,
        "rejected": corpus.rejected,
        "first_rejected": corpus.first_rejected,
        "left": _side(plan.left, tally.left),
        "right": _side(plan.right, tally.right),
        "outcomes": [
            {"left": left, "right": right, "count": count}
            for (left, right), count in tally.outcomes.most_common()
        ],
        "fields": [_field(name, tally, plan.choice) for name in FIELDS if name in tally.fields],
    }


def _side(url: str, latencies: Latencies) -> dict[str, Any]:
    return {
        "url": url,
        "p50_seconds": _rounded(latencies.quantile(0.5)),
        "p99_seconds": _rounded(latencies.quantile(0.99)),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds:.3g}")


def _field(name: str, tally: Tally, choice: Choice) -> dict[str, Any]:
    range_ = tally.ranges.get(name)
    return {
        "field": name,
        "count": tally.fields[name],
        "disagree": name in choice.verdict,
        "right_ahead_seconds": None if range_ is None else {"least": range_.least, "most": range_.most},
        "first": [_case(name, one) for one in tally.cases[name]],
    }


def _case(name: str, case: Case) -> dict[str, Any]:
    return {
        "method": case.method,
        "request": case.request,
        "left": _shown(name, case.left),
        "right": _shown(name, case.right),
    }


def _shown(name: str, value: Value) -> Value:
    return rfc3339(value) if name in MOMENTS and isinstance(value, int) else value


def print_report(corpus: Corpus, plan: Plan, tally: Tally) -> None:
    """Tables on stdout, as wide as the terminal."""
    from rich.console import Console

    console = Console()
    report = described(corpus, plan, tally)
    console.print(_sides(report), _outcomes(report))
    for fields, title in _groups(report):
        console.print(_fields(fields, title))
        for one in fields if fields[0]["disagree"] else ():
            first = one["first"][0]
            console.print(_text(f"{one['field']}: {first['method']} {first['request']}"), soft_wrap=True)
    verdict = f"{tally.compared:,} asked: {report['agree']:,} answered alike, {tally.differ:,} differently"
    console.print(f"{verdict}; {corpus.passed_over:,} passed over, {corpus.rejected:,} not understood")


def _groups(report: dict[str, Any]) -> Iterator[tuple[list[dict[str, Any]], str]]:
    for disagree, title in ((True, "answered differently"), (False, "told only")):
        if fields := [one for one in report["fields"] if one["disagree"] is disagree]:
            yield fields, title


def _table(title: str, *columns: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _sides(report: dict[str, Any]) -> Any:
    table = _table("", "side", "URL", "p50", "p99")
    for side in ("left", "right"):
        one = report[side]
        table.add_row(side, *map(_text, (one["url"], _ms(one["p50_seconds"]), _ms(one["p99_seconds"]))))
    return table


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.3g} ms"


def _outcomes(report: dict[str, Any]) -> Any:
    table = _table("answers", "left", "right", "requests")
    for one in report["outcomes"]:
        table.add_row(_text(one["left"]), _text(one["right"]), f"{one['count']:,}")
    return table


def _fields(fields: list[dict[str, Any]], title: str) -> Any:
    """One row for each; a range of times says more than the first of them."""
    table = _table(title, "field", "requests", "left", "right", "right ahead by")
    for one in fields:
        ahead = one["right_ahead_seconds"]
        table.add_row(
            one["field"],
            f"{one['count']:,}",
            *(_text(one["first"][0][side]) for side in ("left", "right")),
            "" if ahead is None else f"{ahead['least']:,} to {ahead['most']:,} s",
        )
    return table


def _text(value: Value) -> Any:
    """Of a server of somebody else's: without what steers a terminal, and no markup."""
    from rich.text import Text

    return Text("-" if value is None else printable(str(value)))
