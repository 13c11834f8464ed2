"""The terminal view shows what burns first, and counts what it leaves out."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from watchkeeper.cli.terminal import render


def _signal(title: str, state: str = "ok", value: float | None = 0.01, **more: Any) -> dict[str, Any]:
    base = {"title": title, "state": state, "value": value, "unit": "ratio", "points": [0.01, 0.02, value]}
    return {**base, "warn": ["3% over 5m"], "page": ["5% over 2m"], "why": None, **more}


def _overview(**more: Any) -> dict[str, Any]:
    return {
        "platform": "Treazr Island",
        "time_ms": 1_764_000_250_000,
        "runbook": {"problem": None},
        "counts": {"met": 4, "missed": 1, "unknown": 2, "waived": 0},
        "targets": {"up": 3, "down": 0},
        "alerts": [],
        "layers": [{"title": "API", "signals": [_signal("HTTP error rate")]}],
        "deliveries": [],
        **more,
    }


def _alert(summary: str, severity: str = "page", state: str = "firing", **more: Any) -> dict[str, Any]:
    base = {"summary": summary, "severity": severity, "state": state, "active_ms": 1_764_000_000_000}
    return {**base, "labels": {"service": "backend"}, "inhibited_by": None, **more}


def _text(overview: dict[str, Any], width: int = 130, height: int = 50) -> str:
    out = io.StringIO()
    Console(file=out, width=width, height=height, color_system=None).print(render(overview, width, height))
    return out.getvalue()


def test_verdicts_targets_and_thresholds_are_in_sight() -> None:
    text = _text(_overview())
    assert "4 met" in text
    assert "1 missed" in text
    assert "2 unknown" in text
    assert "waived" not in text
    assert "3/3 up" in text
    assert "5% over 2m" in text
    assert "nothing fires" in text


def test_that_nothing_is_evaluated_any_more_stands_above_the_alerts() -> None:
    text = _text(
        _overview(halted="no evaluation of the rules was recorded for 90 s\x1b[2J; the log says why")
    )
    assert "▲ no evaluation of the rules was recorded for 90 s" in text
    assert "\x1b" not in text
    assert "evaluation" not in _text(_overview(halted=None))


def test_pages_stand_above_warnings_and_pending_alerts() -> None:
    alerts = [
        _alert("slow", "warn"),
        _alert("soon", state="pending"),
        _alert("5xx 7.2 %"),
    ]
    lines = _text(_overview(alerts=alerts)).splitlines()
    order = [
        next(i for i, line in enumerate(lines) if word in line) for word in ("5xx 7.2 %", "slow", "soon")
    ]
    assert order == sorted(order)
    assert "■ PAGE" in lines[order[0]]
    assert "firing 4 min 10 s" in lines[order[0]]


def test_a_signal_without_data_says_why_and_is_not_green() -> None:
    signal = _signal("Saturation", "unknown", None, why="no such series")
    text = _text(_overview(layers=[{"title": "API", "signals": [signal]}]))
    line = next(line for line in text.splitlines() if "Saturation" in line)
    assert "◌" in line
    assert "no data" in line
    assert "no such series" in line


def test_what_does_not_fit_is_counted() -> None:
    shown = [_signal(f"shown {i}", warn=[], page=[]) for i in range(30)]
    text = _text(_overview(layers=[{"title": "API", "signals": [_signal("kept"), *shown]}]), height=24)
    assert "kept" in text
    assert "+30 not shown" in text
    alerts = [_alert(f"alert {i}") for i in range(20)]
    assert "and 12 more (20 firing in all)" in _text(_overview(alerts=alerts))


def test_a_delivery_that_failed_says_so() -> None:
    delivery = {"at_ms": 0, "receiver": "pagerduty", "kind": "trigger", "summary": "5xx", "state": "retrying"}
    text = _text(_overview(deliveries=[{**delivery, "error": "429 Too Many Requests"}]))
    assert "retrying: 429 Too Many Requests" in text


def test_a_broken_runbook_on_disk_is_said_at_the_top() -> None:
    text = _text(_overview(runbook={"problem": "runbook.yaml:3:1: unknown key\n more"}))
    assert "runs on: runbook.yaml:3:1: unknown key" in text


def test_hostile_labels_cannot_style_or_break_the_view() -> None:
    alert = _alert("[bold red]x[/] \x1b[31m", labels={"service": "[link=http://x]y"})
    text = _text(_overview(alerts=[alert]))
    assert "[bold red]x[/]" in text
    assert "\x1b" not in text
